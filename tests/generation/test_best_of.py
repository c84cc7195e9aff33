"""The likeliest of several draws, against drawing them all and ranking them here."""

import functools

import jax
import numpy as np
import pytest

from common.errors import ConfigError
from data.tokenizer import Tokenizer, TokenizerConfig, train
from generation.completion import complete
from generation.config import GenerationConfig
from model import TransformerConfig
from model.parameters import init_params

CONFIG = TransformerConfig(
    vocab_size=320, max_length=24, decoder_layers=1, embed_dim=8, num_heads=1, initializer_std=0.5
)


@functools.cache
def tokenizer() -> Tokenizer:
    texts = ["the cat sat on the mat\nthe end", "你好，世界"] * 20
    return train(texts, TokenizerConfig(300, "bpe", 1.0, byte_fallback=True, split_digits=True))


def run(**fields):
    streamed = []
    generation = GenerationConfig(max_new_tokens=8, temperature=1.5, stop=("t",), **fields)
    params = init_params(CONFIG, jax.random.key(1))
    on_text = lambda row, text: streamed.append((row, text))  # noqa: E731
    return complete(params, CONFIG, tokenizer(), ["the cat", "你好", "a"], generation, 7, on_text), streamed


def test_the_likeliest_a_token_of_all_draws_are_kept_best_first():
    drawn, _ = run(num_samples=6)
    found, streamed = run(num_samples=2, best_of=6)
    expected = []
    for start in (0, 6, 12):
        group = {np.mean(each.logprobs): each for each in drawn[start : start + 6]}
        expected += [group[mean] for mean in sorted(group, reverse=True)[:2]]
    assert found == expected
    texts = [(row, text) for row, text in streamed if text]
    assert texts == [(row, completion.text) for row, completion in enumerate(found) if completion.text]
    assert len(streamed) > len(found) + 8  # and none while they are drawn: whoever looks may stop it
    assert len({len(each.tokens) for each in drawn}) > 1  # so that mean and sum differ
    assert len({each.text for each in drawn}) > 6


def test_an_encoder_fills_its_masks_the_likeliest_way():
    config = TransformerConfig(vocab_size=320, max_length=24, encoder_layers=1, embed_dim=8, num_heads=1)
    words = train(["the cat sat on the mat"] * 20, TokenizerConfig(290, "bpe", 1.0, True, True, ("[MASK]",)))
    params = init_params(config, jax.random.key(0))
    fills = functools.partial(complete, params, config, words, ["the [MASK] sat on [MASK]"])
    drawn = fills(GenerationConfig(num_samples=5), seed=3)
    (best,) = fills(GenerationConfig(best_of=5), seed=3)
    assert best == max(drawn, key=lambda each: np.mean(each.logprobs))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_samples": 3, "best_of": 2}, "best_of=2 must be 0 .off. or at least num_samples"),
        ({"best_of": -1}, "best_of=-1"),
        ({"best_of": 2, "temperature": 0.0}, "needs a temperature above 0"),
        ({"draft_tokens": 0}, "draft_tokens=0 must be at least 1"),
        ({"slide": True, "beam": 2, "temperature": 0.0}, "beams cannot slide"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        GenerationConfig(**fields)
