"""How well several classes of one text are told.

As scikit-learn has it, whose functions take too long for the draws of the bootstrap.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metrics.classification import SCORES


def multilabel_metrics(labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """ "micro_f1" (over all decisions), "macro_f1" (the mean over classes) and "exact_match" (all classes of a text right).

    Args:
        labels, predictions: integers, 1 for each class that a text is of, [examples, C].
    """
    right, predicted, there = (labels & predictions).sum(0), predictions.sum(0), labels.sum(0)
    return {
        "micro_f1": float(2 * right.sum() / max(1, predicted.sum() + there.sum())),
        "macro_f1": float((2 * right / np.maximum(1, predicted + there)).mean()),
        "exact_match": float((labels == predictions).all(-1).mean()),
    }


def by_label(labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Precision, recall, F1 and "support" (how many texts are of it) of each class, by name."""
    from sklearn.metrics import precision_recall_fscore_support

    scores = precision_recall_fscore_support(labels, predictions, average=None, zero_division=0)
    rows = zip(*(each.tolist() for each in scores), strict=True)
    return {name: dict(zip((*SCORES, "support"), row, strict=True)) for name, row in zip(classes, rows, strict=True)}
