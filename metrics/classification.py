"""How well classes are told apart, as scikit-learn has it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

SCORES = ("precision", "recall", "f1")


def classification_metrics(labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """ "accuracy", and precision, recall and F1 as "macro_…" (the mean over classes) and "micro_…" (over examples).

    Counted here, since scikit-learn's functions take too long for the draws of the bootstrap.

    Args:
        labels, predictions: numbers of classes, [examples]; a class that is in neither does not count.
    """
    numbers = labels, predictions, labels[labels == predictions]
    classes = 1 + max(labels.max(), predictions.max())
    there, predicted, right = (np.bincount(each, minlength=classes) for each in numbers)
    named = there + predicted > 0
    macro = (
        right / np.maximum(1, predicted),
        right / np.maximum(1, there),
        2 * right / np.maximum(1, there + predicted),
    )
    accuracy = float(right.sum() / len(labels))
    values = {"accuracy": accuracy}
    values |= {f"macro_{name}": float(each[named].mean()) for name, each in zip(SCORES, macro, strict=True)}
    return values | {f"micro_{name}": accuracy for name in SCORES}  # with one class a text they are the same


def by_class(labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Precision, recall, F1 and "support" (how many examples it has) of each class, by name.

    Args:
        labels, predictions: numbers of classes, [examples]; or 1 for each class that a text is of, [examples, C].
    """
    from sklearn.metrics import precision_recall_fscore_support

    scores = precision_recall_fscore_support(labels, predictions, labels=range(len(classes)), zero_division=0)
    rows = zip(*(each.tolist() for each in scores), strict=True)
    return {name: dict(zip((*SCORES, "support"), row, strict=True)) for name, row in zip(classes, rows, strict=True)}


def confusion(labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Examples of each class (rows) by what they were taken for (columns): int [C, C]."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(labels, predictions, labels=range(len(classes)))
