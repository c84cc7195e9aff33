"""How sure a number is, given the documents that it was measured on."""

from collections.abc import Callable, Sequence

import numpy as np


def bootstrap(
    statistics: Callable[..., dict[str, float]],
    samples: Sequence[np.ndarray],
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals (Efron 1979, "Bootstrap methods: another look at the jackknife") of each of the statistics.

    Args:
        statistics: of arrays like the samples, numbers by name.
        samples: arrays [documents, ...] that belong together; documents are drawn with replacement, as many as there are.

    Returns:
        the interval, by name; nothing where there is only one document, which tells nothing of others.
    """
    documents = len(samples[0])
    if documents < 2:
        return {}
    generator, drawn = np.random.default_rng(seed), []
    for _ in range(resamples):
        chosen = generator.integers(documents, size=documents)
        drawn.append(statistics(*(sample[chosen] for sample in samples)))
    tails = [(1 - level) / 2, (1 + level) / 2]
    return {name: tuple(np.quantile([each[name] for each in drawn], tails).tolist()) for name in drawn[0]}
