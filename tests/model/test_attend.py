import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model.attend import ATTENTIONS, attend_by_blocks
from model.attention import Tokens, attention_mask


def arrays(length, heads, kv_heads, head_dim=6, batch=2):
    generator = np.random.default_rng(0)
    shapes = [(batch, length, n, head_dim) for n in (heads, kv_heads, kv_heads, heads)]
    return [jnp.asarray(generator.normal(size=shape), jnp.float32) for shape in shapes]


def packed(length):
    """The mask of two texts a row, cut elsewhere in each row, and padding."""
    cut = np.array([[length // 3], [length - 5]])
    place = np.arange(length)[None]
    segments = np.where(place < cut, 1, np.where(place < length - 2, 2, 0))
    row = Tokens(None, jnp.asarray(np.where(place < cut, place, place - cut)), jnp.asarray(segments))
    return attention_mask(row, row, causal=True)


@pytest.mark.parametrize("length", [5, 64, 131])  # one block, two, and two of which the last is shorter
@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("with_bias", [False, True])
def test_blocks_give_what_all_scores_together_give_and_so_do_their_gradients(length, kv_heads, with_bias):
    q, k, v, upstream = arrays(length, 4, kv_heads)
    mask, there = packed(length), np.arange(length)[:, None, None] < length - 2
    bias = jax.random.normal(jax.random.key(1), (1, 4, length, length)) if with_bias else None

    def out_and_gradients(attend):
        out, pull = jax.vjp(lambda *x: attend(*x, bias=bias, mask=mask, scale=0.4), q, k, v)
        return np.where(there, out, 0), *pull(jnp.where(there, upstream, 0))

    expected = out_and_gradients(jax.nn.dot_product_attention)
    for array, its_expected in zip(out_and_gradients(attend_by_blocks), expected, strict=True):
        np.testing.assert_allclose(array, its_expected, atol=5e-6)


def test_blocks_leave_out_a_quarter_of_the_scores():
    def flops(attend):
        compiled = jax.jit(attend).lower(*arrays(128, 1, 1, head_dim=64, batch=1)[:3]).compile()
        return compiled.cost_analysis()["flops"]

    assert 0.72 < flops(attend_by_blocks) / flops(ATTENTIONS["xla"].causal) < 0.79


def test_bfloat16_stays_so_and_is_summed_in_float32():
    q, k, v, _ = arrays(131, 4, 2)
    exact = jax.nn.dot_product_attention(q, k, v, is_causal=True)
    mask = jnp.tril(jnp.ones((1, 1, 131, 131), bool))
    out = attend_by_blocks(*(x.astype(jnp.bfloat16) for x in (q, k, v)), mask=mask)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(out.astype(jnp.float32), exact, atol=0.04)
