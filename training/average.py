"""The average of the weights over the steps, later ones more: less noisy than the last ones (Polyak and Juditsky 1992)."""

import jax
import jax.numpy as jnp

from model.parameters import Params


def begin_average(params: Params, wanted: bool) -> Params:
    """That of step 0: the parameters, in arrays of its own, since a step gives up those that it is given; {} unless wanted."""
    return jax.tree.map(jnp.copy, params) if wanted else {}


def add_to_average(average: Params, params: Params, step: jax.Array, decay: float, kept: jax.Array | bool) -> Params:
    """d average + (1 - d) params, after `step` steps; {} where there is none; as it was, unless this step was `kept`.

    d = min(decay, (1 + step) / (10 + step)), as in TensorFlow's ExponentialMovingAverage: so the first weights are soon
    forgotten.
    """
    d = jnp.where(kept, jnp.minimum(decay, (1 + step) / (10 + step)), 1)
    return jax.tree.map(lambda mean, leaf: mean + (1 - d) * (leaf - mean), average, params) if average else {}
