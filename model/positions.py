"""Where a token stands: sinusoids added to the input, or rotations of queries and keys."""

import jax
import jax.numpy as jnp


def sinusoidal(positions_BT: jax.Array, embed_dim: int) -> jax.Array:
    """Vaswani et al. 2017 (arXiv:1706.03762), section 3.5: sines in the even columns, cosines in the odd. Float32 [B, T, D]."""
    frequencies = 10000.0 ** (-jnp.arange(0, embed_dim, 2) / embed_dim)
    angles = positions_BT[..., None].astype(jnp.float32) * frequencies
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1).reshape(*positions_BT.shape, embed_dim)


def rotations(positions_BT: jax.Array, head_dim: int, theta: float) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines of RoPE's angles, position * theta^(-2i/H) for i < H/2: float32 [B, T, 1, H/2] each."""
    half = head_dim // 2
    frequencies = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions_BT[:, :, None, None].astype(jnp.float32) * frequencies
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x_BTNH: jax.Array, cos_sin: tuple[jax.Array, jax.Array]) -> jax.Array:
    """RoPE (Su et al. 2021, arXiv:2104.09864): turns the pair (i, i + H/2) of each head by its angle.

    The pairs are the two halves of a head, as in Llama's published weights.
    """
    cos, sin = cos_sin
    x1, x2 = jnp.split(x_BTNH.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], axis=-1).astype(x_BTNH.dtype)
