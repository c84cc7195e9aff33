"""What a network must beat: plain answers to the held-out examples of a task, from the examples that it trains on.

Each takes both as the forms of data/forms read them, and gives the figures that evaluate.py would.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from data.forms import Example
from metrics import answer_scores, classification_metrics, span_metrics, text_statistics

Figures = dict[str, float]
Baseline = Callable[[Sequence[Example], Sequence[Example]], Figures]
ENDS = "。.！!？?"  # of a sentence


def column(examples: Sequence[Example], name: str) -> list:
    return [example.values[name] for example in examples]


def majority(train: Sequence[Example], held_out: Sequence[Example]) -> Figures:
    """The commonest class of the training examples, for all."""
    (common, _), *_ = Counter(column(train, "label")).most_common(1)
    return class_figures(held_out, [common] * len(held_out))


def logistic_regression(train: Sequence[Example], held_out: Sequence[Example]) -> Figures:
    """Over TF-IDF: of the characters and pairs of them, or where texts have spaces of the words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = column(train, "text")
    words = sum(" " in text for text in texts) > len(texts) / 2
    kind = {"analyzer": "word"} if words else {"analyzer": "char", "ngram_range": (1, 2)}
    model = make_pipeline(TfidfVectorizer(**kind, min_df=2, sublinear_tf=True), LogisticRegression(C=10, max_iter=1000))
    return class_figures(held_out, model.fit(texts, column(train, "label")).predict(column(held_out, "text")))


def class_figures(held_out: Sequence[Example], predictions: Sequence[str]) -> Figures:
    _, numbers = np.unique([*column(held_out, "label"), *predictions], return_inverse=True)
    return classification_metrics(*np.split(numbers, 2))


def known_names(train: Sequence[Example], held_out: Sequence[Example]) -> Figures:
    """Each word's commonest label in the training examples; O for one that is not there."""
    seen: dict[str, Counter[str]] = {}
    for example in train:
        for word, tag in zip(example.values["tokens"], example.values["tags"], strict=True):
            seen.setdefault(word, Counter())[tag] += 1
    commonest = {word: counts.most_common(1)[0][0] for word, counts in seen.items()}
    tags = [tag for each in column(held_out, "tags") for tag in each]
    found = [commonest.get(word, "O") for tokens in column(held_out, "tokens") for word in tokens]
    classes, numbers = np.unique([*tags, *found], return_inverse=True)
    owners = np.repeat(np.arange(len(held_out)), [len(tokens) for tokens in column(held_out, "tokens")])
    return span_metrics(numbers[: len(tags)], numbers[len(tags) :], owners, classes.tolist())


def nearest(train: Sequence[Example], held_out: Sequence[Example]) -> Figures:
    """The target of the training source that is most like each, by TF-IDF over one to three characters."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3))
    known = vectorizer.fit_transform(column(train, "source"))
    found = (vectorizer.transform(column(held_out, "source")) @ known.T).toarray().argmax(1)
    return text_figures([train[index].values["target"] for index in found], held_out)


def lead(train: Sequence[Example], held_out: Sequence[Example]) -> Figures:
    """The first sentence of each source."""
    return text_figures([re.split(rf"(?<=[{ENDS}])\s", source)[0] for source in column(held_out, "source")], held_out)


def text_figures(predictions: Sequence[str], held_out: Sequence[Example]) -> Figures:
    samples, statistics, _ = text_statistics(predictions, column(held_out, "target"))
    return statistics(*samples)


def what_differs(train: Sequence[Example], held_out: Sequence[Example]) -> Figures:
    """What `guess` makes of each question."""
    scores = [
        answer_scores(guess(each.values["question"], each.values["context"]), each.values["answers"])
        for each in held_out
    ]
    return {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}


def guess(question: str, context: str) -> str:
    """Of the sentence that shares most pairs of characters with the question, what differs from it."""
    sentences = re.findall(rf"[^{ENDS}]+[{ENDS}]*", context)

    def pairs(text: str) -> set[str]:
        return {text[at : at + 2] for at in range(len(text) - 1)}

    best = max(sentences, key=lambda sentence: len(pairs(sentence) & pairs(question)))
    best, question = best.strip().rstrip(ENDS), question.rstrip(ENDS)
    before, after = shared(best, question), shared(best[::-1], question[::-1])
    return best[before : len(best) - after].strip()


def shared(one: str, other: str) -> int:
    """How many characters two texts begin with that are the same."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in pairs)
