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


def language_model_metrics(loss_sum: float, weight: float, num_bytes: int | None) -> dict[str, float]:
    """ "loss" (mean nats a target), "perplexity" and, where the bytes of the text are given, "bits_per_byte".

    Args:
        loss_sum: cross-entropy of all targets in nats.
        weight: how many targets there are.
    """
    loss = float(loss_sum / weight)
    values = {"loss": loss, "perplexity": perplexity(loss)}
    return values if num_bytes is None else values | {"bits_per_byte": bits_per_byte(float(loss_sum), int(num_bytes))}
