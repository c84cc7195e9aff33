"""Steps that are left out: those of batches whose gradient is no number, or out of all proportion."""

import math

import jax
import jax.numpy as jnp
import optax

from training.norms import global_norm


def is_kept(norm, above: float):
    """Whether a step counts whose gradient has this norm, a float or a float32 scalar; where `above` is 0, each does."""
    return (norm <= above) & (norm < math.inf) if above else True  # of NaN neither is true


def skip_steps(optimizer: optax.GradientTransformation, above: float) -> optax.GradientTransformation:
    """The optimizer, of which a gradient with a norm that is not finite, or higher, moves nothing but the counters."""

    def update(gradients, state, params=None):
        norm = global_norm(gradients)
        keep = is_kept(norm, above)
        gradients = jax.tree.map(lambda gradient: jnp.where(keep, gradient, 0), gradients)
        updates, new = optimizer.update(gradients, state, params)

        def choose(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(keep, new, old) if jnp.issubdtype(new.dtype, jnp.floating) else new

        return jax.tree.map(lambda update: jnp.where(keep, update, 0), updates), jax.tree.map(choose, new, state)

    return optax.GradientTransformation(optimizer.init, update)
