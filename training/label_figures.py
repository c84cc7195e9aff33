"""The figures of `evaluate.py` of labels: the class of a text, several classes, a number, names in it; and of preferences."""

from typing import Any

import numpy as np

from metrics import (
    by_class,
    by_type,
    classification_metrics,
    confusion,
    count_spans,
    multilabel_metrics,
    regression_metrics,
    span_scores,
)
from training.found import Found, figures_of


def of_classes(found: Found) -> dict[str, Any]:
    """Figures over all classes and of each; of each text its label, the likeliest class, and how likely that is."""
    names = found.subject.classes
    labels, predictions = (found.answers[name] for name in ("targets", "prediction"))

    def statistics(losses: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
        return {"loss": float(losses.mean())} | classification_metrics(labels, predictions)

    rows = zip(found.examples, labels, predictions, found.answers["probability"].max(-1), strict=True)
    return figures_of(
        statistics,
        (found.losses, labels, predictions),
        {"documents": len(labels)},
        per_class=by_class(labels, predictions, names),
        confusion_matrix=confusion(labels, predictions, names).tolist(),
        predictions=[
            {
                "text": example.text,
                "label": names[label],
                "prediction": names[answer],
                "probability": round(float(chance), 4),
            }
            for example, label, answer, chance in rows
        ],
    )


def of_label_sets(found: Found) -> dict[str, Any]:
    """Figures over all classes and of each; of each text its labels, those predicted, and the probability of every class."""
    names = found.subject.classes
    labels, predictions = (found.answers[name] for name in ("targets", "prediction"))

    def statistics(losses: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
        return {"loss": float(losses.mean())} | multilabel_metrics(labels, predictions)

    rows = zip(found.examples, predictions, found.answers["probability"], strict=True)
    return figures_of(
        statistics,
        (found.losses, labels, predictions),
        {"documents": len(labels)},
        per_class=by_class(labels, predictions, names),
        predictions=[
            {
                "text": example.text,
                "label": list(example.values["label"]),
                "prediction": [names[number] for number in np.flatnonzero(chosen)],
                "probabilities": {name: round(float(each), 4) for name, each in zip(names, chances, strict=True)},
            }
            for example, chosen, chances in rows
        ],
    )


def of_numbers(found: Found) -> dict[str, Any]:
    """The error and the correlations; of each text its number, and what it was taken for."""
    samples = [found.answers[name] for name in ("targets", "prediction")]
    rows = zip(found.examples, found.answers["prediction"].tolist(), strict=True)
    return figures_of(
        regression_metrics,
        samples,
        {"documents": len(samples[0])},
        predictions=[
            {"text": example.text, "label": example.values["label"], "prediction": round(number, 4)}
            for example, number in rows
        ],
    )


def of_tags(found: Found) -> dict[str, Any]:
    """Spans, in all and by type; of each document, as far as it was read, its words, their labels, and those predicted."""
    classes, examples, weights = found.subject.classes, found.examples, found.weights
    labels, predictions, documents = (found.answers[name] for name in ("targets", "prediction", "documents"))
    read = weights > 0  # documents with a word that is read: all, where a row holds one
    counts, kinds = count_spans(labels, predictions, documents, classes)
    right = np.bincount(documents, labels == predictions, len(weights))

    def statistics(losses: np.ndarray, weights: np.ndarray, right: np.ndarray, counts: np.ndarray) -> dict[str, float]:
        words = weights.sum()
        scores = span_scores(*counts.sum((0, 1)).tolist())
        return {"loss": float(losses.sum() / words)} | scores | {"accuracy": float(right.sum() / words)}

    starts = np.searchsorted(documents, np.arange(1, len(examples)))
    of_documents = zip(examples, np.split(predictions, starts), strict=True)
    return figures_of(
        statistics,
        (found.losses[read], weights[read], right[read], counts),
        {"words": len(labels), "documents": len(examples)},
        per_class=by_type(counts, kinds),
        predictions=[
            {name: example.values[name][: len(numbers)] for name in ("tokens", "tags")}
            | {"prediction": [classes[number] for number in numbers]}
            for example, numbers in of_documents
        ],
    )


def of_preferences(found: Found) -> dict[str, Any]:
    """How often the better answer is the likelier one than it was, and by how much."""
    names = ("loss", "reward_accuracy", "margin")
    samples = [found.losses, *(found.answers[name] for name in names[1:])]

    def statistics(*samples: np.ndarray) -> dict[str, float]:
        return {name: float(values.mean(dtype=np.float64)) for name, values in zip(names, samples, strict=True)}

    return figures_of(statistics, samples, {"documents": len(samples[0])})
