"""The figures of `evaluate.py` where labels are others than one class of a text: names in it, several classes, a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from data.tokenizer import Tokenizer
from metrics import (
    bootstrap,
    by_label,
    by_type,
    count_spans,
    multilabel_metrics,
    regression_metrics,
    span_metrics,
    span_scores,
)
from training.evaluation import DocumentSums, Evaluator, all_answers

if TYPE_CHECKING:
    from training.measurement import Say, Subject


def of_tags(
    evaluator: Evaluator, measured: Mapping[str, DocumentSums], subject: Subject, tokenizer: Tokenizer, say: Say
) -> dict[str, Any]:
    """Spans, in all and by type; of each document, as far as it was read, its words, their labels, and those predicted."""
    answers, examples = all_answers(measured), _documents(measured, subject)
    labels, predictions, documents = (answers[name] for name in ("targets", "prediction", "documents"))
    losses, weights = (
        np.concatenate([getattr(each, name) for each in measured.values()]) for name in ("loss", "weight")
    )
    read = weights > 0  # documents with a word that is read: all, where a row holds one
    counts, kinds = count_spans(labels, predictions, documents, subject.classes)
    right = np.bincount(documents, labels == predictions, len(weights))

    def statistics(losses: np.ndarray, weights: np.ndarray, right: np.ndarray, counts: np.ndarray) -> dict[str, float]:
        words = weights.sum()
        scores = span_scores(*counts.sum((0, 1)).tolist())
        return {"loss": float(losses.sum() / words)} | scores | {"accuracy": float(right.sum() / words)}

    scores = span_metrics(labels, predictions, documents, subject.classes)
    starts = np.searchsorted(documents, np.arange(1, len(examples)))
    of_documents = zip(examples, np.split(predictions, starts), strict=True)
    return {
        "metrics": {"loss": float(losses.sum() / weights.sum())}
        | scores
        | {"words": len(labels), "documents": len(examples)},
        "intervals": bootstrap(statistics, (losses[read], weights[read], right[read], counts)),
        "per_class": by_type(counts, kinds),
        "predictions": [
            {name: example.values[name][: len(numbers)] for name in ("tokens", "tags")}
            | {"prediction": [subject.classes[number] for number in numbers]}
            for example, numbers in of_documents
        ],
    }


def of_label_sets(
    evaluator: Evaluator, measured: Mapping[str, DocumentSums], subject: Subject, tokenizer: Tokenizer, say: Say
) -> dict[str, Any]:
    """Figures over all classes and of each; of each text its labels, those predicted, and the probability of every class."""
    answers, names = all_answers(measured), subject.classes
    labels, predictions = answers["targets"], answers["prediction"]
    samples = (np.concatenate([each.loss for each in measured.values()]), labels, predictions)

    def statistics(losses: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
        return {"loss": float(losses.mean())} | multilabel_metrics(labels, predictions)

    rows = zip(_documents(measured, subject), predictions, answers["probability"], strict=True)
    return {
        "metrics": statistics(*samples) | {"documents": len(labels)},
        "intervals": bootstrap(statistics, samples),
        "per_class": by_label(labels, predictions, names),
        "predictions": [
            {
                "text": example.text,
                "label": list(example.values["label"]),
                "prediction": [names[number] for number in np.flatnonzero(chosen)],
                "probabilities": {name: round(float(each), 4) for name, each in zip(names, chances, strict=True)},
            }
            for example, chosen, chances in rows
        ],
    }


def of_numbers(
    evaluator: Evaluator, measured: Mapping[str, DocumentSums], subject: Subject, tokenizer: Tokenizer, say: Say
) -> dict[str, Any]:
    """The error and the correlations; of each text its number, and what it was taken for."""
    answers = all_answers(measured)
    samples = (answers["targets"], answers["prediction"])
    rows = zip(_documents(measured, subject), answers["prediction"].tolist(), strict=True)
    return {
        "metrics": regression_metrics(*samples) | {"documents": len(samples[0])},
        "intervals": bootstrap(regression_metrics, samples),
        "predictions": [
            {"text": example.text, "label": example.values["label"], "prediction": round(number, 4)}
            for example, number in rows
        ],
    }


def _documents(measured: Mapping[str, DocumentSums], subject: Subject) -> list[Any]:
    """The examples, in the order of the answers."""
    return [example for source in measured for example in subject.documents[source]]
