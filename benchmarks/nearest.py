"""A plain baseline for pairs: of each source held out, the target of the training source that is most like it.

python -m benchmarks.nearest [builtin:hsk/zh-en]

Sources are compared by TF-IDF over their characters and strings of two and three of them; split and figures are those of
configs/finetune/translation.py and evaluate.py.
"""

import sys

from sklearn.feature_extraction.text import TfidfVectorizer

from data.config import DataConfig
from data.examples import read_examples
from data.forms import FORMS
from data.split import split_documents
from metrics import bootstrap, text_statistics


def main() -> int:
    source = sys.argv[1] if len(sys.argv) > 1 else "builtin:hsk/zh-en"
    data = DataConfig((source,), (), 0.05, 128, "")
    train, held_out = split_documents(list(read_examples(data.train, FORMS["pairs"], data)), data.valid_fraction)
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3))
    known = vectorizer.fit_transform([example.values["source"] for example in train])
    asked = vectorizer.transform([example.values["source"] for example in held_out])
    nearest = (asked @ known.T).toarray().argmax(1)
    predictions = [train[index].values["target"] for index in nearest]
    samples, statistics, signatures = text_statistics(predictions, [example.values["target"] for example in held_out])
    intervals = bootstrap(statistics, samples)
    print(f"{source}: {len(train):,} pairs, {len(held_out):,} held out")
    for name, value in statistics(*samples).items():
        print(f"{name:8}{value:8.3f} ({intervals[name][0]:.3f} to {intervals[name][1]:.3f})")
    print(*(f"{name}: {signature}" for name, signature in signatures.items()), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
