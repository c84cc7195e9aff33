"""Where a token stands: sinusoids added to the input, rotations of queries and keys, or a bias by distance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from model.config import TransformerConfig


def sinusoidal(positions_BT: jax.Array, embed_dim: int) -> jax.Array:
    """Vaswani et al. 2017 (arXiv:1706.03762), section 3.5: sines in the even columns, cosines in the odd. Float32 [B, T, D]."""
    frequencies = 10000.0 ** (-jnp.arange(0, embed_dim, 2) / embed_dim)
    angles = positions_BT[..., None].astype(jnp.float32) * frequencies
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(*positions_BT.shape, embed_dim)


def _linear(frequencies: jax.Array, factor: float, **_) -> jax.Array:
    """Positions divided by `factor` (Chen et al. 2023, arXiv:2306.15595)."""
    return frequencies / factor


def _llama3(frequencies, factor, original_length, low_rotations, high_rotations, **_) -> jax.Array:
    """Llama 3.1 (Grattafiori et al. 2024, arXiv:2407.21783; the formula is in Meta's published code).

    A pair that turns fewer than `low_rotations` times over the original length is slowed by `factor`, one that turns more
    than `high_rotations` times is left alone, and those between are blended by how often they turn.
    """
    rotations = original_length * frequencies / (2 * math.pi)
    kept = jnp.clip((rotations - low_rotations) / (high_rotations - low_rotations), 0, 1)
    return (1 - kept) * frequencies / factor + kept * frequencies


def _yarn(frequencies, factor, original_length, low_rotations, high_rotations, theta) -> jax.Array:
    """YaRN (Peng et al. 2023, arXiv:2309.00071, section 3.2): as `_llama3`, but blended along the pairs' numbers."""
    half = len(frequencies)

    def pair_that_turns(rotations: float) -> float:
        return half * math.log(original_length / (rotations * 2 * math.pi)) / math.log(theta)

    first = max(math.floor(pair_that_turns(high_rotations)), 0)
    last = min(math.ceil(pair_that_turns(low_rotations)), 2 * half - 1)
    slowed = jnp.clip((jnp.arange(half) - first) / max(last - first, 0.001), 0, 1)
    return slowed * frequencies / factor + (1 - slowed) * frequencies


# name -> function of RoPE's frequencies [H/2] that makes a model read texts `factor` times as long as it was trained on.
ROPE_SCALINGS = {
    "none": lambda frequencies, **_: frequencies,
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
}


def rotations(positions_BT: jax.Array, config: TransformerConfig) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines of RoPE's angles, position * theta^(-2i/H) for i < H/2, scaled: float32 [B, T, 1, H/2] each.

    YaRN also sharpens the attention, by lengthening both queries and keys (its equation 22).
    """
    half = config.head_dim // 2
    frequencies = ROPE_SCALINGS[config.rope_scaling](
        config.rope_theta ** (-jnp.arange(half, dtype=jnp.float32) / half),
        factor=config.rope_factor,
        original_length=config.rope_original_length,
        low_rotations=config.rope_low_rotations,
        high_rotations=config.rope_high_rotations,
        theta=config.rope_theta,
    )
    angles = positions_BT[:, :, None, None].astype(jnp.float32) * frequencies
    length = 0.1 * math.log(config.rope_factor) + 1 if config.rope_scaling == "yarn" else 1.0
    return length * jnp.cos(angles), length * jnp.sin(angles)


def rotate(x_BTNH: jax.Array, cos_sin: tuple[jax.Array, jax.Array]) -> jax.Array:
    """RoPE (Su et al. 2021, arXiv:2104.09864): turns the pair (i, i + H/2) of each head by its angle.

    The pairs are the two halves of a head, as in Llama's published weights.
    """
    cos, sin = cos_sin
    x1, x2 = jnp.split(x_BTNH.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], axis=-1).astype(x_BTNH.dtype)


def relative_buckets(
    positions_BT: jax.Array, positions_BS: jax.Array, buckets: int, max_distance: int, bidirectional: bool
) -> jax.Array:
    """T5's bucket (Raffel et al. 2020, arXiv:1910.10683, section 2.1) of each key as seen from each query: int32 [B, T, S].

    Half of the buckets hold one distance each, the others ever wider ranges of distances, up to `max_distance`; where
    `bidirectional`, keys before and after the query have half of all buckets each.
    """
    ahead = positions_BS[:, None, :] - positions_BT[:, :, None]
    offset = 0
    if bidirectional:
        buckets //= 2
        offset = jnp.where(ahead > 0, buckets, 0)
        distance = jnp.abs(ahead)
    else:
        distance = jnp.maximum(-ahead, 0)
    exact = buckets // 2
    ratio = jnp.log(jnp.maximum(distance, exact).astype(jnp.float32) / exact) / math.log(max_distance / exact)
    wide = jnp.minimum(exact + (ratio * (buckets - exact)).astype(jnp.int32), buckets - 1)
    return offset + jnp.where(distance < exact, distance, wide)
