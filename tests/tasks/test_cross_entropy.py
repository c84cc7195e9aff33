from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import ConfigError
from tasks import TASKS, LossConfig
from tasks.cross_entropy import chunked, cross_entropy

SHAPE, VOCAB = (3, 5), 7
CASES = {
    "plain": LossConfig(0.0, 0.0, 0.0, 0.0),
    "label smoothing": LossConfig(0.1, 0.0, 0.0, 0.0),
    "z-loss": LossConfig(0.0, 0.01, 0.0, 0.0),
    "both": LossConfig(0.3, 0.02, 0.0, 0.0),
}


@pytest.fixture
def data():
    """Logits [3, 5, 7], labels and weights (some of them 0, none of them equal) [3, 5]."""
    draw = np.random.default_rng(0)
    weights = draw.uniform(0.1, 2, SHAPE).astype(np.float32) * (draw.random(SHAPE) > 0.3)
    return draw.normal(0, 3, (*SHAPE, VOCAB)).astype(np.float32), draw.integers(0, VOCAB, SHAPE), weights


def by_hand(logits, labels, weights, config) -> tuple[float, float, float]:
    """The objective, the loss and the weight, from the definition: probabilities, one target at a time, in float64."""
    objective = loss = 0.0
    for z, label, weight in zip(logits.reshape(-1, VOCAB), labels.ravel(), weights.ravel(), strict=True):
        exponentials = np.exp(z.astype(np.float64))
        probabilities = exponentials / exponentials.sum()
        wanted = np.full(VOCAB, config.label_smoothing / VOCAB)
        wanted[label] += 1 - config.label_smoothing
        objective += weight * (
            -(wanted * np.log(probabilities)).sum() + config.z_loss * np.log(exponentials.sum()) ** 2
        )
        loss += weight * -np.log(probabilities[label])
    return objective, loss, float(weights.sum())


def sums(objective, values):
    return objective.sum(), values["loss"].sum(), values["weight"].sum()


@pytest.mark.parametrize("config", CASES.values(), ids=CASES)
def test_cross_entropy_is_as_defined(data, config):
    objective, values = cross_entropy(*map(jnp.asarray, data), config)
    np.testing.assert_allclose(sums(objective, values), by_hand(*data, config), rtol=2e-6)
    assert values.keys() == {"loss", "weight"}
    for place in np.ndindex(*SHAPE):
        one = [array[place] for array in data]
        expected = by_hand(one[0][None], *(array[None] for array in one[1:]), config)
        found = objective[place], values["loss"][place], values["weight"][place]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_loss_of_even_odds_is_the_logarithm_of_the_vocabulary():
    objective, values = cross_entropy(jnp.zeros((4, 8)), jnp.arange(4), jnp.ones(4), CASES["label smoothing"])
    np.testing.assert_allclose([objective, values["loss"]], np.full((2, 4), np.log(8)), rtol=1e-6)


@pytest.mark.parametrize("config", CASES.values(), ids=CASES)
def test_the_gradient_is_the_slope(data, config):
    logits, labels, weights = data
    gradient = jax.grad(
        lambda logits: cross_entropy(logits, jnp.asarray(labels), jnp.asarray(weights), config)[0].sum()
    )(jnp.asarray(logits))
    logits, step = logits.astype(np.float64), 1e-5
    slope = np.zeros_like(logits)
    for place in np.ndindex(*logits.shape):
        change = np.zeros_like(logits)
        change[place] = step
        above, below = (by_hand(logits + sign * change, labels, weights, config)[0] for sign in (1, -1))
        slope[place] = (above - below) / (2 * step)
    np.testing.assert_allclose(gradient, slope, atol=2e-6)


def test_what_has_no_weight_does_not_count(data):
    logits, labels, weights = data
    before = cross_entropy(jnp.asarray(logits), jnp.asarray(labels), jnp.asarray(weights), CASES["both"])
    logits, labels = logits.copy(), labels.copy()
    logits[weights == 0] = 99
    labels[weights == 0] = 0
    after = cross_entropy(jnp.asarray(logits), jnp.asarray(labels), jnp.asarray(weights), CASES["both"])
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_large_logits_do_not_overflow():
    logits = jnp.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]])
    objective, values = cross_entropy(logits, jnp.array([0, 0]), jnp.ones(2), CASES["plain"])
    assert objective.tolist() == values["loss"].tolist() == [0, 2e4]


def test_bfloat16_logits_are_summed_in_float32(data):
    logits, labels, weights = data
    logits = jnp.asarray(logits, jnp.bfloat16)
    objective, values = cross_entropy(logits, jnp.asarray(labels), jnp.asarray(weights), CASES["both"])
    assert {objective.dtype, *(value.dtype for value in values.values())} == {jnp.dtype("float32")}
    expected = by_hand(np.asarray(logits, np.float32), labels, weights, CASES["both"])
    np.testing.assert_allclose(sums(objective, values), expected, rtol=2e-6)


def test_causal_lm_is_the_cross_entropy_of_the_targets(data):
    logits, labels, weights = data
    batch = {"inputs": labels * 0, "targets": jnp.asarray(labels), "weights": jnp.asarray(weights)}
    seen = []

    def apply(params, batch, key):
        seen.append((params, batch, key))
        return SimpleNamespace(logits_BTV=jnp.asarray(logits))

    objective, values = TASKS["causal_lm"].loss(apply, {"w": 1}, batch, "key", CASES["both"])
    assert len(seen) == 1 and seen[0] == ({"w": 1}, batch, "key")
    np.testing.assert_allclose(sums(objective, values), by_hand(*data, CASES["both"]), rtol=2e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_smoothing": 1.0}, r"label_smoothing=1.0 must be in \[0, 1\)"),
        ({"label_smoothing": -0.1}, r"label_smoothing=-0.1 must be in \[0, 1\)"),
        ({"z_loss": -1e-4}, "z_loss=-0.0001 must not be negative"),
        ({"l1_penalty": -1.0}, "l1_penalty=-1.0 must not be negative"),
        ({"l2_penalty": -1.0}, "l2_penalty=-1.0 must not be negative"),
    ],
)
def test_options_out_of_range_are_refused(changes, message):
    options = {"label_smoothing": 0.0, "z_loss": 0.0, "l1_penalty": 0.0, "l2_penalty": 0.0}
    with pytest.raises(ConfigError, match=message):
        LossConfig(**options | changes)


@pytest.mark.parametrize("chunks", [2, 3, 5, 7])
def test_in_chunks_it_is_the_same(data, chunks):
    """Of five places: one that divides, others that do not, more than there are."""
    logits, labels, weights = data

    def objective(logits, chunks):
        results = chunked(lambda *part: cross_entropy(*part, CASES["both"]), chunks, logits, labels, weights)
        return results[0].sum(), results

    whole, there = cross_entropy(*data, CASES["both"])
    (_, (objectives, values)), gradient = jax.value_and_grad(objective, has_aux=True)(logits, chunks)
    np.testing.assert_allclose(objectives, whole, rtol=1e-6)
    for name in there:
        np.testing.assert_allclose(values[name], there[name], rtol=1e-6)
    expected = jax.grad(lambda logits: cross_entropy(logits, labels, weights, CASES["both"])[0].sum())(logits)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)
