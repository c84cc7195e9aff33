"""Decoding with a cache, against the network's forward pass without one."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from generation.decoder import decode_step, generate, prefill, round_up
from generation.sampling import SamplingConfig
from model import Tokens, Transformer, TransformerConfig

GPT = TransformerConfig(vocab_size=48, max_length=64, decoder_layers=2, embed_dim=16, num_heads=2)
CONFIGS = {
    "gpt": GPT,
    "llama": dataclasses.replace(
        GPT,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        norm="rmsnorm",
        position="rope",
        activation="swiglu",
        use_bias=False,
        qk_norm=True,
        tie_embeddings=False,
    ),
    "post-norm": dataclasses.replace(
        GPT, norm_position="post", position="sinusoidal", scale_embeddings=True, scan_layers=False, dropout=0.5
    ),
}
GREEDY = SamplingConfig(0.0)
PROMPTS = [[1, 7, 3], list(range(2, 22)), [5], [1, 9, 9, 9, 9, 30, 2]]
ALL = np.ones(48, bool)


@functools.cache
def network(config: TransformerConfig):
    """Parameters, all of them random: biases and norms too."""
    tokens = jnp.ones((1, 1), jnp.int32)
    tokens = Tokens(tokens, tokens, tokens)
    shapes = jax.eval_shape(lambda: Transformer(config).init(jax.random.key(0), tokens, tokens)["params"])
    random = np.random.default_rng(0)

    def values(path, leaf):
        mean = 1.0 if path[-1].key == "scale" else 0.0
        return jnp.asarray(random.normal(mean, 0.4, leaf.shape), jnp.float32)

    return jax.tree_util.tree_map_with_path(values, shapes)


@functools.partial(jax.jit, static_argnames="config")
def forward(params, tokens, config):
    """Logits without a cache."""
    places = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    return Transformer(config).apply({"params": params}, Tokens(tokens, places, jnp.ones_like(tokens))).logits_BTV


def run(params, config, prompts, count=10, sampling=GREEDY, seed=0, allowed=ALL):
    """Tokens and log-probabilities, [B, count] each."""
    steps = list(generate(params, config, prompts, count, sampling, seed, allowed))
    return np.stack([tokens for tokens, _ in steps], 1), np.stack([logprobs for _, logprobs in steps], 1)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.float64(logits) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_tokens_and_log_probabilities_are_those_of_the_full_forward_pass(name):
    config, params = CONFIGS[name], network(CONFIGS[name])
    tokens, logprobs = run(params, config, PROMPTS)
    whole = np.zeros((len(PROMPTS), 32), np.int32)
    for line, prompt, row in zip(whole, PROMPTS, tokens, strict=True):
        line[: len(prompt) + len(row)] = [*prompt, *row]
    logits = np.asarray(forward(params, whole, config))
    for line, prompt, row, values in zip(logits, PROMPTS, tokens.tolist(), logprobs, strict=True):
        before = line[len(prompt) - 1 :][: len(row)]  # the logits that each new token was chosen from
        assert before.argmax(-1).tolist() == row
        np.testing.assert_allclose(values, log_softmax(before).max(-1), atol=1e-5)
    assert len(set(tokens.flatten().tolist())) > 2  # the network does not say one word


T5 = TransformerConfig(
    vocab_size=48,
    max_length=64,
    embed_dim=16,
    num_heads=2,
    decoder_layers=2,
    encoder_layers=1,
    norm="rmsnorm",
    position="relative_bias",
    use_bias=False,
)


def test_an_encoder_decoder_gives_the_tokens_of_the_full_forward_pass():
    """Sources of several lengths, read once; each row as if it were alone."""
    params, starts = network(T5), [[1]] * len(PROMPTS)
    steps = list(generate(params, T5, starts, 10, GREEDY, 0, ALL, sources=PROMPTS))
    tokens = np.stack([tokens for tokens, _ in steps], 1)
    for source, row in zip(PROMPTS, tokens, strict=True):
        texts = [np.array([text]) for text in ([1, *row], source)]
        sides = [Tokens(text, np.arange(text.size)[None], np.ones_like(text)) for text in texts]
        logits = Transformer(T5).apply({"params": params}, *sides).logits_BTV[0]
        assert logits.argmax(-1)[:-1].tolist() == row.tolist()
    assert len({tuple(row) for row in tokens.tolist()}) == len(PROMPTS)  # what was read matters


def test_a_prompt_as_a_prefix_is_seen_both_ways():
    config = dataclasses.replace(GPT, bidirectional_prefix=True)
    params = network(config)
    tokens, _ = run(params, config, PROMPTS)
    for prompt, row in zip(PROMPTS, tokens, strict=True):
        text = np.array([[*prompt, *row]])
        whole = Tokens(
            text, np.arange(text.size)[None], np.ones_like(text), prefix=np.arange(text.size)[None] < len(prompt)
        )
        logits = Transformer(config).apply({"params": params}, whole).logits_BTV[0]
        assert logits[len(prompt) - 1 : -1].argmax(-1).tolist() == row.tolist()
    assert (tokens != run(params, GPT, PROMPTS)[0]).any()


def test_a_prompt_may_fill_a_context_that_is_no_power_of_two():
    config = dataclasses.replace(GPT, max_length=40)
    params = network(config)
    prompt = [2 + place % 40 for place in range(33)]
    tokens, logprobs = run(params, config, [prompt], count=4)
    assert np.isfinite(logprobs).all()
    logits = np.asarray(forward(params, np.array([[*prompt, *tokens[0]]]), config))[0, 32:-1]
    assert logits.argmax(-1).tolist() == tokens[0].tolist()


def test_prompts_of_several_lengths_get_together_what_they_get_alone():
    config, params = CONFIGS["llama"], network(CONFIGS["llama"])
    tokens, logprobs = run(params, config, PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        alone_tokens, alone_logprobs = run(params, config, [prompt])
        assert alone_tokens[0].tolist() == tokens[row].tolist()
        np.testing.assert_allclose(alone_logprobs[0], logprobs[row], atol=1e-5)


def test_rows_in_another_order_give_the_same_rows():
    params = network(GPT)
    order = [2, 0, 3, 1]
    tokens, logprobs = run(params, GPT, PROMPTS)
    permuted_tokens, permuted_logprobs = run(params, GPT, [PROMPTS[row] for row in order])
    np.testing.assert_array_equal(permuted_tokens, tokens[order])
    np.testing.assert_allclose(permuted_logprobs, logprobs[order], atol=1e-5)


def test_draws_depend_on_seed_row_and_place_and_nothing_else():
    params, sampling = network(GPT), SamplingConfig(50.0)
    same = [PROMPTS[1]] * 4
    tokens, _ = run(params, GPT, same, sampling=sampling, seed=7)
    again, _ = run(params, GPT, same, sampling=sampling, seed=7)
    other, _ = run(params, GPT, same, sampling=sampling, seed=8)
    np.testing.assert_array_equal(tokens, again)
    assert all((tokens[row] != other[row]).any() for row in range(4))
    assert len({tuple(row) for row in tokens.tolist()}) == 4
    beside_others, _ = run(params, GPT, PROMPTS, sampling=sampling, seed=7)
    np.testing.assert_array_equal(beside_others[1], tokens[1])


def test_only_allowed_tokens_are_chosen():
    params = network(GPT)
    allowed = np.arange(48) % 5 == 2
    for sampling in (GREEDY, SamplingConfig(50.0)):
        tokens, _ = run(params, GPT, PROMPTS, sampling=sampling, allowed=allowed)
        assert allowed[tokens].all()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_as_many_tokens_as_asked_for(count):
    tokens, _ = run(network(GPT), GPT, PROMPTS, count=count)
    assert tokens.shape == (len(PROMPTS), count)


def test_the_last_place_of_the_context_is_used():
    """A prompt that fills the context gets one token; learned positions have no row beyond it."""
    prompt = (list(range(48)) * 2)[: GPT.max_length]
    _, logprobs = run(network(GPT), GPT, [prompt], count=1)
    assert np.isfinite(logprobs).all()


def test_lengths_fall_into_powers_of_two():
    assert [round_up(size) for size in (1, 16, 17, 32, 33, 100)] == [16, 16, 32, 32, 64, 128]


def test_thirty_lengths_need_few_compilations():
    config = dataclasses.replace(GPT, embed_dim=8, decoder_layers=1)
    params = network(config)
    before = prefill._cache_size(), decode_step._cache_size()
    for length in range(1, 31):
        run(params, config, [[1] * length], count=2)
    prefills, steps = prefill._cache_size() - before[0], decode_step._cache_size() - before[1]
    assert (prefills, steps) == (2, 2)  # lengths to 16, and to 32
