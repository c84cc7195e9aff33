"""The likeliest span of a text, from how much speaks for its two ends."""

from typing import NamedTuple

import numpy as np

LONGEST = 30  # tokens of an answer, as in BERT's and most later evaluations


class Spans(NamedTuple):
    """The best span of each window; [W] each.

    Attributes:
        first, last: its places, counted from the window's first, int64; -1 where it has no place for one.
        score: its log-probability: of its two ends, each among all places of the window, float64; -inf where there is none.
        null: the same of no answer, which is a span at the first place.
    """

    first: np.ndarray
    last: np.ndarray
    score: np.ndarray
    null: np.ndarray


def best_spans(
    start: np.ndarray, end: np.ndarray, first: np.ndarray, context: np.ndarray, longest: int = LONGEST
) -> Spans:
    """The likeliest span of at most `longest` places in each window.

    Args:
        start, end: logits at each place of all windows, one after the other, [N].
        first: bool [N], where a window begins.
        context: bool [N], where a span may be.
    """
    begins, window = np.flatnonzero(first), np.cumsum(first) - 1
    start, end = (_log_softmax(logits.astype(np.float64), begins, window) for logits in (start, end))
    best, last = np.full(len(start), -np.inf), np.zeros(len(start), np.int64)
    for length in range(min(longest, len(start))):  # of the spans that begin at each place, the best one
        ends = np.arange(length, len(start))
        places = ends - length
        fits = (window[places] == window[ends]) & context[places] & context[ends]
        scores = np.where(fits, start[places] + end[ends], -np.inf)
        better = scores > best[places]
        best[places[better]], last[places[better]] = scores[better], ends[better]
    highest = np.maximum.reduceat(best, begins)
    is_best = (best == highest[window]) & np.isfinite(best)
    chosen = np.minimum.reduceat(np.where(is_best, np.arange(len(best)), len(best)), begins)
    there = chosen < len(best)
    chosen = np.where(there, chosen, 0)
    return Spans(
        np.where(there, chosen - begins, -1), np.where(there, last[chosen] - begins, -1), highest, (start + end)[begins]
    )


def _log_softmax(logits: np.ndarray, begins: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Over the places of each window."""
    logits = logits - np.maximum.reduceat(logits, begins)[window]
    return logits - np.log(np.add.reduceat(np.exp(logits), begins))[window]


def span_accuracy(answers: dict[str, np.ndarray]) -> dict[str, float]:
    """ "span_accuracy": the share of windows whose best span, or none, is just the one that `targets` tell.

    Args:
        answers: as `best_spans` takes them, and "targets": 1 where the answer begins, 2 where it ends, 3 for both; [N].
    """
    found = best_spans(*(answers[name] for name in ("start", "end", "first", "context")))
    begins, targets = np.flatnonzero(answers["first"]), answers["targets"]
    is_null = found.null >= found.score
    right = np.ones(len(begins), bool)
    for mark, places in ((1, found.first), (2, found.last)):
        right &= (targets[begins + np.where(is_null, 0, places)] & mark) > 0
    return {"span_accuracy": float(right.mean())}
