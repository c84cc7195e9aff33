"""How well a language model predicts a text."""

import math


def perplexity(loss: float) -> float:
    """exp of the mean cross-entropy in nats; infinite where that is too large for a float."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def bits_per_byte(loss_sum: float, num_bytes: int) -> float:
    """Bits that the model needs for each byte of UTF-8, from the summed cross-entropy in nats.

    Unlike perplexity it does not depend on the tokenizer, so models with different ones compare.
    """
    return loss_sum / math.log(2) / num_bytes
