"""Softmax attention from queries, keys and values, and the table of the ways to compute it."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

BLOCKS, SHORTEST = 2, 32  # so many blocks a row, of that many queries or more; more cost more to compile than they save


def attend_by_blocks(
    q_BTNH: jax.Array,
    k_BTKH: jax.Array,
    v_BTKH: jax.Array,
    bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    scale: float | None = None,
) -> jax.Array:
    """What `jax.nn.dot_product_attention` gives where no query sees a later key of its row: [B, T, N, H] in q's dtype.

    Queries are taken in blocks, and each block is multiplied with the keys up to its end only: two blocks leave out a quarter
    of all scores. Scores and softmax are float32, and the outputs are divided by the softmax's sum, not the weights, which
    are more.

    Args:
        bias: of the dtype of q, [B or 1, N, T, T], added to the scores.
        mask: bool [B, 1, T, T], which key each query may see; none that stands after it.
        scale: of the scores; None: 1 / sqrt(H).
    """
    B, T, N, H = q_BTNH.shape
    K = k_BTKH.shape[2]
    q_BKGTH = q_BTNH.reshape(B, T, K, N // K, H).transpose(0, 2, 3, 1, 4) * (H**-0.5 if scale is None else scale)
    k_BKSH, v_BKSH = k_BTKH.swapaxes(1, 2), v_BTKH.swapaxes(1, 2)
    size = max(SHORTEST, -(-T // BLOCKS))
    outputs = []
    for start in range(0, T, size):
        rows, seen = slice(start, start + size), slice(0, start + size)
        scores = jnp.einsum(
            "BKGTH,BKSH->BKGTS", q_BKGTH[..., rows, :], k_BKSH[:, :, seen], preferred_element_type=jnp.float32
        )
        if bias is not None:
            scores += bias.reshape(-1, K, N // K, T, T)[..., rows, seen]
        if mask is not None:
            scores = jnp.where(mask[:, :, None, rows, seen], scores, jnp.finfo(jnp.float32).min)
        weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
        output = jnp.einsum("BKGTS,BKSH->BKGTH", weights.astype(v_BKSH.dtype), v_BKSH[:, :, seen])
        outputs.append(output / weights.sum(-1, keepdims=True).astype(output.dtype))
    return jnp.concatenate(outputs, axis=-2).transpose(0, 3, 1, 2, 4).reshape(q_BTNH.shape)


_xla, _cudnn = (functools.partial(jax.nn.dot_product_attention, implementation=name) for name in ("xla", "cudnn"))


def _fastest(*arguments, **keywords):
    return (attend_by_blocks if jax.default_backend() == "cpu" else _xla)(*arguments, **keywords)


class Attend(NamedTuple):
    """Functions with the signature of `jax.nn.dot_product_attention`.

    Attributes:
        causal: for rows that attend to themselves, no query to a later key.
        other: for all else: ahead too, to another row, to a cache.
    """

    causal: Callable[..., jax.Array]
    other: Callable[..., jax.Array]


ATTENTIONS = {
    "auto": Attend(_fastest, _xla),
    "blocks": Attend(attend_by_blocks, _xla),
    "xla": Attend(_xla, _xla),
    "cudnn": Attend(_cudnn, _cudnn),
}
