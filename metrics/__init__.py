"""Numbers from predictions."""

from metrics.bootstrap import bootstrap
from metrics.language_model import bits_per_byte, language_model_metrics, perplexity

__all__ = ["bits_per_byte", "bootstrap", "language_model_metrics", "perplexity"]
