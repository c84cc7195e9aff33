"""The figures of evaluate.py for answers that stand in a text: exact match and F1, over all windows of each question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from data.forms.answers import choose_answer, cut_windows
from data.tokenizer import Tokenizer
from metrics import answer_scores, best_spans, bootstrap

if TYPE_CHECKING:
    from training.evaluation import DocumentSums, Evaluator
    from training.measurement import Subject


def of_answers(
    evaluator: Evaluator,
    measured: Mapping[str, DocumentSums],
    subject: Subject,
    tokenizer: Tokenizer,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """The "loss" is the mean of windows, the other figures of questions; intervals are from the bootstrap over questions."""
    asked = [question for source in measured for question in _answer(measured[source], subject, source, tokenizer)]
    rows = [answer_scores(each["prediction"], each["answers"]) for each, _, _ in asked]
    samples = [np.array([row[name] for row in rows]) for name in ("exact_match", "f1")]
    samples += [np.array(column) for column in zip(*((loss, windows) for _, loss, windows in asked), strict=True)]

    def statistics(exact: np.ndarray, f1: np.ndarray, loss: np.ndarray, windows: np.ndarray) -> dict[str, float]:
        means = {"exact_match": float(exact.mean()), "f1": float(f1.mean())}
        return {"loss": float(loss.sum() / windows.sum())} | means

    counts = {"questions": len(asked), "windows": int(samples[3].sum())}
    return {
        "metrics": statistics(*samples) | counts,
        "intervals": bootstrap(statistics, samples),
        "predictions": [each | row for (each, _, _), row in zip(asked, rows, strict=True)],
    }


def _answer(
    sums: DocumentSums, subject: Subject, source: str, tokenizer: Tokenizer
) -> Iterator[tuple[dict[str, Any], float, int]]:
    """Each question with its prediction and answers; the loss of its windows, summed; and how many these are."""
    spans = best_spans(*(sums.answers[name] for name in ("start", "end", "first", "context")))
    window = 0
    for example in subject.documents[source]:
        cut, _ = cut_windows(example.values, tokenizer, subject.data.sequence_length, subject.data.window_stride)
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
