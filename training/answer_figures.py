"""The figures of evaluate.py for answers that stand in a text: exact match and F1, over all windows of each question."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from data.forms.answers import choose_answer, cut_windows
from metrics import answer_scores, best_spans
from training.found import Found, figures_of


def of_answers(found: Found) -> dict[str, Any]:
    """The "loss" is the mean of windows, the other figures of questions; intervals are from the bootstrap over questions."""
    asked = [question for source in found.measured for question in _answer(found, source)]
    rows = [answer_scores(each["prediction"], each["answers"]) for each, _, _ in asked]
    samples = [np.array([row[name] for row in rows]) for name in ("exact_match", "f1")]
    samples += [np.array(column) for column in zip(*((loss, windows) for _, loss, windows in asked), strict=True)]

    def statistics(exact: np.ndarray, f1: np.ndarray, loss: np.ndarray, windows: np.ndarray) -> dict[str, float]:
        means = {"exact_match": float(exact.mean()), "f1": float(f1.mean())}
        return {"loss": float(loss.sum() / windows.sum())} | means

    counts = {"questions": len(asked), "windows": int(samples[3].sum())}
    predictions = [each | row for (each, _, _), row in zip(asked, rows, strict=True)]
    return figures_of(statistics, samples, counts, predictions=predictions)


def _answer(found: Found, source: str) -> Iterator[tuple[dict[str, Any], float, int]]:
    """Each question with its prediction and answers; the loss of its windows, summed; and how many these are."""
    sums, subject = found.measured[source], found.subject
    spans = best_spans(*(sums.answers[name] for name in ("start", "end", "first", "context")))
    window = 0
    for example in subject.documents[source]:
        cut, _ = cut_windows(example.values, found.tokenizer, subject.data.sequence_length, subject.data.window_stride)
        here = slice(window, window := window + len(cut))
        prediction, probability = choose_answer(example.values["context"], cut, *(each[here] for each in spans))
        yield (
            {
                "question": example.values["question"],
                "prediction": prediction,
                "answers": example.values["answers"],
                "probability": round(probability, 4),
            },
            float(sums.loss[here].sum()),
            len(cut),
        )
