"""How large gradients and updates are, in all and layer by layer: where a run that goes wrong begins to."""

import jax
import jax.numpy as jnp

from model.parameters import STACKED, Params, by_path


def global_norm(tree: Params) -> jax.Array:
    """The norm of all leaves as one vector, a scalar. Optax has renamed its own between the versions that we allow."""
    return jnp.sqrt(sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(tree)))


def layer_norms(title: str, tree: Params) -> dict[str, jax.Array]:
    """The norm of what belongs together in `tree`, which is like the parameters: float32 scalars by "TITLE/PART".

    A part is a layer of a stack (`decoder/3`), with its norms, or what stands before or behind (`token_embedding`).
    """
    squares: dict[str, jax.Array] = {}
    for path, leaf in by_path(tree).items():
        if STACKED in path:
            stack = path.split(STACKED)[0]
            sums = jnp.square(leaf.astype(jnp.float32)).sum(axis=tuple(range(1, leaf.ndim)))
            parts = {f"{stack}/{layer}": sums[layer] for layer in range(len(sums))}
        else:
            parts = {path.rpartition("/")[0]: jnp.square(leaf.astype(jnp.float32)).sum()}
        for part, square in parts.items():
            squares[part] = squares.get(part, 0.0) + square
    return {f"{title}/{part}": jnp.sqrt(square) for part, square in squares.items()}
