"""Batches whose gradient is out of all proportion change nothing, whatever the optimizer, and the others go on."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.training.test_optimizer import CONFIG
from tests.training.test_step import LOSS, MODEL, ONE, SGD, TASK, ragged_batch
from training.optimizer import OPTIMIZERS, make_optimizer
from training.step import init_state, make_train_step

PARAMS = {"kernel": jnp.linspace(-1.0, 1.0, 32 * 40).reshape(32, 40), "bias": jnp.ones(3)}


def follow(gradients, **changes):
    """The parameters after each of these gradients, a number that stands in all places."""
    optimizer = make_optimizer(dataclasses.replace(CONFIG, **changes), 50)
    params, state, seen = PARAMS, optimizer.init(PARAMS), []

    @jax.jit
    def step(params, state, value):
        updates, state = optimizer.update(jax.tree.map(lambda x: jnp.full_like(x, value), params), state, params)
        return optax.apply_updates(params, updates), state

    for value in gradients:
        params, state = step(params, state, value)
        seen.append(params)
    return seen


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 7.0])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_bad_gradient_changes_nothing(name, bad):
    before, after, later = follow(
        [0.01, bad, 0.01], name=name, skip_above=10.0, clip_norm=1.0, weight_decay=0.1 * (name != "adam")
    )
    jax.tree.map(np.testing.assert_array_equal, before, after)
    assert all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x != y).all() & jnp.isfinite(y).all()), after, later)))


def test_infinity_skips_only_what_is_not_finite():
    before, after, _ = follow([0.01, 1e6, 0.01], skip_above=math.inf)
    assert (before["bias"] != after["bias"]).all()
    before, after, _ = follow([0.01, math.nan, 0.01], skip_above=math.inf)
    np.testing.assert_array_equal(before["bias"], after["bias"])


def test_without_bad_gradients_it_is_the_same_to_the_bit():
    plain, guarded = (follow([0.01, 0.02, -0.01], skip_above=above) for above in (0.0, 10.0))
    jax.tree.map(np.testing.assert_array_equal, plain, guarded)


def test_a_skipped_step_leaves_the_average_as_it_was():
    """Of one batch, whose gradient's norm is above one limit and below another."""
    optimizer, averages = make_optimizer(dataclasses.replace(SGD, learning_rate=0.1), 10), {}
    state = jax.jit(lambda: init_state(MODEL, optimizer, 0, ema_decay=0.9))()
    apart = dataclasses.replace(state, average=jax.tree.map(lambda leaf: leaf + 1, state.params))
    for above in (1e-3, 1e3):
        skipping = make_optimizer(dataclasses.replace(SGD, learning_rate=0.1, skip_above=above), 10)
        step = make_train_step(MODEL, TASK, LOSS, skipping, 1, ONE, ema_decay=0.9, skip_above=above)
        after, metrics = jax.jit(step)(apart, ragged_batch())
        assert 1e-3 < metrics["grad_norm"] < 1e3 and int(after.step) == 1
        averages[above] = after.average
    jax.tree.map(np.testing.assert_array_equal, averages[1e-3], apart.average)
    assert all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x != y).all()), averages[1e3], apart.average)))
