"""Checksums of arrays, computed where the arrays are: Orbax does not notice a bit that has flipped on disk."""

import functools

import jax
import jax.numpy as jnp

from model.parameters import by_path

PIECE = 1 << 20  # elements: what is summed takes memory


def checksums(tree) -> dict[str, int]:
    """A 32-bit checksum of each array of at most 32 bits an element, by path, the same however it is sharded.

    The sum over elements of bits * (2 i + 1) mod 2^32, i being the element's index: odd factors let no flipped bit cancel.
    """
    return {path: _checksum(leaf) for path, leaf in by_path(tree).items()}


def _checksum(leaf) -> int:
    """A piece at a time, but where the array lies on several devices: between them its rows would have to move."""
    rows = leaf.shape[0] if leaf.ndim else 1
    is_spread = isinstance(leaf, jax.Array) and len(leaf.devices()) > 1
    at_once = rows if is_spread else min(rows, max(1, PIECE * rows // leaf.size))
    return sum(int(_sum_of_rows(leaf, start, at_once)) for start in range(0, rows, at_once)) % 2**32


@functools.partial(jax.jit, static_argnames="count")
def _sum_of_rows(leaf, start, count: int):
    """Of at most `count` rows from `start` on."""
    leaf = jnp.atleast_1d(leaf)
    first = jnp.minimum(start, leaf.shape[0] - count).astype(jnp.uint32)  # those before `start` count nothing
    if count < leaf.shape[0]:
        leaf = jax.lax.dynamic_slice_in_dim(leaf, first, count)
    bits = leaf.view(f"uint{8 * leaf.dtype.itemsize}").astype(jnp.uint32)
    row = jax.lax.broadcasted_iota(jnp.uint32, leaf.shape, 0) + first
    index = row
    for axis, size in enumerate(leaf.shape[1:], 1):
        index = index * jnp.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, leaf.shape, axis)
    return jnp.where(row >= start, bits * (2 * index + 1), 0).sum(dtype=jnp.uint32)
