"""How well the names in texts are found: spans of words, right only if beginning, end and type are (CoNLL-2003).

As seqeval and conlleval count them; seqeval itself has had no release since 2020, and the counts by document, which the
bootstrap draws, are not to be had from it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

OUTSIDE = "O"


def find_spans(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """The (first word, word behind the last, type) of each span of B-TYPE, I-TYPE and O, in order.

    An I- without its beginning, which a network may well answer, begins a span.
    """
    spans, start, kind = [], 0, ""
    for at, tag in enumerate([*tags, OUTSIDE]):
        prefix, _, of = tag.partition("-")
        if kind and (prefix != "I" or of != kind):
            spans.append((start, at, kind))
            kind = ""
        if of and not kind:
            start, kind = at, of
    return spans


def count_spans(
    labels: np.ndarray, predictions: np.ndarray, documents: np.ndarray, classes: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
    """How many spans are right, predicted and there: int64 [D, types, 3], and the types' names.

    Args:
        labels, predictions: of each word the number of its class, [N].
        documents: int64 [N], the document that it is of, in order; D are different.
    """
    kinds = sorted({name.partition("-")[2] for name in classes} - {""})
    of_kind = {kind: number for number, kind in enumerate(kinds)}
    first = np.flatnonzero(np.diff(documents, prepend=-1))
    counts = np.zeros((len(first), len(kinds), 3), np.int64)
    for document, (start, end) in enumerate(zip(first, [*first[1:], len(documents)], strict=True)):
        there, found = (
            set(find_spans([classes[number] for number in numbers[start:end]])) for numbers in (labels, predictions)
        )
        for place, spans in enumerate((there & found, found, there)):
            for *_, kind in spans:
                counts[document, of_kind[kind], place] += 1
    return counts, kinds


def span_scores(right: int, predicted: int, there: int) -> dict[str, float]:
    """ "precision", "recall" and "f1" (0 where nothing is predicted, or there)."""
    precision, recall = right / max(predicted, 1), right / max(there, 1)
    return {"precision": precision, "recall": recall, "f1": 2 * right / max(predicted + there, 1)}


def span_metrics(
    labels: np.ndarray, predictions: np.ndarray, documents: np.ndarray, classes: Sequence[str]
) -> dict[str, float]:
    """`span_scores` of the spans of all types together, and the "accuracy" of words; arguments as of `count_spans`."""
    counts, _ = count_spans(labels, predictions, documents, classes)
    scores = span_scores(*counts.sum((0, 1)).tolist())
    return scores | {"accuracy": float((labels == predictions).mean())}


def by_type(counts: np.ndarray, kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`span_scores` and "support" (spans that are there) of each type, of what `count_spans` gives."""
    totals = zip(kinds, counts.sum(0).tolist(), strict=True)
    return {kind: span_scores(*numbers) | {"support": numbers[2]} for kind, numbers in totals}
