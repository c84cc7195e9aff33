"""How well classes are told apart, by scikit-learn."""

from collections.abc import Sequence
from typing import Any

import numpy as np

SCORES = ("precision", "recall", "f1")


def classification_metrics(labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """ "accuracy", and "macro_f1": the mean of the F1 of each class.

    Args:
        labels, predictions: numbers of classes, [examples].
    """
    from sklearn.metrics import accuracy_score, f1_score

    macro = f1_score(labels, predictions, average="macro", zero_division=0)
    return {"accuracy": float(accuracy_score(labels, predictions)), "macro_f1": float(macro)}


def classification_averages(labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """The same, and precision, recall and F1 as "macro_…" (the mean over classes) and "micro_…" (over examples)."""
    from sklearn.metrics import precision_recall_fscore_support

    values = {"accuracy": classification_metrics(labels, predictions)["accuracy"]}
    for average in ("macro", "micro"):
        scores = precision_recall_fscore_support(labels, predictions, average=average, zero_division=0)
        values |= {f"{average}_{name}": float(score) for name, score in zip(SCORES, scores[:3], strict=True)}
    return values


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
