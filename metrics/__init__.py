"""Numbers from predictions."""

from metrics.language_model import bits_per_byte, perplexity

__all__ = ["bits_per_byte", "perplexity"]
