"""Decoding with a cache, against the network's forward pass without one."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from generation.decoder import decode, generate, grow, prefill
from generation.processors import Only, Temperature
from generation.rows import Method, Status
from generation.sizes import round_up
from model import Tokens, Transformer, TransformerConfig
from model.parameters import split_layers
from training.sharding import MeshConfig, make_mesh, parameter_shardings

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
NO_END = np.array([-1], np.int32)
GREEDY = Method((), NO_END, greedy=True)
HOT = Method((Temperature(np.float32(50)),), NO_END, greedy=False)
PROMPTS = [[1, 7, 3], list(range(2, 22)), [5], [1, 9, 9, 9, 9, 30, 2]]


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


def run(params, config, prompts, count=10, method=GREEDY, **options):
    """What was generated, [B, count] each: tokens and log-probabilities."""
    (decoded,) = generate(params, config, prompts, method, max_new_tokens=count, **options)
    assert (decoded.status_B == Status.FULL).all()
    places = decoded.prompt_lengths_B[:, None] + np.arange(count)
    return tuple(np.take_along_axis(values, places, 1) for values in (decoded.ids_BS, decoded.logprobs_BS))


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


def padded(text, prefix=0) -> Tokens:
    """One text, and padding to one size for all; the first `prefix` tokens see each other both ways."""
    places = np.arange(32, dtype=np.int32)[None]
    ids = np.zeros((1, 32), np.int32)
    ids[0, : len(text)] = text
    return Tokens(ids, places, (places < len(text)).astype(np.int32), prefix=places < prefix)


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
    params, starts, apply = network(T5), [[1]] * len(PROMPTS), jax.jit(Transformer(T5).apply)
    tokens, _ = run(params, T5, starts, sources=PROMPTS)
    for source, row in zip(PROMPTS, tokens, strict=True):
        logits = np.asarray(apply({"params": params}, padded([1, *row]), padded(source)).logits_BTV)[0]
        assert logits.argmax(-1)[: len(row)].tolist() == row.tolist()
    assert len({tuple(row) for row in tokens.tolist()}) == len(PROMPTS)  # what was read matters


def test_a_prompt_as_a_prefix_is_seen_both_ways():
    config = dataclasses.replace(GPT, bidirectional_prefix=True)
    params, apply = network(config), jax.jit(Transformer(config).apply)
    tokens, _ = run(params, config, PROMPTS)
    for prompt, row in zip(PROMPTS, tokens, strict=True):
        logits = np.asarray(apply({"params": params}, padded([*prompt, *row], len(prompt))).logits_BTV)[0]
        assert logits[len(prompt) - 1 :].argmax(-1)[: len(row)].tolist() == row.tolist()
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
    params = network(GPT)
    same = [PROMPTS[1]] * 4
    tokens, _ = run(params, GPT, same, method=HOT, seed=7)
    again, _ = run(params, GPT, same, method=HOT, seed=7)
    other, _ = run(params, GPT, same, method=HOT, seed=8)
    np.testing.assert_array_equal(tokens, again)
    assert all((tokens[row] != other[row]).any() for row in range(4))
    assert len({tuple(row) for row in tokens.tolist()}) == 4
    beside_others, _ = run(params, GPT, PROMPTS, method=HOT, seed=7)
    np.testing.assert_array_equal(beside_others[1], tokens[1])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_as_many_tokens_as_asked_for(count):
    (decoded,) = generate(network(GPT), GPT, PROMPTS, GREEDY, max_new_tokens=count)
    assert (decoded.lengths_B - decoded.prompt_lengths_B == count).all()


def test_the_last_place_of_the_context_is_used():
    """A prompt that fills the context gets one token; learned positions have no row beyond it."""
    prompt = (list(range(48)) * 2)[: GPT.max_length]
    _, logprobs = run(network(GPT), GPT, [prompt], count=1)
    assert np.isfinite(logprobs).all()


def test_lengths_fall_into_powers_of_two():
    assert [round_up(size) for size in (1, 16, 17, 32, 33, 100)] == [16, 16, 32, 32, 64, 128]


def test_fifty_prompts_need_few_compilations():
    """A prefill for each power of two, a decoding loop for each size of the cache; the numbers of a method need none."""
    config = dataclasses.replace(GPT, embed_dim=8, decoder_layers=1, max_length=256)
    params = network(config)
    functions = (prefill, grow, decode)
    before = [function._cache_size() for function in functions]
    for length in range(1, 100, 2):
        method = Method((Temperature(np.float32(1 + length)),), NO_END, greedy=False)
        run(params, config, [[1] * length], count=90, method=method, seed=length)
    prefills, grown, loops = (function._cache_size() - size for function, size in zip(functions, before, strict=True))
    assert (prefills, grown, loops) == (4, 1, 2)  # 16, 32, 64, 128 tokens; caches of 128 and 256


def test_batches_of_one_to_eight_need_four_compilations():
    config = dataclasses.replace(GPT, embed_dim=8, decoder_layers=1)
    params = network(config)
    before = prefill._cache_size(), decode._cache_size()
    for size in range(1, 9):
        run(params, config, [[1, 2, 3]] * size, count=3)
    assert (prefill._cache_size() - before[0], decode._cache_size() - before[1]) == (4, 4)


@pytest.mark.parametrize("steps", [1, 3])
def test_looking_at_the_rows_on_the_way_changes_nothing(steps):
    params = network(GPT)
    looks = list(generate(params, GPT, PROMPTS, HOT, max_new_tokens=10, steps=steps))
    assert [(look.lengths_B - look.prompt_lengths_B).max() for look in looks][:3] == [1, 1 + steps, 1 + 2 * steps]
    (whole,) = generate(params, GPT, PROMPTS, HOT, max_new_tokens=10)
    for one, other in zip(looks[-1], whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_cache_that_grows_changes_nothing():
    """A text of 200 tokens, whose cache doubles on the way, against the forward pass."""
    config = dataclasses.replace(CONFIGS["llama"], max_length=256)
    params = network(config)
    tokens, _ = run(params, config, [PROMPTS[0]], count=200)
    logits = forward(params, np.array([[*PROMPTS[0], *tokens[0]]]), config)[0, len(PROMPTS[0]) - 1 : -1]
    assert logits.argmax(-1).tolist() == tokens[0].tolist()


def test_rows_end_each_for_itself():
    """With an end that some rows write: they end there, with it, and the others are as without it."""
    params = network(GPT)
    tokens, _ = run(params, GPT, PROMPTS)
    end = int(tokens[0, 4])
    (decoded,) = generate(params, GPT, PROMPTS, Method((), np.array([47, end], np.int32), True), max_new_tokens=10)
    statuses = set()
    for row, line in enumerate(tokens.tolist()):
        expected = line[: line.index(end) + 1] if end in line else line
        new = decoded.ids_BS[row, decoded.prompt_lengths_B[row] : decoded.lengths_B[row]]
        assert new.tolist() == expected
        assert decoded.status_B[row] == (Status.ENDED if end in line else Status.FULL)
        statuses.add(int(decoded.status_B[row]))
    assert Status.ENDED in statuses


def test_several_samples_of_a_prompt_are_several_rows():
    params = network(GPT)
    (twice,) = generate(params, GPT, PROMPTS[:3], HOT, max_new_tokens=6, samples=2, seed=3)
    doubled = [prompt for prompt in PROMPTS[:3] for _ in range(2)]
    (rows,) = generate(params, GPT, doubled, HOT, max_new_tokens=6, seed=3)
    np.testing.assert_array_equal(twice.ids_BS[:, :26], rows.ids_BS[:, :26])
    assert len({tuple(row) for row in twice.ids_BS[:2].tolist()}) == 2


def test_layers_one_by_one_give_the_same_tokens():
    for config in (GPT, CONFIGS["llama"]):
        params = network(config)
        tokens, logprobs = run(params, config, PROMPTS)
        split_tokens, split_logprobs = run(split_layers(params), config, PROMPTS)
        np.testing.assert_array_equal(split_tokens, tokens)
        np.testing.assert_allclose(split_logprobs, logprobs, atol=1e-5)


def test_a_cache_in_bfloat16_is_close():
    params = network(GPT)
    _, rounded = run(params, GPT, PROMPTS, count=2, cache_dtype="bfloat16")
    _, two = run(params, GPT, PROMPTS, count=2)
    assert 0 < np.abs(rounded[:, 1] - two[:, 1]).max() < 0.1


def test_a_model_with_nan_and_processors_that_allow_nothing_are_told():
    params = network(GPT)
    nothing = Method((Only(np.zeros(48, bool)),), NO_END, True)
    (decoded,) = generate(params, GPT, PROMPTS, nothing, max_new_tokens=5)
    assert (decoded.status_B == Status.NOTHING_ALLOWED).all() and (decoded.lengths_B == decoded.prompt_lengths_B).all()
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, params)
    (decoded,) = generate(broken, GPT, PROMPTS, HOT, max_new_tokens=5)
    assert (decoded.status_B == Status.NOT_FINITE).all()


def test_the_cache_of_a_decoding_step_is_written_in_place():
    """The compiled loop holds no operation that copies parameters, or a cache, but into the products that read it."""
    config = dataclasses.replace(GPT, max_length=256, vocab_size=1024)
    params = split_layers(network(config))
    rows = jax.eval_shape(
        lambda: prefill(
            params,
            Tokens(*(np.ones((1, 16), np.int32) for _ in range(3))),
            None,
            np.zeros(1, np.int32),
            np.int32(4),
            np.uint32(0),
            GREEDY,
            config=config,
            slots=128,
        )
    )
    text = decode.lower(params, rows, GREEDY, np.int32(4), config=config).compile().as_text()
    copied = re.findall(r"f32\[([\d,]+)\]\S* (?:copy|concatenate)\(", text)
    sizes = [int(np.prod([int(side) for side in shape.split(",")])) for shape in copied]
    assert max(sizes) <= 128 * 16  # one layer's keys, transposed


def test_eight_devices_write_what_one_writes():
    """Parameters divided by heads, hidden units and vocabulary; the same keys draw the same tokens."""
    config = dataclasses.replace(GPT, num_heads=8, num_kv_heads=8, embed_dim=32, head_dim=4, mlp_dim=64)
    params = network(config)
    divided = jax.device_put(params, parameter_shardings(make_mesh(MeshConfig(1, 1, 8)), params))
    for given in (divided, split_layers(divided)):
        assert len(jax.tree.leaves(given)[0].sharding.device_set) == 8
        for method in (GREEDY, Method((Temperature(np.float32(1)),), NO_END, greedy=False)):
            tokens, logprobs = run(params, config, PROMPTS, method=method)
            other_tokens, other_logprobs = run(given, config, PROMPTS, method=method)
            np.testing.assert_array_equal(other_tokens, tokens)
            np.testing.assert_allclose(other_logprobs, logprobs, atol=1e-4)
