"""Numbers from predictions."""

from metrics.bootstrap import bootstrap
from metrics.classification import by_class, classification_averages, classification_metrics, confusion
from metrics.language_model import bits_per_byte, language_model_metrics, perplexity
from metrics.text import text_statistics

__all__ = [
    "bits_per_byte",
    "bootstrap",
    "by_class",
    "classification_averages",
    "classification_metrics",
    "confusion",
    "language_model_metrics",
    "perplexity",
    "text_statistics",
]
