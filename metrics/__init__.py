"""Numbers from predictions."""

from metrics.answers import answer_scores
from metrics.best_spans import Spans, best_spans, span_accuracy
from metrics.bootstrap import bootstrap
from metrics.classification import by_class, classification_averages, classification_metrics, confusion
from metrics.language_model import bits_per_byte, language_model_metrics, perplexity

__all__ = [
    "Spans",
    "answer_scores",
    "best_spans",
    "bits_per_byte",
    "bootstrap",
    "by_class",
    "classification_averages",
    "classification_metrics",
    "confusion",
    "language_model_metrics",
    "perplexity",
    "span_accuracy",
]
