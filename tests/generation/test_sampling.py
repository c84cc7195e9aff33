"""How tokens are chosen, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from common.errors import ConfigError
from generation.sampling import SamplingConfig, choose_tokens, filter_logits

LOGITS = np.array([2.0, -1.0, 0.5, 0.5, 3.0, -4.0, 1.0, 2.5])
ALLOWED = np.ones(8, bool)


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def expected_probabilities(logits: np.ndarray, config: SamplingConfig) -> np.ndarray:
    """What is drawn how often, token by token from the likeliest, in float64."""
    probabilities = softmax(np.float64(logits) / config.temperature)
    order = sorted(range(len(logits)), key=lambda token: (-logits[token], token))
    order = order[: config.top_k or None]
    total = probabilities[order].sum()
    kept, mass = [], 0.0
    for token in order:
        if mass >= config.top_p:
            break
        kept.append(token)
        mass += probabilities[token] / total
    cut = np.zeros_like(probabilities)
    cut[kept] = probabilities[kept]
    return cut / cut.sum()


def draw(logits: np.ndarray, allowed: np.ndarray, config: SamplingConfig, draws: int, seed: int = 0) -> np.ndarray:
    keys = jax.random.split(jax.random.key(seed), draws)
    rows = jnp.broadcast_to(jnp.float32(logits), (draws, len(logits)))
    return np.asarray(choose_tokens(rows, allowed, keys, config)[0])


@pytest.mark.parametrize(
    "config",
    [
        SamplingConfig(1.0),
        SamplingConfig(0.5),
        SamplingConfig(2.0),
        SamplingConfig(1.0, top_k=3),
        SamplingConfig(1.0, top_p=0.7),
        SamplingConfig(1.5, top_k=6, top_p=0.8),
        SamplingConfig(0.8, top_k=100, top_p=0.999),
    ],
)
def test_draws_have_the_distribution_that_numpy_computes(config):
    draws = 20_000
    expected = draws * expected_probabilities(LOGITS, config)
    observed = np.bincount(draw(LOGITS, ALLOWED, config, draws), minlength=8)
    assert not observed[expected == 0].any()
    assert chisquare(observed[expected > 0], expected[expected > 0]).pvalue > 1e-3


def test_the_chi_square_would_notice_another_temperature():
    expected = 20_000 * expected_probabilities(LOGITS, SamplingConfig(1.1))
    observed = np.bincount(draw(LOGITS, ALLOWED, SamplingConfig(1.0), 20_000), minlength=8)
    assert chisquare(observed, expected).pvalue < 1e-6


def test_what_is_not_allowed_is_never_drawn_and_the_rest_keeps_its_shares():
    allowed = np.array([True, False, True, True, False, True, True, True])
    expected = 20_000 * softmax(np.where(allowed, LOGITS, -np.inf))
    observed = np.bincount(draw(LOGITS, allowed, SamplingConfig(1.0), 20_000), minlength=8)
    assert not observed[~allowed].any()
    assert chisquare(observed[allowed], expected[allowed]).pvalue > 1e-3
    greedy = draw(LOGITS, allowed, SamplingConfig(0.0), 1)
    assert greedy.tolist() == [7]  # 4 is likelier


@settings(max_examples=60, deadline=None)
@given(
    logits=st.lists(st.integers(-40, 40), min_size=8, max_size=8),
    temperature=st.sampled_from([0.3, 1.0, 4.0]),
    top_k=st.integers(0, 10),
    top_p=st.floats(0.01, 1.0),
)
def test_filtered_logits_are_those_of_the_tokens_that_numpy_keeps(logits, temperature, top_k, top_p):
    logits = np.array(logits) / 10
    config = SamplingConfig(temperature, top_k, top_p)
    expected = expected_probabilities(logits, config)
    # Not where p falls on the edge between two tokens: rounding decides there.
    slightly_less, slightly_more = (
        expected_probabilities(logits, SamplingConfig(temperature, top_k, min(1.0, top_p * scale)))
        for scale in (1 - 1e-5, 1 + 1e-5)
    )
    filtered = np.asarray(filter_logits(jnp.float32(logits)[None], config))[0]
    assert np.isfinite(filtered[logits.argmax()])
    assert np.isfinite(filtered).sum() <= (top_k or 8)
    if ((slightly_less > 0) == (slightly_more > 0)).all():
        np.testing.assert_allclose(softmax(filtered), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_one_likeliest_token_is_greedy_also_among_equals(seed):
    ties = np.array([1.0, 3.0, 0.0, 3.0, 3.0, 2.0, -1.0, 3.0])
    assert set(draw(ties, ALLOWED, SamplingConfig(0.0), 100)) == {1}
    assert set(draw(ties, ALLOWED, SamplingConfig(2.0, top_k=1), 100, seed)) == {1}
    assert set(draw(ties, ALLOWED, SamplingConfig(2.0, top_p=1e-6), 100, seed)) == {1}
    assert set(draw(ties, ALLOWED, SamplingConfig(2.0, top_k=2), 100, seed)) == {1, 3}


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-50])
def test_a_very_low_temperature_is_greedy(temperature):
    assert set(draw(10 * LOGITS, ALLOWED, SamplingConfig(temperature), 200)) == {4}


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_log_probabilities_are_those_of_the_whole_distribution(temperature):
    """Whatever temperature, cuts and allowed tokens: so they sum up to the loss that an evaluation finds."""
    rows = np.random.default_rng(0).normal(size=(16, 8)) * 3
    keys = jax.random.split(jax.random.key(0), 16)
    tokens, logprobs = choose_tokens(jnp.float32(rows), np.arange(8) != 2, keys, SamplingConfig(temperature, top_k=2))
    expected = [np.log(softmax(row))[token] for row, token in zip(rows, np.asarray(tokens), strict=True)]
    np.testing.assert_allclose(logprobs, expected, atol=1e-5)


def test_a_row_draws_the_same_whatever_the_other_rows():
    rows = jnp.float32(np.random.default_rng(1).normal(size=(6, 8)))
    keys = jax.random.split(jax.random.key(3), 6)
    config = SamplingConfig(1.0, top_p=0.9)
    together, _ = choose_tokens(rows, ALLOWED, keys, config)
    alone = [int(choose_tokens(rows[i : i + 1], ALLOWED, keys[i : i + 1], config)[0][0]) for i in range(6)]
    assert together.tolist() == alone


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ({"temperature": -0.1}, "--temperature"),
        ({"temperature": float("nan")}, "--temperature"),
        ({"temperature": float("inf")}, "--temperature"),
        ({"top_k": -1}, "--top_k"),
        ({"top_p": 0.0}, "--top_p"),
        ({"top_p": 1.01}, "--top_p"),
        ({"top_p": float("nan")}, "--top_p"),
    ],
)
def test_values_that_make_no_distribution_are_refused_by_their_flag(values, flag):
    with pytest.raises(ConfigError, match=flag):
        SamplingConfig(**values)
