import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.attention import Attention, Cache, Tokens, View, attention_mask
from tests.model import reference
from tests.model.networks import NETWORKS, assert_close, float32, random_params


def tokens(size):
    """Positions and segment ids of `size` tokens, in any order."""
    return st.tuples(*(st.lists(st.integers(0, 3), min_size=size, max_size=size) for _ in range(2)))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    queries=tokens(4),
    keys=tokens(6),
    causal=st.booleans(),
    window=st.sampled_from([None, 1, 2, 3]),
    prefix=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_mask_is_segment_padding_order_prefix_and_window(queries, keys, causal, window, prefix):
    (positions_T, segments_T), (positions_S, segments_S) = queries, keys
    queries, keys = (
        Tokens(None, *(jnp.array([row]) for row in side))
        for side in ((positions_T, segments_T), (positions_S, segments_S))
    )
    mask = attention_mask(queries, keys.replace(prefix=jnp.array([prefix])), causal, window)
    assert mask.shape == (1, 1, 4, 6) and mask.dtype == bool
    expected = reference.visible(positions_T, positions_S, segments_T, segments_S, causal, window)
    ahead = reference.visible(positions_T, positions_S, segments_T, segments_S, False, window)
    expected |= ahead & np.array(prefix)
    np.testing.assert_array_equal(mask[0, 0], expected)


@pytest.mark.parametrize("name", ["gpt2", "gemma", "no_position"])
def test_cross_attention_equals_numpy(name):
    """From 4 tokens to 7 others of another width, each query seeing some of them."""
    config = NETWORKS[name]
    generator = np.random.default_rng(0)
    x, context = generator.normal(size=(2, 4, config.embed_dim)), generator.normal(size=(2, 7, 10))
    mask = generator.random((2, 1, 4, 7)) < 0.5
    mask[..., 3] = True
    module = Attention(config)
    arrays = (jnp.asarray(x, jnp.float32), jnp.asarray(context, jnp.float32), View(jnp.asarray(mask)))
    params = random_params(jax.eval_shape(lambda: module.init(jax.random.key(0), *arrays))["params"])
    out, cache = jax.jit(module.apply)({"params": float32(params)}, *arrays)
    assert cache is None
    for row in range(2):
        assert_close(out[row], reference.attention(params, config, x[row], context[row], mask[row, 0]))


def test_the_cache_writes_at_its_length_and_leaves_the_rest():
    config = NETWORKS["llama"]
    cache = Cache.empty(config, batch=1, slots=5).advance(Cache.empty(config, batch=1, slots=5).stacked(), 2)
    new = jnp.ones((1, 2, config.num_kv_heads, config.head_dim))
    written = cache.layers[0].write(new, 2 * new, cache.length)
    expected = np.zeros_like(cache.layers[0].k_BSKH)
    expected[:, 2:4] = 1
    np.testing.assert_array_equal(written.k_BSKH, expected)
    np.testing.assert_array_equal(written.v_BSKH, 2 * expected)

    noted = cache.add_tokens(Tokens(jnp.array([[3, 4]]), jnp.array([[8, 9]]), jnp.array([[1, 0]])))
    np.testing.assert_array_equal(noted.tokens.ids, [[0, 0, 3, 4, 0]])
    np.testing.assert_array_equal(noted.tokens.positions, [[0, 0, 8, 9, 0]])
    np.testing.assert_array_equal(noted.tokens.segments, [[0, 0, 1, 0, 0]])
    assert int(noted.length) == 2 and int(noted.advance(noted.stacked(), 2).length) == 4


def test_a_cache_of_other_rows_and_a_larger_one_hold_what_they_held():
    config = NETWORKS["llama"]
    cache = jax.tree.map(
        lambda leaf: jnp.arange(leaf.size).reshape(leaf.shape) if leaf.ndim else leaf, Cache.empty(config, 3, 4, 2)
    )
    taken = cache.take_rows(jnp.array([2, 0]))
    np.testing.assert_array_equal(taken.layers[1].k_BSKH, np.asarray(cache.layers[1].k_BSKH)[[2, 0]])
    np.testing.assert_array_equal(taken.encoder.tokens.ids, np.asarray(cache.encoder.tokens.ids)[[2, 0]])
    larger = cache.grow(7)
    assert larger.layers[0].v_BSKH.shape[1] == larger.tokens.segments.shape[1] == 7
    np.testing.assert_array_equal(larger.layers[0].v_BSKH[:, :4], cache.layers[0].v_BSKH)
    assert not larger.tokens.segments[:, 4:].any()
