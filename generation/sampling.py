"""How the next token is chosen from logits."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from common.errors import require


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """Greedy where `temperature` is 0; otherwise a draw from the softmax of logits / temperature, cut by:

    top_k: the k likeliest tokens (Fan et al. 2018, arXiv:1805.04833); 0: all.
    top_p: the fewest tokens whose probabilities sum to p or more (Holtzman et al. 2019, arXiv:1904.09751); 1: all.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self):
        require(
            0 <= self.temperature < math.inf, f"--temperature {self.temperature} must be 0 (greedy) or a number above"
        )
        require(self.top_k >= 0, f"--top_k {self.top_k} must be 0 (all tokens) or above")
        require(0 < self.top_p <= 1, f"--top_p {self.top_p} must be above 0 and at most 1")


def filter_logits(logits_BV: jax.Array, config: SamplingConfig) -> jax.Array:
    """Logits over temperature, -inf where top-k or top-p cut a token off. Needs temperature > 0.

    Of tokens that are equally likely the one with the lower number counts as likelier, as in argmax. The likeliest token
    of each row gets 0, so that no temperature, however low, overflows.
    """
    logits = (logits_BV - logits_BV.max(-1, keepdims=True)) / max(config.temperature, 1e-6)
    if config.top_k == 0 and config.top_p == 1:
        return logits
    size = logits.shape[-1]
    kept, tokens = jax.lax.top_k(logits, min(config.top_k or size, size))  # the likeliest first
    probabilities = jax.nn.softmax(kept, axis=-1)
    likelier = jnp.cumsum(probabilities, axis=-1) - probabilities
    kept = jnp.where(likelier < config.top_p, kept, -jnp.inf)
    rows = jnp.arange(logits.shape[0])[:, None]
    return jnp.full_like(logits, -jnp.inf).at[rows, tokens].set(kept)


def choose_tokens(
    logits_BV: jax.Array, allowed_V: jax.Array, keys_B: jax.Array, config: SamplingConfig
) -> tuple[jax.Array, jax.Array]:
    """A token for each row among those allowed, int32 [B], and its log-probability under the logits as they are, float32.

    A row has its own key, so that what it draws does not depend on the other rows.
    """
    allowed_BV = jnp.where(allowed_V, logits_BV, -jnp.inf)
    if config.temperature == 0:
        tokens = jnp.argmax(allowed_BV, axis=-1)
    else:
        tokens = jax.vmap(jax.random.categorical)(keys_B, filter_logits(allowed_BV, config))
    logprobs = jnp.take_along_axis(jax.nn.log_softmax(logits_BV), tokens[:, None], axis=-1)[:, 0]
    return tokens.astype(jnp.int32), logprobs
