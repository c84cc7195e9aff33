"""Text beyond the context, against a loop that runs the forward pass over a window of the text."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import ConfigError
from data.tokenizer import TokenizerConfig, train
from generation.completion import complete
from generation.config import GenerationConfig
from generation.decoder import generate
from generation.processors import MinNewTokens, NoRepeatNgram, Temperature
from generation.rows import Method, Status
from model import Tokens, Transformer, TransformerConfig
from model.parameters import init_params

WINDOW = 12
GPT = TransformerConfig(
    vocab_size=48,
    max_length=WINDOW,
    decoder_layers=1,
    embed_dim=16,
    num_heads=2,
    initializer_std=0.6,
    tie_embeddings=False,
)
LLAMA = dataclasses.replace(GPT, norm="rmsnorm", position="rope", activation="swiglu", use_bias=False)
CONFIGS = {
    "learned": GPT,
    "rope": LLAMA,
    "prefix": dataclasses.replace(GPT, bidirectional_prefix=True),
    "encoder-decoder": dataclasses.replace(LLAMA, encoder_layers=1, position="relative_bias"),
}
NO_END = np.array([-1], np.int32)
GREEDY = Method((), NO_END, greedy=True)
HOT = Method((Temperature(np.float32(50)),), NO_END, greedy=False)
PROMPTS = [[1, 7, 3], list(range(2, 22)), [5], [(7 * place) % 48 for place in range(WINDOW)]]
COUNT = 40


@functools.cache
def network(config: TransformerConfig):
    return init_params(config, jax.random.key(3))


@functools.partial(jax.jit, static_argnames="config")
def forward(params, tokens, source, config):
    return Transformer(config).apply({"params": params}, tokens, source).logits_BTV[0]


def side(tokens, prefix=0) -> Tokens:
    places = np.arange(WINDOW)[None]
    ids = np.zeros((1, WINDOW), np.int32)
    ids[0, : len(tokens)] = tokens
    return Tokens(ids, places, (places < len(tokens)).astype(np.int32), prefix=places < prefix)


def continue_by_hand(config, prompt, source=None, count=COUNT) -> list[int]:
    """A window that reads the text up to its end, and begins anew half its length before that where it is full."""
    text, begin = list(prompt), max(0, len(prompt) - WINDOW)
    for _ in range(count):
        if len(text) - begin > WINDOW:
            begin = len(text) - WINDOW // 2
        prefix = max(0, len(prompt) - begin) if config.bidirectional_prefix else 0
        logits = forward(network(config), side(text[begin:], prefix), source and side(source), config)
        text.append(int(logits[len(text) - begin - 1].argmax()))
    return text


def run(config, prompts, method=GREEDY, count=COUNT, **options) -> list[list[int]]:
    """Whole texts."""
    (decoded,) = generate(network(config), config, prompts, method, max_new_tokens=count, sliding=True, **options)
    assert (decoded.status_B == Status.FULL).all()
    assert decoded.prompt_lengths_B.tolist() == [len(prompt) for prompt in prompts]
    assert np.isfinite(decoded.logprobs_BS).all()
    return [row[:length].tolist() for row, length in zip(decoded.ids_BS, decoded.lengths_B, strict=True)]


@pytest.mark.parametrize("name", ["learned", "rope", "prefix"])
def test_texts_go_on_beyond_the_context(name):
    """Prompts of several lengths, one longer than the context and one just as long; all rows as if they were alone."""
    config = CONFIGS[name]
    texts = run(config, PROMPTS)
    assert texts == [continue_by_hand(config, prompt) for prompt in PROMPTS]
    assert len({token for text in texts for token in text[-20:]}) > 4


def test_an_encoder_decoder_keeps_what_it_has_read():
    config = CONFIGS["encoder-decoder"]
    sources = [PROMPTS[0], PROMPTS[3]]
    texts = run(config, [[1], [1]], sources=sources)
    assert texts == [continue_by_hand(config, [1], source) for source in sources]
    assert texts[0] != texts[1]


def test_log_probabilities_are_those_of_the_window():
    (decoded,) = generate(network(GPT), GPT, [PROMPTS[0]], GREEDY, max_new_tokens=20, sliding=True)
    text = decoded.ids_BS[0, :23].tolist()
    for length, begin in ((12, 0), (13, 7), (18, 7), (19, 7), (20, 14)):  # full at 13 and at 20 tokens
        logits = np.float64(forward(network(GPT), side(text[begin:length]), None, GPT)[length - begin - 1])
        expected = logits.max() - np.log(np.exp(logits).sum())
        np.testing.assert_allclose(decoded.logprobs_BS[0, length], expected, atol=1e-4)


def test_without_sliding_the_context_is_the_end():
    (decoded,) = generate(network(GPT), GPT, PROMPTS[:1], GREEDY, max_new_tokens=COUNT)
    assert decoded.lengths_B.tolist() == [WINDOW + 1] and decoded.status_B.tolist() == [Status.FULL]


def test_looking_at_the_rows_on_the_way_changes_nothing():
    """A row that waits for the others before it slides is not called full."""
    looks = list(generate(network(LLAMA), LLAMA, PROMPTS, HOT, max_new_tokens=COUNT, sliding=True, steps=1, seed=1))
    assert all((look.status_B == Status.RUNNING).any() for look in looks[:-1])
    for look in looks:
        full = look.lengths_B - look.prompt_lengths_B == COUNT
        assert (look.status_B == np.where(full, Status.FULL, Status.RUNNING)).all()
    lengths = np.array([look.lengths_B for look in looks])
    assert (np.diff(lengths, axis=0) <= 1).all()
    assert run(LLAMA, PROMPTS, HOT, seed=1) == [
        row[:length].tolist() for row, length in zip(looks[-1].ids_BS, looks[-1].lengths_B, strict=True)
    ]


def test_rows_draw_together_what_they_draw_alone():
    texts = run(GPT, [PROMPTS[1], *PROMPTS], HOT, seed=5)
    assert run(GPT, [PROMPTS[1]], HOT, seed=5) == texts[:1]


def test_what_is_drawn_after_a_slide_is_drawn_anew():
    """With a network that finds all tokens equally likely, so that the random numbers alone decide."""
    blank = jax.tree.map(jnp.zeros_like, network(GPT))
    (decoded,) = generate(blank, GPT, [[1]], HOT, max_new_tokens=200, sliding=True)
    drawn = decoded.ids_BS[0, 1:201]
    for shift in range(1, 30):
        assert (drawn[:-shift] == drawn[shift:]).mean() < 0.1  # 1 in 48 by chance


def test_processors_see_the_whole_text():
    """Pairs of tokens that the network no longer sees are not repeated, and tokens before a slide were generated too."""
    ends = np.arange(40, 48, dtype=np.int32)
    method = Method((NoRepeatNgram(2), MinNewTokens(np.int32(50), ends)), ends, greedy=True)
    (decoded,) = generate(network(GPT), GPT, PROMPTS, method, max_new_tokens=300, sliding=True)
    assert (decoded.status_B == Status.ENDED).all()
    for start, length, row in zip(decoded.prompt_lengths_B, decoded.lengths_B, decoded.ids_BS.tolist(), strict=True):
        pairs = list(itertools.pairwise(row[:length]))
        assert len(set(pairs)) == len(pairs)
        assert length - start > 50 and not set(row[start : start + 50]) & set(ends.tolist())


def test_a_cache_does_not_grow_with_the_text():
    prompt = [2 + place % 40 for place in range(700)]
    (text,) = run(GPT, [prompt], count=3)
    assert text == continue_by_hand(GPT, prompt, count=3)
    (long,) = run(GPT, [[1]], count=500)
    assert long[-60:] == continue_by_hand(GPT, [1], count=500)[-60:]


def test_a_text_goes_on_beyond_the_context_where_it_may():
    config = dataclasses.replace(GPT, vocab_size=290)
    words = train(["the cat sat on the mat"] * 20, TokenizerConfig(290, "bpe", 1.0, True, True))
    prompts = ["the", "the cat sat on the mat, 12345678901234567890"]
    options = {"temperature": 0.0, "max_new_tokens": 60}
    found = complete(network(config), config, words, prompts, GenerationConfig(slide=True, **options))
    for prompt, completion in zip(prompts, found, strict=True):
        assert completion.finish_reason == "stop" or len(completion.tokens) == 60
        text = [*words.prefix, *words.encode(prompt)]
        assert continue_by_hand(config, text, count=len(completion.tokens))[len(text) :] == completion.tokens
    assert max(len(completion.tokens) for completion in found) > WINDOW
    with pytest.raises(ConfigError, match="too long: this model reads 11"):
        complete(network(config), config, words, prompts, GenerationConfig(**options))
