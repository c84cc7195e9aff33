"""How close numbers come to what they should be."""

import math

import numpy as np


def regression_metrics(labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """ "mse", the mean squared error; "pearson" and "spearman", the correlations of values and of ranks, by SciPy.

    The correlations are NaN where one side is constant, since they are not defined there.

    Args:
        labels, predictions: numbers, [examples].
    """
    from scipy.stats import pearsonr, spearmanr

    labels, predictions = labels.astype(np.float64), predictions.astype(np.float64)
    values = {"mse": float(np.square(labels - predictions).mean()), "pearson": math.nan, "spearman": math.nan}
    if np.ptp(labels) > 0 and np.ptp(predictions) > 0:
        values |= {"pearson": float(pearsonr(labels, predictions)[0])}
        values |= {"spearman": float(spearmanr(labels, predictions)[0])}
    return values
