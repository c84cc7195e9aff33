import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import Cache, Tokens, Transformer
from model.config import REMAT_POLICIES
from model.parameters import abstract_params
from model.transformer import Stack
from tests.model import reference
from tests.model.networks import NETWORKS, SMALL, apply, assert_close, float32, random_params

# Two rows of ten: two texts and padding, the second text longer than the first; and one text alone.
SEGMENTS = np.array([[1] * 3 + [2] * 5 + [0] * 2, [7] * 10])
POSITIONS = np.array([[0, 1, 2, 0, 1, 2, 3, 4, 0, 0], range(10)])
TOKENS = np.random.default_rng(0).integers(0, SMALL["vocab_size"], SEGMENTS.shape)


@pytest.fixture(params=NETWORKS)
def network(request):
    """A config and random parameters for it."""
    config = NETWORKS[request.param]
    return config, random_params(abstract_params(config))


# What an encoder-decoder reads: segments 1 and 2 in the other order, and padding; a longer text.
SOURCE_SEGMENTS = np.array([[2] * 3 + [1] * 2 + [0] * 3, [7] * 8])
SOURCE_POSITIONS = np.array([[0, 1, 2, 0, 1, 0, 0, 0], range(8)])
SOURCE = (np.random.default_rng(1).integers(0, SMALL["vocab_size"], (2, 8)), SOURCE_POSITIONS, SOURCE_SEGMENTS)


def test_logits_equal_numpy(network):
    config, params = network
    source = SOURCE if config.encoder_layers and config.decoder_layers else None
    actual = apply(config, params, TOKENS, POSITIONS, SEGMENTS, source)
    expected = reference.forward(params, config, TOKENS, POSITIONS, SEGMENTS, source)
    assert actual.dtype == np.float32
    assert_close(actual[SEGMENTS > 0], expected[SEGMENTS > 0])
    assert np.isfinite(actual).all(), "padding must not make NaN"


@pytest.mark.parametrize("pooler", [False, True])
def test_a_head_of_classes_reads_the_last_hidden_vectors_or_bert_s_summary_of_them(pooler):
    config = dataclasses.replace(NETWORKS["bert"], head="classes", num_classes=5, pooler=pooler)
    params = random_params(abstract_params(config))
    output = jax.jit(Transformer(config).apply)({"params": float32(params)}, Tokens(TOKENS, POSITIONS, SEGMENTS))
    hidden = np.asarray(output.hidden_BTD, np.float64)
    if pooler:
        hidden = np.tanh(hidden @ params["pooler"]["kernel"] + params["pooler"]["bias"])
        assert_close(output.pooled_BD, hidden[:, 0])
    layer = params["head"]["classes"]
    assert params["head"].keys() == {"classes"} and output.logits_BTV.dtype == jnp.float32
    assert_close(output.logits_BTV, hidden @ layer["kernel"] + layer["bias"])


def test_bfloat16_is_near_and_keeps_float32_parameters():
    config = dataclasses.replace(NETWORKS["llama"], dtype="bfloat16")
    params = random_params(abstract_params(config))
    actual = apply(config, params, TOKENS, POSITIONS, SEGMENTS)
    expected = reference.forward(params, config, TOKENS, POSITIONS, SEGMENTS)
    assert actual.dtype == np.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(abstract_params(config))} == {jnp.dtype("float32")}
    assert_close(actual[SEGMENTS > 0], expected[SEGMENTS > 0], relative=0.05)
    with pytest.raises(AssertionError):  # computed in bfloat16 indeed
        assert_close(actual[SEGMENTS > 0], expected[SEGMENTS > 0], relative=1e-4)


@pytest.mark.parametrize("name", ["vaswani2017", "no_position"])
def test_each_token_depends_on_its_own_text_up_to_itself_and_on_nothing_else(name):
    """By gradient: every token of the batch has its own row of the table, and the head has another table."""
    config = dataclasses.replace(NETWORKS[name], vocab_size=TOKENS.size, tie_embeddings=False)
    params = float32(random_params(abstract_params(config)))
    tokens = jnp.arange(TOKENS.size).reshape(TOKENS.shape)

    @jax.jit
    @jax.jacrev
    def influence(table):
        variables = {"params": params | {"token_embedding": {"embedding": table}}}
        batch = Tokens(tokens, jnp.asarray(POSITIONS), jnp.asarray(SEGMENTS))
        logits = Transformer(config).apply(variables, batch).logits_BTV
        return (logits * jnp.arange(1.0, config.vocab_size + 1)).mean(-1).reshape(-1)

    depends = np.asarray(influence(params["token_embedding"]["embedding"]) != 0).any(-1)
    expected = np.zeros((2, 10, 2, 10), bool)
    for row in range(2):
        expected[row, :, row] = reference.visible(POSITIONS[row], POSITIONS[row], SEGMENTS[row], SEGMENTS[row])
    real = SEGMENTS.reshape(-1) > 0
    np.testing.assert_array_equal(depends[real], expected.reshape(20, 20)[real])


@settings(max_examples=12, deadline=None, derandomize=True)
@given(owner=st.lists(st.integers(0, 3), min_size=8, max_size=8), seed=st.integers(0, 99))
def test_a_text_gets_the_same_logits_packed_with_others_as_alone(owner, seed):
    """However the texts and the padding (0) lie in the row, even interleaved."""
    config, owner = NETWORKS["gemma"], np.array(owner)
    params = random_params(abstract_params(config))
    positions = np.array([np.sum(owner[:t] == owner[t]) for t in range(8)])
    tokens = np.random.default_rng(seed).integers(0, SMALL["vocab_size"], 8)
    alone = np.zeros((3, 3, 8), int)  # tokens, positions, segments of three rows, each with one text at its left
    for text in (1, 2, 3):
        length = np.sum(owner == text)
        alone[:, text - 1, :length] = np.stack([tokens, positions, owner == text])[:, owner == text]
    packed = np.broadcast_to(np.stack([tokens, positions, owner])[:, None], (3, 3, 8))
    packed_logits = apply(config, params, *packed)[0]
    alone_logits = apply(config, params, *alone)
    for place in np.flatnonzero(owner):
        expected = alone_logits[owner[place] - 1, positions[place]]
        np.testing.assert_allclose(packed_logits[place], expected, rtol=1e-4, atol=1e-4)


def test_rope_sees_distances_only():
    config = NETWORKS["llama"]
    params = random_params(abstract_params(config))
    segments, positions = np.ones_like(TOKENS), np.broadcast_to(np.arange(10), TOKENS.shape)
    here = apply(config, params, TOKENS, positions, segments)
    assert_close(apply(config, params, TOKENS, positions + 50, segments), here)
    assert np.abs(apply(config, params, TOKENS, positions * 2, segments) - here).max() > 0.01


def test_post_norm_has_no_norm_at_the_end_and_a_tied_head_no_table_of_its_own():
    assert set(abstract_params(NETWORKS["vaswani2017"])) == {"token_embedding", "decoder"}
    assert "final_norm" not in abstract_params(NETWORKS["vaswani2017"])["decoder"]
    assert set(abstract_params(NETWORKS["llama"])) == {"token_embedding", "decoder", "head"}
    assert "final_norm" in abstract_params(NETWORKS["llama"])["decoder"]
    assert "position_embedding" in abstract_params(NETWORKS["gpt2"])


def _loss_of(config):
    """A smooth number, of the parameters, whose gradients are compared."""
    tokens, positions, segments = (jnp.asarray(array) for array in (TOKENS, POSITIONS, SEGMENTS))

    def loss(params):
        logits = Transformer(config).apply({"params": params}, Tokens(tokens, positions, segments)).logits_BTV
        return jnp.where(segments[..., None] > 0, jnp.tanh(logits), 0).sum()

    return loss


@functools.cache
def _plain_gradient():
    params = random_params(abstract_params(NETWORKS["no_position"]))
    return params, jax.jit(jax.value_and_grad(_loss_of(NETWORKS["no_position"])))(float32(params))


@pytest.mark.parametrize("changes", [{"scan_layers": False}, {"remat": "full"}, {"remat": "dots"}])
def test_unrolled_and_rematerialized_gradients_are_the_same(changes):
    params, expected = _plain_gradient()
    config = dataclasses.replace(NETWORKS["no_position"], **changes)
    assert jax.tree.map(jnp.shape, abstract_params(config)) == jax.tree.map(jnp.shape, params)
    actual = jax.jit(jax.value_and_grad(_loss_of(config)))(float32(params))
    jax.tree.map(assert_close, actual, expected)


def test_gradient_equals_a_finite_difference_of_numpy():
    config = NETWORKS["no_position"]
    params, (_, gradient) = _plain_gradient()
    direction = random_params(abstract_params(config), seed=1)

    def loss(step):
        moved = jax.tree.map(lambda leaf, change: leaf + step * change, params, direction)
        return np.tanh(reference.forward(moved, config, TOKENS, POSITIONS, SEGMENTS)[SEGMENTS > 0]).sum()

    slope = sum(jax.tree.leaves(jax.tree.map(lambda leaf, change: np.vdot(leaf, change), gradient, direction)))
    assert slope == pytest.approx((loss(1e-5) - loss(-1e-5)) / 2e-5, rel=1e-3)


def test_remat_keeps_less_for_the_backward_pass():
    def bytes_kept(remat):
        config = dataclasses.replace(NETWORKS["gpt2"], remat=remat)
        params = abstract_params(config)
        backward = jax.eval_shape(lambda params: jax.vjp(_loss_of(config), params)[1], params)
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(backward))

    assert bytes_kept("none") > bytes_kept("dots") > bytes_kept("full")
    assert set(REMAT_POLICIES) == {"none", "dots", "full"}


def test_a_scanned_stack_is_compiled_once_whatever_its_depth():
    def program_size(**changes):
        config = dataclasses.replace(NETWORKS["gpt2"], **changes)
        batch = Tokens(*[jax.ShapeDtypeStruct((1, 4), jnp.int32)] * 3)
        return (
            jax.jit(Transformer(config).apply).lower({"params": abstract_params(config)}, batch).as_text().count("\n")
        )

    assert program_size(decoder_layers=8) < program_size(decoder_layers=2) + 5
    unrolled = program_size(decoder_layers=2, scan_layers=False)
    assert program_size(decoder_layers=8, scan_layers=False) > unrolled + 100


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_cached_logits_equal_uncached_of_each_row_alone(name):
    """Prompts of 6, 4 and 1 tokens padded on the right, read in two pieces, and four tokens more, one by one."""
    config = NETWORKS[name]
    params = random_params(abstract_params(config))
    variables = {"params": float32(params)}
    lengths, more, width = np.array([6, 4, 1]), 4, 6
    texts = np.random.default_rng(1).integers(0, config.vocab_size, (3, width + more))

    step = jax.jit(Transformer(config).apply, donate_argnums=3)
    cache = Cache.empty(config, batch=3, slots=12)
    places = np.broadcast_to(np.arange(width), (3, width))
    read = []
    for piece in (slice(0, 3), slice(3, 6)):
        segments = (places < lengths[:, None]).astype(int)
        output = step(variables, Tokens(texts[:, piece], places[:, piece], segments[:, piece]), None, cache)
        cache = output.cache
        read.append(np.asarray(output.logits_BTV))
    prompt_logits = np.concatenate(read, axis=1)
    new_logits = []
    for place in range(more):
        tokens = texts[np.arange(3), lengths + place][:, None]
        output = step(variables, Tokens(tokens, (lengths + place)[:, None], np.ones((3, 1), int)), None, cache)
        cache = output.cache
        new_logits.append(np.asarray(output.logits_BTV)[:, 0])
    assert int(cache.length) == width + more

    for row, length in enumerate(lengths):
        text = texts[row : row + 1, : length + more]
        expected = reference.forward(params, config, text, np.arange(length + more)[None], np.ones_like(text))[0]
        assert_close(prompt_logits[row, :length], expected[:length])
        assert_close([logits[row] for logits in new_logits], expected[length:])


def test_the_cache_has_the_dtype_of_the_computation():
    config = dataclasses.replace(NETWORKS["llama"], dtype="bfloat16")
    cache = jax.eval_shape(lambda: Cache.empty(config, batch=2, slots=8))
    assert len(cache.layers) == config.decoder_layers
    for leaf in jax.tree.leaves(cache.layers):
        assert leaf.shape == (2, 8, config.num_kv_heads, config.head_dim) and leaf.dtype == jnp.bfloat16


def test_every_dropout_of_every_layer_has_its_own_mask():
    """Kernels of 0 and the biases 1, 2, 4 … write the mask of each sub-layer as one binary digit of the output."""
    config = dataclasses.replace(NETWORKS["gpt2"], dropout=0.5, decoder_layers=3)
    stack, x = Stack(config, depth=3), jnp.zeros((2, 8, config.embed_dim))
    ones = jnp.ones((2, 8), jnp.int32)
    tokens = Tokens(ones, ones, ones)
    params = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(stack.init, jax.random.key(0), x, tokens)["params"]
    )
    for first, sublayer in enumerate(("attention/out", "mlp/down")):
        part, dense = sublayer.split("/")
        digits = 2.0 ** (first + 2 * jnp.arange(3))
        params["blocks"][part][dense]["bias"] = jnp.broadcast_to(digits[:, None], (3, config.embed_dim))

    @jax.jit
    def masks(key):
        _, seen = stack.apply({"params": params}, x, tokens, rngs={"dropout": key}, mutable="intermediates")
        out = seen["intermediates"]["blocks"]["x_BTD"][0][-1]  # before the last norm
        return (out.reshape(-1).astype(jnp.int32) // 2 >> jnp.arange(6)[:, None]) & 1

    kept, again, other = (np.asarray(masks(jax.random.key(seed))) for seed in (0, 0, 1))
    np.testing.assert_array_equal(kept, again)
    correlation = np.corrcoef(np.concatenate([kept, other]))
    assert np.abs(correlation - np.eye(12)).max() < 5 / np.sqrt(x.size)
