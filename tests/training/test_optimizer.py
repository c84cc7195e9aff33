"""Against numbers worked by hand, and AdamW against its formulas in NumPy."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from common.errors import ConfigError
from training.optimizer import OPTIMIZERS, SCHEDULES, OptimizerConfig, decay_mask, make_optimizer, make_schedule

CONFIG = OptimizerConfig(
    name="adamw",
    learning_rate=0.1,
    schedule="constant",
    warmup_steps=4,
    final_fraction=0.1,
    decay_fraction=0.25,
    weight_decay=0.0,
    b1=0.9,
    b2=0.95,
    eps=1e-8,
    clip_norm=0.0,
)
# Of 24 steps: 4 of warm-up, then 20. Step -> the learning rate over its peak.
BY_HAND = {
    "constant": {4: 1, 13: 1, 23: 1, 50: 1},
    "linear": {4: 1, 9: 1 - 0.9 * 0.25, 14: 0.55, 24: 0.1, 50: 0.1},
    "cosine": {4: 1, 9: 0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2, 14: 0.55, 24: 0.1, 50: 0.1},
    "rsqrt": {4: 1, 8: math.sqrt(1 / 2), 16: 1 / 2, 36: 1 / 3},
    "wsd": {4: 1, 12: 1, 18: 1, 21: 0.55, 23: 0.1 + 0.9 / 6, 24: 0.1, 50: 0.1},  # the last 24 / 4 = 6 steps fall
}


def test_every_schedule_is_worked_by_hand():
    assert BY_HAND.keys() == SCHEDULES.keys()


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    schedule = make_schedule(dataclasses.replace(CONFIG, schedule=name), num_steps=24)
    warmup = {0: 1 / 4, 1: 2 / 4, 2: 3 / 4, 3: 1}
    for step, share in (warmup | BY_HAND[name]).items():
        assert float(schedule(step)) == pytest.approx(0.1 * share, rel=1e-5), step
        assert float(jax.jit(schedule)(jnp.int32(step))) == pytest.approx(0.1 * share, rel=1e-5), step


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 10, 30])
def test_schedules_at_the_edges(name, warmup):
    """No warm-up starts at the peak; a warm-up as long as the run, or longer, only rises."""
    config = dataclasses.replace(CONFIG, schedule=name, warmup_steps=warmup)
    rates = np.array([make_schedule(config, num_steps=10)(step) for step in range(10)])
    assert np.isfinite(rates).all() and (rates > 0).all() and (rates <= 0.1 * (1 + 1e-6)).all()
    if warmup:
        np.testing.assert_allclose(rates, 0.1 * np.arange(1, 11) / warmup, rtol=1e-5)
    else:
        assert rates[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    "warmup, fraction, falling", [(0, 0.0, 0), (0, 0.25, 5), (0, 1.0, 20), (8, 0.5, 10), (8, 0.9, 12)]
)
def test_wsd_decays_over_its_share(warmup, fraction, falling):
    """Down to its end, however long the warm-up."""
    config = dataclasses.replace(CONFIG, schedule="wsd", warmup_steps=warmup, decay_fraction=fraction)
    rates = np.array([make_schedule(config, num_steps=20)(step) for step in range(21)])
    assert (np.diff(rates) < 0).sum() == falling
    assert rates[max(0, warmup - 1)] == pytest.approx(0.1) and rates[20] == pytest.approx(0.01 if falling else 0.1)


def test_decay_by_name():
    names = {
        "decoder": {
            "blocks": {
                "attention": {"query": {"kernel": 0, "bias": 0}, "query_norm": {"scale": 0}},
                "attention_norm": {"scale": 0, "bias": 0},
            },
            "final_norm": {"scale": 0, "bias": 0},
            "relative_bias": {"embedding": 0},
        },
        "token_embedding": {"embedding": 0},
        "head": {"output": {"kernel": 0}, "bias": 0},
    }
    assert decay_mask(names) == {
        "decoder": {
            "blocks": {
                "attention": {"query": {"kernel": True, "bias": False}, "query_norm": {"scale": False}},
                "attention_norm": {"scale": False, "bias": False},
            },
            "final_norm": {"scale": False, "bias": False},
            "relative_bias": {"embedding": True},
        },
        "token_embedding": {"embedding": True},
        "head": {"output": {"kernel": True}, "bias": False},
    }


def test_adamw_against_numpy():
    """Three steps of Loshchilov and Hutter's algorithm 2 with clipping, warm-up and decay on the kernel alone."""
    config = dataclasses.replace(CONFIG, weight_decay=0.3, clip_norm=1.5)
    optimizer = make_optimizer(config, num_steps=10)
    rng = np.random.default_rng(0)
    params = {"kernel": rng.normal(size=(3, 2)), "bias": rng.normal(size=2)}
    jax_params = jax.tree.map(jnp.float32, params)
    state = optimizer.init(jax_params)
    moments = {name: (np.zeros_like(value), np.zeros_like(value)) for name, value in params.items()}
    for step in range(1, 4):
        gradients = {name: rng.normal(size=value.shape) for name, value in params.items()}
        updates, state = optimizer.update(jax.tree.map(jnp.float32, gradients), state, jax_params)
        jax_params = optax.apply_updates(jax_params, updates)

        norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
        assert norm > 1.5  # or clipping would not be seen
        rate = 0.1 * step / 4
        for name, gradient in gradients.items():
            gradient = gradient * 1.5 / norm
            m = 0.9 * moments[name][0] + 0.1 * gradient
            v = 0.95 * moments[name][1] + 0.05 * gradient**2
            moments[name] = m, v
            direction = m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.95**step)) + 1e-8)
            decay = 0.3 * params[name] if name == "kernel" else 0
            params[name] = params[name] - rate * (direction + decay)
        for name, value in params.items():
            np.testing.assert_allclose(jax_params[name], value, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("clip_norm, expected", [(0.0, 8.0), (1.0, 1.0), (100.0, 8.0)])
def test_clipping(clip_norm, expected):
    """Of a gradient of norm 8, one step of SGD at rate 1."""
    config = dataclasses.replace(CONFIG, name="sgd", learning_rate=1.0, warmup_steps=0, clip_norm=clip_norm)
    optimizer = make_optimizer(config, num_steps=1)
    params = {"kernel": jnp.zeros(4)}
    updates, _ = optimizer.update({"kernel": jnp.full(4, -4.0)}, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], np.full(4, expected / 2), rtol=1e-6)


RATES = {"adamw": 0.03, "adam": 0.03, "sgd": 0.01, "lion": 0.03, "adafactor": 0.03, "muon": 0.1}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns(name):
    """A linear regression of 12 weights: within 80 steps the loss is below a tenth."""
    decay = 0.0 if name == "adam" else 1e-4
    config = dataclasses.replace(CONFIG, name=name, learning_rate=RATES[name], weight_decay=decay)
    optimizer = make_optimizer(config, num_steps=80)
    x = jax.random.normal(jax.random.key(0), (64, 4))
    y = x @ jax.random.normal(jax.random.key(1), (4, 3)) + 0.5

    def loss(params):
        return jnp.square(x @ params["kernel"] + params["bias"] - y).mean()

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    params = {"kernel": jnp.full((4, 3), 0.01), "bias": jnp.zeros(3)}
    before, state = loss(params), optimizer.init(params)
    for _ in range(80):
        params, state = step(params, state)
    assert float(loss(params)) < 0.1 * float(before)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lion", "muon"])
def test_first_moments_in_bfloat16(name):
    """One moment takes half the memory, and is that of float32 rounded once a step: within a share of 2^-9 / (1 - b1)."""
    params = {"kernel": jnp.ones((8, 4)), "bias": jnp.ones(4)}

    def follow(dtype):
        optimizer = make_optimizer(dataclasses.replace(CONFIG, name=name, state_dtype=dtype), num_steps=40)
        state, update = optimizer.init(params), jax.jit(optimizer.update)
        for step in range(40):
            gradients = jax.tree.map(lambda x, s=step: jax.random.normal(jax.random.key(s), x.shape) + 1, params)
            _, state = update(gradients, state, params)
        return [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]

    moments, rounded = follow("float32"), follow("bfloat16")
    assert {leaf.dtype.name for leaf in moments} == {"float32"}
    halved = [leaf.dtype == jnp.bfloat16 for leaf in rounded]
    assert sum(halved) == 2, "the kernel's and the bias's"
    for leaf, other, is_half in zip(moments, rounded, halved, strict=True):
        decay = CONFIG.b2 if name == "lion" else CONFIG.b1
        assert other.dtype == jnp.float32 or is_half
        bound = 2**-9 / (1 - decay) * float(jnp.abs(leaf).max()) * is_half
        np.testing.assert_allclose(other.astype(jnp.float32), leaf, rtol=0, atol=bound)


@pytest.mark.parametrize("shape", [(2, 768, 12, 64), (2, 12, 64, 768), (2, 768, 3072)])
def test_adafactor_keeps_rows_and_columns(shape):
    """Of a head's kernels too, whose axes are shorter than the 128 from which Optax factors."""
    optimizer = make_optimizer(dataclasses.replace(CONFIG, name="adafactor"), num_steps=1)
    state = jax.eval_shape(optimizer.init, {"kernel": jax.ShapeDtypeStruct(shape, jnp.float32)})
    size = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state))
    a, b = sorted(shape)[-2:]  # 1/a + 1/b of the elements, and a few scalars
    assert size <= math.prod(shape) * (1 / a + 1 / b) + 10


def test_adam_with_weight_decay_is_refused():
    with pytest.raises(ConfigError, match=r"weight_decay=0\.1 with name='adam': use name='adamw'"):
        dataclasses.replace(CONFIG, name="adam", weight_decay=0.1)
    dataclasses.replace(CONFIG, name="adam", weight_decay=0.0)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"name": "adamww"}, "name='adamww' is not known .*'adamw'.*adafactor, adam, adamw, lion, muon, sgd"),
        ({"schedule": "cosin"}, "schedule='cosin' is not known .*'cosine'.*"),
        ({"learning_rate": 0.0}, "learning_rate=0.0 must be above 0"),
        ({"eps": 0.0}, "eps=0.0 must be above 0"),
        ({"warmup_steps": -1}, "warmup_steps=-1 must not be negative"),
        ({"clip_norm": -1.0}, "clip_norm=-1.0 must not be negative"),
        ({"final_fraction": 1.5}, r"final_fraction=1.5 must be in \[0, 1\]"),
        ({"b2": 1.0}, r"b2=1.0 must be in \[0, 1\)"),
        ({"state_dtype": "float16"}, "state_dtype='float16' is not known .*bfloat16, float32"),
        ({"state_dtype": "bfloat16", "name": "adafactor"}, "for first moments, and name='adafactor' keeps none"),
        ({"state_dtype": "bfloat16", "b1": 0.999}, r"b1=0\.999 must be at most 0\.99"),
        ({"state_dtype": "bfloat16", "name": "lion", "b2": 0.999}, r"b2=0\.999 must be at most 0\.99"),
        ({"learning_rate": math.nan}, "learning_rate=nan must be above 0"),
    ],
)
def test_values_that_make_no_optimizer(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(CONFIG, **change)
