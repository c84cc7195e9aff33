"""Attention: one mask builder, one cache, one module for self- and cross-attention, grouped heads or not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from model.attend import ATTENTIONS
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
class KeysValues:
    """What one layer has computed of the tokens seen so far: k, v [B, S, K, H], float32 or bfloat16."""

    k_BSKH: jax.Array
    v_BSKH: jax.Array

    def write(self, k_BTKH: jax.Array, v_BTKH: jax.Array, slot: jax.Array) -> KeysValues:
        """With the keys and values of T more tokens from `slot` on."""

        def write(kept: jax.Array, new: jax.Array) -> jax.Array:
            return jax.lax.dynamic_update_slice(kept, new.astype(kept.dtype), (0, slot, 0, 0))

        return KeysValues(write(self.k_BSKH, k_BTKH), write(self.v_BSKH, v_BTKH))


@struct.dataclass
class Cache:
    """Keys and values of the tokens seen so far, for every layer; `Transformer` takes one and returns the next.

    All rows write the same slots; a row that has no token in a slot has segment id 0 there, which nothing attends to. So
    prompts of several lengths are padded to one length and still give each the tokens it would give alone.

    Attributes:
        layers: one for each layer of the decoder, arrays of their own: a stack of them would be copied layer by layer.
        tokens: what stands in each slot, [B, S].
        length: int32 scalar, the number of slots written; the next token goes there.
        encoder: where there is an encoder, the keys and values of its output, in a cache of their own that is written once.
    """

    layers: list[KeysValues]
    tokens: Tokens
    length: jax.Array
    encoder: Cache | None = None

    @classmethod
    def empty(
        cls, config: TransformerConfig, batch: int, slots: int, encoder_slots: int = 0, dtype: str | None = None
    ) -> Cache:
        """Room for `slots` tokens a row, and `encoder_slots` of the encoder's; more overwrite the last ones, unwarned.

        `dtype` is that of keys and values; None: that of the computation.
        """

        def nothing(*shape: int, dtype: type | str = jnp.int32) -> jax.Array:
            return jnp.zeros((batch, *shape), dtype)

        def kept() -> jax.Array:
            return nothing(slots, config.num_kv_heads, config.head_dim, dtype=dtype or config.dtype)

        return cls(
            layers=[KeysValues(kept(), kept()) for _ in range(config.decoder_layers)],
            tokens=Tokens(nothing(slots), nothing(slots), nothing(slots), prefix=nothing(slots, dtype=bool)),
            length=jnp.zeros((), jnp.int32),
            encoder=cls.empty(config, batch, encoder_slots, dtype=dtype) if encoder_slots else None,
        )

    def add_tokens(self, tokens: Tokens) -> Cache:
        """Notes which tokens the next T slots hold; each layer writes their keys and values to the slots from `length` on."""

        def write(name: str) -> jax.Array:
            new = getattr(tokens, name)
            new = jnp.zeros(tokens.ids.shape, bool) if new is None else new
            return jax.lax.dynamic_update_slice(getattr(self.tokens, name), new, (0, self.length))

        return self.replace(
            tokens=self.tokens.replace(**{name: write(name) for name in ("ids", "positions", "segments", "prefix")})
        )

    def stacked(self) -> KeysValues:
        """All layers on a leading axis, as `nn.scan` takes them; where it is unrolled, XLA sees through it."""
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *self.layers)

    def advance(self, layers: KeysValues, tokens: int) -> Cache:
        """With what the layers wrote, on a leading axis."""
        count = len(self.layers)
        layers = [jax.tree.map(lambda leaf, layer=layer: leaf[layer], layers) for layer in range(count)]
        return self.replace(layers=layers, length=self.length + tokens)

    def take_rows(self, number_B: jax.Array) -> Cache:
        """The cache of other rows: int32 [B], the row that each takes over."""
        taken = jax.tree.map(lambda leaf: leaf[number_B], (self.layers, self.tokens))
        encoder = None if self.encoder is None else self.encoder.take_rows(number_B)
        return self.replace(layers=taken[0], tokens=taken[1], encoder=encoder)

    def truncate(self, count_B: jax.Array, tokens: int) -> Cache:
        """Of the last `tokens` slots each row keeps its first int32 [B] ones; those that no row keeps are free again."""
        kept_B = self.length - tokens + count_B
        there_BS = jnp.arange(self.tokens.ids.shape[1]) < kept_B[:, None]
        segments = jnp.where(there_BS, self.tokens.segments, 0)
        return self.replace(tokens=self.tokens.replace(segments=segments), length=kept_B.max())

    def grow(self, slots: int) -> Cache:
        """The same with room for `slots` tokens a row."""
        more = (0, slots - self.tokens.ids.shape[1])
        return self.replace(
            layers=jax.tree.map(lambda leaf: jnp.pad(leaf, ((0, 0), more, (0, 0), (0, 0))), self.layers),
            tokens=jax.tree.map(lambda leaf: jnp.pad(leaf, ((0, 0), more)), self.tokens),
        )


@struct.dataclass
class View:
    """What the queries of a stack see, the same in all its layers.

    Attributes:
        mask_B1TS: bool, which key each query may see.
        bias_BNTS: added to the scores, by distance; None: nothing.
        cos_sin: RoPE's turns of queries and keys, [B, T, 1, H/2] each; None: none.
        slot: int32 scalar, where new keys and values go in a cache; None: there is no cache.
        causal: whether the keys are the queries' own row, and the mask lets none of them see a later one.
    """

    mask_B1TS: jax.Array
    bias_BNTS: jax.Array | None = None
    cos_sin: tuple[jax.Array, jax.Array] | None = None
    slot: jax.Array | None = None
    causal: bool = struct.field(pytree_node=False, default=False)


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


def largest_logit(q_BTNH: jax.Array, k_BSKH: jax.Array, view: View, scale: float) -> jax.Array:
    """The largest score that a query gives a key it sees, before the softmax: float32 scalar; -inf where none sees any.

    By 64 queries a row at a time: kernels that never have all scores in memory are not undone by it.
    """
    B, T, N, H = q_BTNH.shape
    K = k_BSKH.shape[2]

    def largest(q_BNH: jax.Array, mask_B1S: jax.Array, bias_BNS: jax.Array | None) -> jax.Array:
        q_BKGH = q_BNH.reshape(B, K, N // K, H)
        scores = jnp.einsum("BKGH,BSKH->BKGS", q_BKGH, k_BSKH, preferred_element_type=jnp.float32)
        scores_BNS = scale * scores.reshape(B, N, -1) + (0 if bias_BNS is None else bias_BNS)
        return jnp.where(mask_B1S, scores_BNS, -jnp.inf).max()

    queries = jax.tree.map(lambda x: jnp.moveaxis(x, -2, 0), (view.mask_B1TS, view.bias_BNTS))
    return jax.lax.map(lambda of: largest(*of), (q_BTNH.swapaxes(0, 1), *queries), batch_size=min(64, T)).max()


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017) with grouped heads (Ainslie et al. 2023, arXiv:2305.13245).

    Attends from x to `context`, which is x itself in self-attention. With a cache, the context's keys and values are added to
    what the layer has `kept` in it, and all of that is attended to; with `context_BSD=None` only what is kept. Returns
    [B, T, D] in x's dtype, and what is kept then.
    """

    config: TransformerConfig

    @nn.compact
    def __call__(
        self,
        x_BTD: jax.Array,
        context_BSD: jax.Array | None,
        view: View,
        kept: KeysValues | None = None,
    ) -> tuple[jax.Array, KeysValues | None]:
        config = self.config

        def project(x: jax.Array, name: str, heads: int) -> jax.Array:
            start = config.head_dim**-0.5 if name == "query" and not config.scale_attention else 1.0  # T5
            y = Dense(config, (heads, config.head_dim), use_bias=config.qkv_bias, start=start, name=name)(x)
            if name != "value" and config.qk_norm:
                y = norm(config, f"{name}_norm")(y)
            if name != "value" and view.cos_sin is not None:
                y = rotate(y, view.cos_sin)
            return y

        q_BTNH = project(x_BTD, "query", config.num_heads)
        if context_BSD is not None:
            k_BSKH = project(context_BSD, "key", config.num_kv_heads)
            v_BSKH = project(context_BSD, "value", config.num_kv_heads)
        if kept is not None:
            if context_BSD is not None:
                kept = kept.write(k_BSKH, v_BSKH, view.slot)
            k_BSKH, v_BSKH = kept.k_BSKH.astype(q_BTNH.dtype), kept.v_BSKH.astype(q_BTNH.dtype)
        if self.is_mutable_collection("intermediates"):  # for those who look inside
            scale = config.head_dim**-0.5 if config.scale_attention else 1.0
            self.sow("intermediates", "largest_logit", largest_logit(q_BTNH, k_BSKH, view, scale))
        attend = ATTENTIONS[config.attention]
        out_BTNH = (attend.causal if view.causal else attend.other)(
            q_BTNH,
            k_BSKH,
            v_BSKH,
            bias=view.bias_BNTS,
            mask=view.mask_B1TS,
            scale=None if config.scale_attention else 1.0,
        )
        out = Dense(config, (config.embed_dim,), contract=2, start=config.residual_start, name="out")
        return out(out_BTNH), kept
