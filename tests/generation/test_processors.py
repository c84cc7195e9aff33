"""How tokens are chosen, against NumPy."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from common.errors import ConfigError
from generation.config import GenerationConfig
from generation.method import method
from generation.processors import NoRepeatNgram, RepetitionPenalty, Seen, apply_chain
from generation.rows import Status, choose_tokens

LOGITS = np.array([2.0, -1.0, 0.5, 0.5, 3.0, -4.0, 1.0, 2.5])
TOKENIZER = types.SimpleNamespace(vocab_size=8, unknown=None, ends=(7,))
PLAIN = GenerationConfig(temperature=1.0)
GREEDY = GenerationConfig(temperature=0.0)


def seen(*texts: list[int], prompts: int = 0) -> Seen:
    """Texts whose first `prompts` tokens were given; what stands behind their ends is 5."""
    ids = np.full((len(texts), 12), 5, np.int32)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = text
    lengths = np.array([len(text) for text in texts], np.int32)
    return Seen(jnp.asarray(ids), jnp.asarray(lengths), jnp.asarray(lengths - prompts))


def processed(logits: np.ndarray, config: GenerationConfig, before: Seen | None = None, only=None) -> np.ndarray:
    chain = method(config, TOKENIZER, logits.shape[-1], only).chain
    rows = jnp.float32(np.atleast_2d(logits))
    return np.asarray(apply_chain(chain, rows, before or seen(*[[]] * len(rows))))


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(np.float64(logits) - np.max(logits))
    return weights / weights.sum()


def expected_probabilities(logits: np.ndarray, config: GenerationConfig) -> np.ndarray:
    """What is drawn how often, by the definitions, in float64."""
    probabilities = softmax(np.float64(logits) / config.temperature)
    kth = np.sort(logits)[::-1][min(config.top_k or 8, 8) - 1]
    probabilities = np.where(logits >= kth, probabilities, 0)
    probabilities /= probabilities.sum()
    mass, last = 0.0, None
    for token in np.argsort(-probabilities, kind="stable"):
        if mass >= config.top_p:
            break
        mass, last = mass + probabilities[token], token
    probabilities = np.where(probabilities >= probabilities[last], probabilities, 0)
    probabilities = np.where(probabilities >= config.min_p * probabilities.max(), probabilities, 0)
    return probabilities / probabilities.sum()


def draw(logits: np.ndarray, config: GenerationConfig, draws: int, seed: int = 0, only=None) -> np.ndarray:
    keys = jax.random.split(jax.random.key(seed), draws)
    rows = jnp.broadcast_to(jnp.float32(logits), (draws, len(logits)))
    tokens, _, wrong = choose_tokens(rows, seen(*[[]] * draws), keys, method(config, TOKENIZER, len(logits), only))
    assert not np.asarray(wrong).any()
    return np.asarray(tokens)


def changed(**values) -> GenerationConfig:
    return dataclasses.replace(PLAIN, **values)


@pytest.mark.parametrize(
    "config",
    [
        PLAIN,
        changed(temperature=0.5),
        changed(temperature=2.0),
        changed(top_k=3),
        changed(top_p=0.7),
        changed(min_p=0.2),
        changed(temperature=1.5, top_k=6, top_p=0.8),
        changed(temperature=0.8, top_k=100, top_p=0.999, min_p=0.01),
    ],
)
def test_draws_have_the_distribution_that_numpy_computes(config):
    draws = 20_000
    expected = draws * expected_probabilities(LOGITS, config)
    observed = np.bincount(draw(LOGITS, config, draws), minlength=8)
    assert not observed[expected == 0].any()
    assert chisquare(observed[expected > 0], expected[expected > 0]).pvalue > 1e-3


def test_the_chi_square_would_notice_another_temperature():
    expected = 20_000 * expected_probabilities(LOGITS, changed(temperature=1.1))
    observed = np.bincount(draw(LOGITS, PLAIN, 20_000), minlength=8)
    assert chisquare(observed, expected).pvalue < 1e-6


def test_what_is_not_allowed_is_never_drawn_and_the_rest_keeps_its_shares():
    allowed = np.array([True, False, True, True, False, True, True, True])
    expected = 20_000 * softmax(np.where(allowed, LOGITS, -np.inf))
    observed = np.bincount(draw(LOGITS, PLAIN, 20_000, only=allowed), minlength=8)
    assert not observed[~allowed].any()
    assert chisquare(observed[allowed], expected[allowed]).pvalue > 1e-3
    assert draw(LOGITS, GREEDY, 1, only=allowed).tolist() == [7]  # 4 is likelier


@settings(max_examples=60, deadline=None)
@given(
    logits=st.lists(st.integers(-40, 40), min_size=8, max_size=8),
    temperature=st.sampled_from([0.3, 1.0, 4.0]),
    top_k=st.integers(0, 10),
    top_p=st.floats(0.01, 1.0),
    min_p=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
)
def test_what_is_left_are_the_tokens_that_numpy_keeps(logits, temperature, top_k, top_p, min_p):
    logits = np.array(logits) / 10
    config = GenerationConfig(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    expected = expected_probabilities(logits, config)
    # Not where p falls on the edge between two tokens: rounding decides there.
    near = [
        expected_probabilities(
            logits, dataclasses.replace(config, top_p=min(1.0, top_p * scale), min_p=min(1, min_p / scale))
        )
        for scale in (1 - 1e-5, 1 + 1e-5)
    ]
    left = processed(logits, config)[0]
    assert np.isfinite(left[logits.argmax()])
    if ((near[0] > 0) == (near[1] > 0)).all():
        np.testing.assert_allclose(softmax(left), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_tokens_as_likely_as_the_last_that_is_kept_are_kept(seed):
    ties = np.array([1.0, 3.0, 0.0, 3.0, 3.0, 2.0, -1.0, 3.0])
    assert set(draw(ties, GREEDY, 100)) == {1}
    for config in (changed(top_k=1), changed(top_p=1e-6), changed(min_p=1.0)):
        assert set(draw(ties, config, 100, seed)) == {1, 3, 4, 7}


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-50])
def test_a_very_low_temperature_is_greedy(temperature):
    assert set(draw(10 * LOGITS, changed(temperature=temperature), 200)) == {4}


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_log_probabilities_are_those_of_the_whole_distribution(temperature):
    """Whatever temperature, cuts and allowed tokens: so they sum up to the loss that an evaluation finds."""
    rows = np.random.default_rng(0).normal(size=(16, 8)) * 3
    keys = jax.random.split(jax.random.key(0), 16)
    how = method(GenerationConfig(temperature=temperature, top_k=2), TOKENIZER, 8, np.arange(8) != 2)
    tokens, logprobs, _ = choose_tokens(jnp.float32(rows), seen(*[[]] * 16), keys, how)
    expected = [np.log(softmax(row))[token] for row, token in zip(rows, np.asarray(tokens), strict=True)]
    np.testing.assert_allclose(logprobs, expected, atol=1e-5)


def test_a_row_draws_the_same_whatever_the_other_rows():
    rows = jnp.float32(np.random.default_rng(1).normal(size=(6, 8)))
    keys = jax.random.split(jax.random.key(3), 6)
    how = method(changed(top_p=0.9), TOKENIZER, 8)
    together = choose_tokens(rows, seen(*[[]] * 6), keys, how)[0]
    alone = [int(choose_tokens(rows[i : i + 1], seen([]), keys[i : i + 1], how)[0][0]) for i in range(6)]
    assert together.tolist() == alone


def test_what_cannot_go_on_is_told_by_its_row():
    rows = jnp.stack([LOGITS, np.nan * LOGITS, np.where(np.arange(8) == 2, np.inf, LOGITS), LOGITS])
    only = np.array([[True] * 8] * 3 + [[False] * 8])
    keys = jax.random.split(jax.random.key(3), 4)
    for config in (GREEDY, PLAIN, changed(top_k=2, top_p=0.5, min_p=0.1)):
        how = method(config, TOKENIZER, 8, only)
        wrong = choose_tokens(rows, seen(*[[]] * 4), keys, how)[2]
        assert wrong.tolist() == [0, Status.NOT_FINITE, Status.NOT_FINITE, Status.NOTHING_ALLOWED]


def test_a_repetition_penalty_by_hand():
    logits = np.array([[2.0, -1.0, 0.5, 0.0]] * 2)
    found = RepetitionPenalty(2.0)(jnp.float32(logits), seen([0, 1, 1], [2]))
    np.testing.assert_allclose(found, [[1.0, -2.0, 0.5, 0.0], [2.0, -1.0, 0.25, 0.0]])


def banned_by_definition(text: list[int], size: int, vocabulary: int) -> set[int]:
    """Tokens that would make an n-gram that the text has already."""
    grams = {tuple(text[start : start + size]) for start in range(len(text) - size + 1)}
    return {token for token in range(vocabulary) if (*text[max(0, len(text) - size + 1) :], token) in grams}


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.lists(st.integers(0, 3), max_size=12), min_size=1, max_size=3), size=st.integers(1, 4))
def test_no_ngram_comes_twice(texts, size):
    found = np.asarray(NoRepeatNgram(size)(jnp.zeros((len(texts), 8)), seen(*texts)))
    for row, text in zip(found, texts, strict=True):
        assert set(np.flatnonzero(np.isneginf(row))) == banned_by_definition(text, size, 8)


def test_an_end_comes_only_after_so_many_new_tokens():
    config = GenerationConfig(temperature=0.0, min_new_tokens=2)
    found = processed(np.stack([LOGITS] * 2), config, seen([1, 2, 3, 4], [1, 2, 3, 4, 5], prompts=3))
    assert np.isneginf(found[0, 7]) and np.isfinite(found[1, 7])
    assert np.isfinite(found[:, :7]).all()


def test_a_bias_is_added_and_a_hook_sees_the_text():
    def after_itself(before: Seen):
        """Only the token after the last one."""
        last = jnp.take_along_axis(before.ids_BS, before.lengths_B[:, None] - 1, 1)
        return jnp.arange(8) == last + 1

    config = GenerationConfig(temperature=0.0, logit_bias={2: 1.5, 4: -1.0}, allowed=after_itself)
    found = processed(np.stack([LOGITS] * 2), config, seen([3, 1], [3]))
    assert np.isfinite(found).sum() == 2
    assert (found[0, 2], found[1, 4]) == (2.0, 2.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.01}, "top_p"),
        ({"top_p": float("nan")}, "top_p"),
        ({"min_p": 1.1}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size"),
        ({"min_new_tokens": 65}, "min_new_tokens"),
        ({"num_samples": 0}, "num_samples"),
        ({"logit_bias": {3: float("nan")}}, "logit_bias"),
        ({"logit_bias": {3: float("inf")}}, "logit_bias"),
        ({"stop": ("",)}, "stop"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_their_name(values, message):
    with pytest.raises(ConfigError, match=message):
        GenerationConfig(**values)


def test_a_bias_on_a_token_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="there is no token 8"):
        method(GenerationConfig(logit_bias={8: 1.0}), TOKENIZER, 8)


def test_an_end_of_text_may_be_repeated():
    """Our texts begin with one: it is no text that could be repeated."""
    before = seen([7, 3])
    changed = processed(LOGITS, dataclasses.replace(GREEDY, repetition_penalty=2.0, no_repeat_ngram_size=1), before)
    assert changed[0, 7] == LOGITS[7] and changed[0, 3] == -np.inf
    changed = processed(LOGITS, dataclasses.replace(GREEDY, repetition_penalty=2.0), before)
    assert changed[0, 7] == LOGITS[7] and changed[0, 3] == LOGITS[3] / 2
