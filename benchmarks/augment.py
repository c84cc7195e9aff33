"""What augmentation does for a small classifier: graded sentences, sorted by level or by topic, a tenth of them to learn from.

    pip install -r requirements-data.txt
    python -m benchmarks.augment [--seeds 5] [--copies 4]

Logistic regression on character n-grams (1 to 3, TF-IDF) of the built-in sentences, Chinese or English. Each seed draws another
tenth to learn from, and tests on all the rest; every row sees the same tenths. `repeated` has as many documents as the
augmented rows, but no new ones.
"""

import argparse
import sys

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from data.augment import augment
from data.builtin import read_builtin_labels

SHARE = 0.1  # of the sentences, to learn from
ROWS = {
    "none": None,
    "repeated": (),
    "synonyms=0.1": ("synonyms=0.1",),
    "insert=0.1": ("insert=0.1",),
    "delete=0.1": ("delete=0.1",),
    "swap=0.1": ("swap=0.1",),
    "all four, 0.1": ("synonyms=0.1", "insert=0.1", "delete=0.1", "swap=0.1"),
}


def accuracy(texts: np.ndarray, labels: np.ndarray, specs: tuple[str, ...] | None, copies: int, seed: int) -> float:
    """The share of the test sentences that are told right by what was learned from a tenth of the others."""
    order = np.random.default_rng(seed).permutation(len(texts))
    train, test = np.split(order, [round(SHARE * len(texts))])
    generator = np.random.default_rng([seed, 1])
    more = [] if specs is None else [augment(text, specs, generator) for text in np.tile(texts[train], copies)]
    grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    model = make_pipeline(grams, OneVsRestClassifier(LogisticRegression(C=10.0, solver="liblinear")))
    model.fit([*texts[train], *more], np.concatenate([labels[train], np.tile(labels[train], copies if more else 0)]))
    return model.score(texts[test], labels[test])


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.augment", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="tenths to learn from (default: 5)")
    parser.add_argument("--copies", type=int, default=4, metavar="N", help="variants of each sentence (default: 4)")
    flags = parser.parse_args()
    columns = [(field, language) for field in ("hsk_level", "topic") for language in ("zh", "en")]
    print("| training text | " + " | ".join(map(", ".join, columns)) + " |")
    print("|---" * (1 + len(columns)) + "|")
    baseline = {}
    for name, specs in ROWS.items():
        cells = []
        for field, language in columns:
            documents, labels = zip(*read_builtin_labels(f"builtin:hsk/{language}", field), strict=True)
            texts, labels = np.array([document.text for document in documents]), np.array(labels)
            scores = np.array([accuracy(texts, labels, specs, flags.copies, seed) for seed in range(flags.seeds)])
            gain = scores - baseline.setdefault((field, language), scores)
            cells.append(
                f"{scores.mean():.1%} ± {scores.std(ddof=1):.1%} ({gain.mean():+.1%} ± {gain.std(ddof=1):.1%})"
            )
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
