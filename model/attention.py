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
class Tokens:
    """Texts for one side of the network, packed or padded; all [B, T].

    Attributes:
        ids: int32 token ids.
        positions: int32, the place of each token in its segment, from 0.
        segments: int32; tokens see only their own segment, on the other side of the network too; 0 is padding.
        types: int32, BERT's token types (its "segment" A or B); None: all 0.
        prefix: bool, the tokens that a decoder may look ahead to (a prefix language model's input); None: none.
    """

    ids: jax.Array
    positions: jax.Array
    segments: jax.Array
    types: jax.Array | None = None
    prefix: jax.Array | None = None


@struct.dataclass
class Cache:
    """Keys and values of the tokens seen so far, for every layer; `Transformer` takes one and returns the next.

    All rows write the same slots; a row that has no token in a slot has segment id 0 there, which nothing attends to. So
    prompts of several lengths are padded to one length and still give each the tokens it would give alone.

    Attributes:
        k_LBSKH, v_LBSKH: in the dtype of the computation.
        tokens: what stands in each slot, [B, S].
        length: int32 scalar, the number of slots written; the next token goes there.
        encoder: where there is an encoder, the keys and values of its output, in a cache of their own that is written once.
    """

    k_LBSKH: jax.Array
    v_LBSKH: jax.Array
    tokens: Tokens
    length: jax.Array
    encoder: Cache | None = None

    @classmethod
    def empty(cls, config: TransformerConfig, batch: int, slots: int, encoder_slots: int = 0) -> Cache:
        """Room for `slots` tokens a row, and `encoder_slots` of the encoder's; more overwrite the last ones, unwarned."""
        shape = (config.decoder_layers, batch, slots, config.num_kv_heads, config.head_dim)

        def nothing(dtype: type = jnp.int32) -> jax.Array:
            return jnp.zeros((batch, slots), dtype)

        return cls(
            k_LBSKH=jnp.zeros(shape, config.dtype),
            v_LBSKH=jnp.zeros(shape, config.dtype),
            tokens=Tokens(nothing(), nothing(), nothing(), prefix=nothing(bool)),
            length=jnp.zeros((), jnp.int32),
            encoder=cls.empty(config, batch, encoder_slots) if encoder_slots else None,
        )

    def add_tokens(self, tokens: Tokens) -> Cache:
        """Notes which tokens the next T slots hold; each layer then writes their keys and values, and `advance` ends."""

        def write(name: str) -> jax.Array:
            new = getattr(tokens, name)
            new = jnp.zeros(tokens.ids.shape, bool) if new is None else new
            return jax.lax.dynamic_update_slice(getattr(self.tokens, name), new, (0, self.length))

        return self.replace(
            tokens=self.tokens.replace(**{name: write(name) for name in ("ids", "positions", "segments", "prefix")})
        )

    def write(self, layer: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array) -> Cache:
        """The cache with one layer's new keys and values."""
        at = (layer, 0, self.length, 0, 0)
        return self.replace(
            k_LBSKH=jax.lax.dynamic_update_slice(self.k_LBSKH, k_BTKH[None], at),
            v_LBSKH=jax.lax.dynamic_update_slice(self.v_LBSKH, v_BTKH[None], at),
        )

    def advance(self, tokens: int) -> Cache:
        return self.replace(length=self.length + tokens)


@struct.dataclass
class View:
    """What the queries of a stack see, the same in all its layers.

    Attributes:
        mask_B1TS: bool, which key each query may see.
        bias_BNTS: added to the scores, by distance; None: nothing.
        cos_sin: RoPE's turns of queries and keys, [B, T, 1, H/2] each; None: none.
    """

    mask_B1TS: jax.Array
    bias_BNTS: jax.Array | None = None
    cos_sin: tuple[jax.Array, jax.Array] | None = None


def attention_mask(queries: Tokens, keys: Tokens, causal: bool, window: int | None = None) -> jax.Array:
    """Which key each query may see: bool [B, 1, T, S].

    A query sees the keys of its own segment (segment 0 is padding and is never seen). Where `causal`, it sees none that
    stand after it, but for those of a prefix. With a `window` it sees only keys less than so many places away.
    """
    mask = (queries.segments[:, :, None] == keys.segments[:, None, :]) & (keys.segments[:, None, :] != 0)
    behind = queries.positions[:, :, None] - keys.positions[:, None, :]
    if causal:
        visible = behind >= 0
        mask &= visible if keys.prefix is None else visible | keys.prefix[:, None, :]
    if window is not None:
        mask &= jnp.abs(behind) < window
    return mask[:, None]


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017) with grouped heads (Ainslie et al. 2023, arXiv:2305.13245).

    Attends from x to `context`, which is x itself in self-attention. With a cache, the context's keys and values are
    written to it and all that it holds is attended to; `context_BSD=None` attends to what it holds already. Returns [B, T, D]
    in x's dtype, and the cache.
    """

    config: TransformerConfig

    @nn.compact
    def __call__(
        self,
        x_BTD: jax.Array,
        context_BSD: jax.Array | None,
        view: View,
        cache: Cache | None = None,
        layer: jax.Array | int = 0,
    ) -> tuple[jax.Array, Cache | None]:
        config = self.config

        def project(x: jax.Array, name: str, heads: int) -> jax.Array:
            y = Dense(config, (heads, config.head_dim), use_bias=config.qkv_bias, name=name)(x)
            if name != "value" and config.qk_norm:
                y = norm(config, f"{name}_norm")(y)
            if name != "value" and view.cos_sin is not None:
                y = rotate(y, view.cos_sin)
            return y

        q_BTNH = project(x_BTD, "query", config.num_heads)
        if context_BSD is not None:
            k_BSKH = project(context_BSD, "key", config.num_kv_heads)
            v_BSKH = project(context_BSD, "value", config.num_kv_heads)
        if cache is not None:
            if context_BSD is not None:
                cache = cache.write(layer, k_BSKH, v_BSKH)
            k_BSKH, v_BSKH = cache.k_LBSKH[layer], cache.v_LBSKH[layer]
        out_BTNH = jax.nn.dot_product_attention(
            q_BTNH,
            k_BSKH,
            v_BSKH,
            bias=view.bias_BNTS,
            mask=view.mask_B1TS,
            scale=None if config.scale_attention else 1.0,
            implementation=config.attention,
        )
        return Dense(config, (config.embed_dim,), contract=2, residual=True, name="out")(out_BTNH), cache
