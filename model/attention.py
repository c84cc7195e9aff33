"""Attention: one mask builder, one cache, one module for self- and cross-attention, grouped heads or not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from model.config import TransformerConfig
from model.layers import Dense, norm
from model.positions import rotate


@struct.dataclass
class Cache:
    """Keys and values of the tokens seen so far, for every layer; `Transformer` takes one and returns the next.

    All rows write the same slots; a row that has no token in a slot has segment id 0 there, which nothing attends to. So
    prompts of several lengths are padded to one length and still give each the tokens it would give alone.

    Attributes:
        k_LBSKH, v_LBSKH: in the dtype of the computation.
        positions_BS, segments_BS: int32, of the token in each slot.
        length: int32 scalar, the number of slots written; the next token goes there.
    """

    k_LBSKH: jax.Array
    v_LBSKH: jax.Array
    positions_BS: jax.Array
    segments_BS: jax.Array
    length: jax.Array

    @classmethod
    def empty(cls, config: TransformerConfig, batch: int, slots: int) -> Cache:
        """Room for `slots` tokens a row. Those who write more overwrite the last ones, unwarned."""
        shape = (config.decoder_layers, batch, slots, config.num_kv_heads, config.head_dim)
        return cls(
            k_LBSKH=jnp.zeros(shape, config.dtype),
            v_LBSKH=jnp.zeros(shape, config.dtype),
            positions_BS=jnp.zeros((batch, slots), jnp.int32),
            segments_BS=jnp.zeros((batch, slots), jnp.int32),
            length=jnp.zeros((), jnp.int32),
        )

    def add_tokens(self, positions_BT: jax.Array, segments_BT: jax.Array) -> Cache:
        """Notes which tokens the next T slots hold; each layer then writes their keys and values, and `advance` ends."""
        at = (0, self.length)
        return self.replace(
            positions_BS=jax.lax.dynamic_update_slice(self.positions_BS, positions_BT, at),
            segments_BS=jax.lax.dynamic_update_slice(self.segments_BS, segments_BT, at),
        )

    def write(self, layer: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array) -> tuple[Cache, jax.Array, jax.Array]:
        """Writes one layer's new keys and values, and returns the cache with that layer's keys and values [B, S, K, H]."""
        at = (layer, 0, self.length, 0, 0)
        k = jax.lax.dynamic_update_slice(self.k_LBSKH, k_BTKH[None], at)
        v = jax.lax.dynamic_update_slice(self.v_LBSKH, v_BTKH[None], at)
        return self.replace(k_LBSKH=k, v_LBSKH=v), k[layer], v[layer]

    def advance(self, tokens: int) -> Cache:
        return self.replace(length=self.length + tokens)


def attention_mask(
    positions_BT: jax.Array,
    positions_BS: jax.Array,
    segments_BT: jax.Array,
    segments_BS: jax.Array,
    causal: bool,
) -> jax.Array:
    """Which key each query may see: bool [B, 1, T, S].

    A query sees the keys of its own segment (segment 0 is padding and is never seen), and none that stand after it where
    `causal`.
    """
    mask = (segments_BT[:, :, None] == segments_BS[:, None, :]) & (segments_BS[:, None, :] != 0)
    if causal:
        mask &= positions_BT[:, :, None] >= positions_BS[:, None, :]
    return mask[:, None]


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017) with grouped heads (Ainslie et al. 2023, arXiv:2305.13245).

    Attends from x to `context`, which is x itself in self-attention. With a cache, keys and values are written to it and
    all that it holds is attended to. `cos_sin` rotates queries and keys (RoPE).
    """

    config: TransformerConfig

    @nn.compact
    def __call__(
        self,
        x_BTD: jax.Array,
        context_BSD: jax.Array,
        mask_B1TS: jax.Array,
        cos_sin: tuple[jax.Array, jax.Array] | None,
        cache: Cache | None = None,
        layer: jax.Array | int = 0,
    ) -> tuple[jax.Array, Cache | None]:
        config = self.config
        q_BTNH = Dense(config, (config.num_heads, config.head_dim), name="query")(x_BTD)
        k_BSKH = Dense(config, (config.num_kv_heads, config.head_dim), name="key")(context_BSD)
        v_BSKH = Dense(config, (config.num_kv_heads, config.head_dim), name="value")(context_BSD)
        if config.qk_norm:
            q_BTNH = norm(config, "query_norm")(q_BTNH)
            k_BSKH = norm(config, "key_norm")(k_BSKH)
        if cos_sin is not None:
            q_BTNH, k_BSKH = rotate(q_BTNH, cos_sin), rotate(k_BSKH, cos_sin)
        if cache is not None:
            cache, k_BSKH, v_BSKH = cache.write(layer, k_BSKH, v_BSKH)
        implementation = None if config.attention == "auto" else config.attention
        out_BTNH = jax.nn.dot_product_attention(q_BTNH, k_BSKH, v_BSKH, mask=mask_B1TS, implementation=implementation)
        return Dense(config, (config.embed_dim,), contract=2, residual=True, name="out")(out_BTNH), cache
