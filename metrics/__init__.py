"""Numbers from predictions."""

from metrics.answers import answer_scores
from metrics.best_spans import Spans, best_spans, span_accuracy
from metrics.bootstrap import bootstrap
from metrics.classification import by_class, classification_metrics, confusion
from metrics.language_model import bits_per_byte, language_model_metrics, perplexity
from metrics.multilabel import multilabel_metrics
from metrics.regression import regression_metrics
from metrics.spans import by_type, count_spans, span_metrics, span_scores
from metrics.text import text_statistics

__all__ = [
    "Spans",
    "answer_scores",
    "best_spans",
    "bits_per_byte",
    "bootstrap",
    "by_class",
    "by_type",
    "classification_metrics",
    "confusion",
    "count_spans",
    "language_model_metrics",
    "multilabel_metrics",
    "perplexity",
    "regression_metrics",
    "span_accuracy",
    "span_metrics",
    "span_scores",
    "text_statistics",
]
