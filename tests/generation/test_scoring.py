"""Log-probabilities of given texts, against NumPy and against a computation token by token."""

import dataclasses
import functools
import math

import jax
import numpy as np
import pytest

from common.errors import ConfigError, UserError
from data.config import DataConfig
from data.forms import Example
from data.forms.pairs import PAIRS
from data.tokenizer import Tokenizer, TokenizerConfig, train
from generation import scoring
from generation.asking import make_asking
from generation.scoring import score, score_continuations, score_long, score_text
from model import Tokens, Transformer, TransformerConfig
from model.parameters import init_params, split_layers

GPT = TransformerConfig(vocab_size=320, max_length=24, decoder_layers=2, embed_dim=16, num_heads=2, initializer_std=0.5)
LLAMA = dataclasses.replace(GPT, norm="rmsnorm", position="rope", activation="swiglu", use_bias=False)
T5 = dataclasses.replace(GPT, encoder_layers=1, position="relative_bias", norm="rmsnorm", use_bias=False)
PREFIX = dataclasses.replace(GPT, bidirectional_prefix=True)
PROMPTS = [[1, 7, 3], list(range(2, 22)), [5], [1, 9, 9, 9, 9, 30, 2]]
CONTINUATIONS = [[4, 4], [300, 17, 5], list(range(40, 60)), [8]]


@functools.cache
def network(config: TransformerConfig):
    return init_params(config, jax.random.key(1))


@functools.cache
def tokenizer() -> Tokenizer:
    texts = ["the cat sat on the mat\nthe end", "你好，世界", "New York"] * 20
    return train(texts, TokenizerConfig(310, "bpe", 1.0, byte_fallback=True, split_digits=True))


def side(tokens, prefix=0) -> Tokens:
    """One text, padded to the context; the first `prefix` tokens see each other both ways."""
    places = np.arange(24, dtype=np.int32)[None]
    ids = np.zeros((1, 24), np.int32)
    ids[0, : len(tokens)] = tokens[:24]
    return Tokens(ids, places, (places < len(tokens)).astype(np.int32), prefix=places < prefix)


@functools.partial(jax.jit, static_argnames="config")
def forward(params, config, *sides):
    return Transformer(config).apply({"params": params}, *sides).logits_BTV


def log_softmax(logits) -> np.ndarray:
    logits = np.float64(logits)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def slow_score(config, prompt, continuation, source=None) -> list[float]:
    """By definition: the log-softmax of the forward pass of one text, in float64."""
    prefix = len(prompt) if config.bidirectional_prefix else 0
    sides = [side([*prompt, *continuation], prefix), *([] if source is None else [side(source)])]
    logprobs = log_softmax(forward(network(config), config, *sides)[0])
    return [logprobs[len(prompt) - 1 + place, token] for place, token in enumerate(continuation)]


@pytest.mark.parametrize("config", [GPT, LLAMA, PREFIX], ids=["gpt", "llama", "prefix"])
def test_continuations_have_the_log_softmax_of_the_forward_pass(config):
    found = score(network(config), config, PROMPTS, CONTINUATIONS)
    for prompt, continuation, values in zip(PROMPTS, CONTINUATIONS, found, strict=True):
        np.testing.assert_allclose(values, slow_score(config, prompt, continuation), atol=1e-4)
    assert min(map(min, found)) < -3


def test_an_encoder_reads_sources_and_the_decoder_is_scored():
    starts = [[1]] * 4
    found = score(network(T5), T5, starts, CONTINUATIONS, PROMPTS)
    for source, continuation, values in zip(PROMPTS, CONTINUATIONS, found, strict=True):
        np.testing.assert_allclose(values, slow_score(T5, [1], continuation, source), atol=1e-4)


def test_many_texts_are_read_in_parts_of_few_sizes(monkeypatch):
    expected = score(network(GPT), GPT, PROMPTS * 5, CONTINUATIONS * 5)
    monkeypatch.setattr(scoring, "TOKENS", 64)
    found = score(split_layers(network(GPT)), GPT, PROMPTS * 5, CONTINUATIONS * 5)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    before = scoring._logprobs._cache_size()
    for count in range(1, 20):
        score(network(LLAMA), LLAMA, [[1]] * count, [[2] * count] * count)
    assert scoring._logprobs._cache_size() - before <= 6  # two widths, batches of 1, 2, 4 (and 2 of the wider)


def test_no_text_is_read_twice_however_long_the_window(monkeypatch):
    shapes = []

    def note(params, tokens, labels, source, *, config):
        shapes.append(tokens.ids.shape)
        return np.zeros(tokens.ids.shape, np.float32)

    monkeypatch.setattr(scoring, "_logprobs", note)
    monkeypatch.setattr(scoring, "TOKENS", 20)
    score({}, GPT, [[1]] * 5, [[2] * 20] * 5)
    assert shapes == [(1, 24)] * 5
    shapes.clear()
    monkeypatch.setattr(scoring, "TOKENS", 80)  # three of the widest would fit: two, since sizes are powers of two
    score({}, GPT, [[1]] * 5, [[2] * 20] * 5)
    assert shapes == [(2, 24), (2, 24), (1, 24)]


def test_a_model_with_nan_and_a_source_that_is_too_long_are_told():
    broken = jax.tree.map(lambda leaf: leaf * np.nan, network(GPT))
    with pytest.raises(UserError, match="no finite probabilities"):
        score(broken, GPT, [[1]], [[2, 3]])
    with pytest.raises(ConfigError, match="take 25 tokens, and this model reads 24"):
        score(network(T5), T5, [[1]], [[2]], [[3] * 25])


def test_a_text_may_have_one_token_more_than_the_context():
    prompt, continuation = [3] * 20, [4, 5, 6, 7, 8]
    (found,) = score(network(GPT), GPT, [prompt], [continuation])
    expected = slow_score(GPT, prompt, continuation[:-1])
    np.testing.assert_allclose(found[:-1], expected, atol=1e-4)
    assert np.isfinite(found).all()
    with pytest.raises(ConfigError, match="take 25 tokens, and this model reads 24"):
        score(network(GPT), GPT, [prompt], [[*continuation, 9]])


@pytest.mark.parametrize("config", [GPT, LLAMA], ids=["learned", "rope"])
@pytest.mark.parametrize(("window", "stride"), [(None, None), (24, 1), (24, 24), (10, 3), (7, 7), (1, 1)])
@pytest.mark.parametrize("length", [2, 25, 26, 61])
def test_a_window_scores_each_token_once_with_enough_before_it(config, window, stride, length):
    """Each token by a forward pass of its own, from where its window begins."""
    tokens = np.random.default_rng(0).integers(320, size=length).tolist()
    found = score_long(network(config), config, tokens, window, stride)
    assert len(found) == length - 1
    window, stride = window or 24, stride or 12
    ids = np.zeros((60, 24), np.int32)
    lengths = []
    for row, place in enumerate(range(1, length)):
        end = window + 1  # of the window that scores it
        while end <= place:
            end += stride
        begin = max(0, min(end, length) - window - 1)
        assert place - begin >= min(place, window - stride + 1)
        ids[row, : place - begin] = tokens[begin:place]
        lengths.append(place - begin)
    places = np.broadcast_to(np.arange(24, dtype=np.int32), ids.shape)
    logprobs = log_softmax(forward(network(config), config, Tokens(ids, places, np.ones_like(ids))))
    expected = logprobs[np.arange(length - 1), np.array(lengths) - 1, tokens[1:]]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_windows_that_do_not_fit_are_refused():
    for options, message in (
        ({"window": 25}, "window=25 must be from 1 to the context's 24"),
        ({"window": 0}, "window=0"),
        ({"window": 8, "stride": 9}, "stride=9 must be from 1 to window=8"),
        ({"stride": 0}, "stride=0"),
    ):
        with pytest.raises(ConfigError, match=message):
            score_long(network(GPT), GPT, [1, 2, 3], **options)


def test_a_continuation_is_encoded_together_with_its_prompt():
    whole = tokenizer().encode("New York")
    cut = tokenizer().encode("New Y")
    assert whole[: len(cut)] != cut  # the boundary lies within a token
    (found,) = score_continuations(network(GPT), GPT, tokenizer(), ["New Y"], ["ork"])
    shared = next(place for place, (one, other) in enumerate(zip(whole, cut, strict=False)) if one != other)
    assert found.tokens == whole[shared:]
    expected = slow_score(GPT, [*tokenizer().prefix, *whole[:shared]], found.tokens)
    np.testing.assert_allclose(found.logprobs, expected, atol=1e-4)


def test_probabilities_of_all_next_tokens_sum_to_one():
    """A continuation of one token each, of all that a model may say."""
    values = score(network(GPT), GPT, [[1, 5, 7]] * 320, [[token] for token in range(320)])
    assert math.isclose(np.exp(np.concatenate(values)).sum(), 1, rel_tol=1e-4)


def test_an_empty_prompt_is_what_stands_before_a_text():
    found, other = score_continuations(network(GPT), GPT, tokenizer(), ["", "你"], ["the cat", "好"])
    assert (found.prompt, found.text, found.tokens) == ("", "the cat", tokenizer().encode("the cat"))
    expected = slow_score(GPT, [tokenizer().end_of_text], found.tokens)
    np.testing.assert_allclose(found.logprobs, expected, atol=1e-4)
    assert other.prompt == "你" and other.tokens


def test_an_encoder_decoder_writes_the_continuation():
    (found,) = score_continuations(network(T5), T5, tokenizer(), ["the cat"], ["sat"])
    source = [*tokenizer().encode("the cat"), tokenizer().end_of_text]
    expected = slow_score(T5, [tokenizer().decoder_start], tokenizer().encode("sat"), source)
    assert found.tokens == tokenizer().encode("sat")
    np.testing.assert_allclose(found.logprobs, expected, atol=1e-4)


def test_a_text_longer_than_the_context_has_a_perplexity():
    text = "the cat sat on the mat\n你好，世界\n" * 6
    found = score_text(network(GPT), GPT, tokenizer(), text, stride=5)
    assert found.tokens == tokenizer().encode(text) and len(found.tokens) > 2 * GPT.max_length
    expected = score_long(network(GPT), GPT, [tokenizer().end_of_text, *found.tokens], None, 5)
    np.testing.assert_array_equal(np.float32(found.logprobs), expected)
    assert math.isclose(found.perplexity, np.exp(-np.mean(expected)), rel_tol=1e-5)
    assert math.isclose(found.bits_per_byte, -expected.sum() / np.log(2) / len(text.encode()), rel_tol=1e-5)


def test_what_cannot_be_scored_is_refused_in_one_line():
    encoder = TransformerConfig(vocab_size=320, max_length=24, encoder_layers=1, embed_dim=16, num_heads=2)
    with pytest.raises(ConfigError, match="cannot score continuations"):
        score_continuations({}, encoder, tokenizer(), ["the"], ["cat"])
    with pytest.raises(ConfigError, match="perplexity of a text needs a decoder-only model"):
        score_text({}, T5, tokenizer(), "the cat")
    with pytest.raises(ConfigError, match="continuation '' has no tokens"):
        score_continuations(network(GPT), GPT, tokenizer(), ["the"], [""])
    with pytest.raises(ConfigError, match="the text '' has no tokens"):
        score_text(network(GPT), GPT, tokenizer(), "")


def test_what_answers_is_scored_with_the_tokens_of_training():
    """A target has tokens of its own: not those that it has behind the words of its prompt."""
    data = DataConfig("a", "", 0.1, 24, "", prompt="{source} Y")
    asking = make_asking("pairs", data, tokenizer())
    (found,) = score_continuations(network(GPT), GPT, tokenizer(), ["New"], ["ork"], asking)
    pair = Example("", "", values={"source": "New", "target": "ork"})
    pieces = PAIRS.encode([pair], tokenizer(), (), data)
    marked = np.array(pieces.marks[0][:-1]) == 1
    prompt, target = (
        [token for token, mark in zip(pieces.tokens[0], marked, strict=True) if mark == side] for side in (0, 1)
    )
    assert (found.prompt, found.text, found.tokens) == ("New", "ork", target)
    expected = slow_score(GPT, [tokenizer().end_of_text, *prompt], target)
    np.testing.assert_allclose(found.logprobs, expected, atol=1e-4)
    (as_one,) = score_continuations(network(GPT), GPT, tokenizer(), ["New Y"], ["ork"])
    assert as_one.tokens != target, "which as one text would be others"
