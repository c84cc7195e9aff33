"""How well several classes of one text are told.

As scikit-learn has it, whose functions take too long for the draws of the bootstrap.
"""

import numpy as np


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
