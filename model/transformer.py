"""The Transformer: blocks, the stack of them, and the whole network from token ids to logits."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from model.attention import Attention, Cache, KeysValues, Tokens, View, attention_mask
from model.config import REMAT_POLICIES, TransformerConfig
from model.layers import Dense, Dropout, Embedding, FeedForward, Head, norm
from model.positions import relative_buckets, rotations, sinusoidal

# Takes activations [B, ...] and gives them back, laid over devices: so the network itself knows no mesh.
Constrain = Callable[[jax.Array], jax.Array]


def as_is(x: jax.Array) -> jax.Array:
    return x


@struct.dataclass
class Output:
    """What the network gives.

    Attributes:
        logits_BTV: float32; None where the config has no head.
        hidden_BTD: what the last stack gives, in the dtype of the computation.
        pooled_BD: a summary of the row (its first token's), where the config has a pooler.
        cache: the cache that was given, with these tokens in it.
    """

    logits_BTV: jax.Array | None
    hidden_BTD: jax.Array
    pooled_BD: jax.Array | None = None
    cache: Cache | None = None


class Block(nn.Module):
    """Self-attention, attention to an encoder's output (where `cross`) and feed-forward.

    Each has a norm and a residual connection. The norm stands before each sub-layer (GPT-2, Llama, T5) or after the addition
    (Vaswani et al. 2017, BERT).
    """

    config: TransformerConfig
    cross: bool = False
    constrain: Constrain = as_is

    @nn.compact
    def __call__(
        self,
        x_BTD: jax.Array,
        kept: tuple[KeysValues, KeysValues | None] | None,
        view: View,
        encoder_view: View | None,
        encoder_BSD: jax.Array | None,
    ):
        """`kept`: this block's part of the cache, its own and that of the encoder's output. Returns x and `kept`."""
        config = self.config
        kept_self, kept_encoder = kept or (None, None)

        def attend(x):
            nonlocal kept_self
            y, kept_self = Attention(config, name="attention")(x, x, view, kept_self)
            return y

        def attend_to_encoder(x):
            nonlocal kept_encoder
            y, kept_encoder = Attention(config, name="cross_attention")(x, encoder_BSD, encoder_view, kept_encoder)
            return y

        sublayers = [("attention", attend), ("mlp", FeedForward(config, name="mlp"))]
        if self.cross:
            sublayers.insert(1, ("cross_attention", attend_to_encoder))
        for name, sublayer in sublayers:
            normalize, dropout = norm(config, f"{name}_norm"), Dropout(config.dropout)
            if config.norm_position == "pre":
                x_BTD = x_BTD + dropout(sublayer(normalize(x_BTD)))
            else:
                x_BTD = normalize(x_BTD + dropout(sublayer(x_BTD)))
        x_BTD = self.constrain(x_BTD)
        self.sow("intermediates", "x_BTD", x_BTD)  # for those who look inside; costs nothing otherwise
        return x_BTD, None if kept is None else (kept_self, kept_encoder)


class Stack(nn.Module):
    """An encoder or a decoder: `depth` blocks, their parameters stacked on a leading layer axis, and the last norm.

    `scan_layers` compiles one block and loops over it; without it the loop is unrolled. Parameters and results are the
    same.
    """

    config: TransformerConfig
    depth: int
    causal: bool = False
    cross: bool = False
    constrain: Constrain = as_is

    @nn.compact
    def __call__(
        self,
        x_BTD: jax.Array,
        tokens: Tokens,
        cache: Cache | None = None,
        encoder_BSD: jax.Array | None = None,
        encoder_tokens: Tokens | None = None,
    ) -> tuple[jax.Array, Cache | None]:
        """`tokens` are those that x stands for, `encoder_tokens` those of the encoder's output `encoder_BSD`."""
        config = self.config
        keys, kept = tokens, None
        if cache is not None:
            cache = cache.add_tokens(tokens)
            keys = cache.tokens
            if encoder_tokens is not None:
                cache = cache.replace(encoder=cache.encoder.add_tokens(encoder_tokens))
            kept = cache.stacked(), cache.encoder.stacked() if self.cross else None
        view = self.view(tokens, keys, None if cache is None else cache.length)
        encoder_view = None
        if self.cross:
            seen = encoder_tokens if cache is None else cache.encoder.tokens
            encoder_view = View(attention_mask(tokens, seen, causal=False), slot=jnp.zeros((), jnp.int32))

        block = Block
        if config.remat != "none":
            block = nn.remat(block, policy=REMAT_POLICIES[config.remat], prevent_cse=not config.scan_layers)
        blocks = nn.scan(
            block,
            variable_axes={"params": 0, "intermediates": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(0, nn.broadcast, nn.broadcast, nn.broadcast),
            length=self.depth,
            unroll=1 if config.scan_layers else self.depth,
        )(config, self.cross, self.constrain, name="blocks")
        x_BTD, kept = blocks(x_BTD, kept, view, encoder_view, encoder_BSD)

        if cache is not None:
            cache = cache.advance(kept[0], tokens.ids.shape[1])
            if encoder_tokens is not None:
                cache = cache.replace(encoder=cache.encoder.advance(kept[1], encoder_tokens.ids.shape[1]))
        if config.norm_position == "pre":
            x_BTD = norm(config, "final_norm")(x_BTD)
        return x_BTD, cache

    def view(self, tokens: Tokens, keys: Tokens, slot: jax.Array | None) -> View:
        """What tokens see of `keys`: each other or, with a cache, all that it holds; they go there from `slot` on."""
        config = self.config
        bias_BNTS = cos_sin = None
        if config.position == "relative_bias":
            buckets_BTS = relative_buckets(
                tokens.positions,
                keys.positions,
                config.relative_buckets,
                config.relative_max_distance,
                bidirectional=not self.causal,
            )
            table = Embedding(config, config.relative_buckets, config.num_heads, name="relative_bias")
            bias_BNTS = table(buckets_BTS).transpose(0, 3, 1, 2)
        if config.position == "rope":
            cos_sin = rotations(tokens.positions, config)
        mask_B1TS = attention_mask(tokens, keys, self.causal, config.sliding_window)
        causal = self.causal and slot is None and tokens.prefix is None
        return View(mask_B1TS, bias_BNTS, cos_sin, slot, causal)


class Transformer(nn.Module):
    """A language model: token ids to logits. `__call__` runs whichever stacks the config has."""

    config: TransformerConfig
    constrain: Constrain = as_is

    def setup(self):
        config = self.config
        self.token_embedding = Embedding(config, config.vocab_size)
        if config.position == "learned":
            self.position_embedding = Embedding(config, config.max_length + config.position_offset)
        if config.num_token_types:
            self.token_type_embedding = Embedding(config, config.num_token_types)
        if config.embedding_norm:
            self.embedding_norm = norm(config)
        self.dropout = Dropout(config.dropout)
        if config.encoder_layers:
            self.encoder = Stack(config, config.encoder_layers, constrain=self.constrain)
        if config.decoder_layers:
            cross = config.network == "encoder-decoder"
            self.decoder = Stack(config, config.decoder_layers, causal=True, cross=cross, constrain=self.constrain)
        if config.pooler:
            self.pooler = Dense(config, (config.embed_dim,))
        if config.head != "none":
            self.head = Head(config)

    def __call__(
        self,
        tokens: Tokens,
        encoder_tokens: Tokens | None = None,
        cache: Cache | None = None,
        places_B: jax.Array | None = None,
    ) -> Output:
        """Args:
            tokens: what logits are wanted for: the decoder's texts or, where there is none, the encoder's.
            encoder_tokens: what an encoder-decoder reads; None where the cache holds it already.
            cache: keys and values of earlier tokens, to which these are added; None when training.
            places_B: int32, the one place in each row whose logits are wanted, as [B, 1, V]; None: all.

        Returns:
            an `Output`; the logits are those of the next token (decoder) or of each token itself (encoder).
        """
        config = self.config
        encoder_BSD = None
        if config.network == "encoder-decoder":
            if encoder_tokens is not None:
                encoder_BSD, _ = self.encoder(self.embed(encoder_tokens), encoder_tokens)
            elif cache is None:
                raise ValueError("an encoder-decoder needs encoder_tokens, or a cache that holds them")
        stack = self.decoder if config.decoder_layers else self.encoder
        x_BTD, cache = stack(self.embed(tokens), tokens, cache, encoder_BSD, encoder_tokens)
        pooled_BD = jnp.tanh(self.pooler(x_BTD[:, 0])) if config.pooler else None
        wanted = x_BTD if places_B is None else jnp.take_along_axis(x_BTD, places_B[:, None, None], axis=1)
        logits_BTV = self.logits(wanted) if config.head != "none" else None
        return Output(logits_BTV, x_BTD, pooled_BD, cache)

    def logits(self, x_BTD: jax.Array) -> jax.Array:
        """What the head makes of the last stack's output, [B, T, V]."""
        if self.config.pooler and self.config.head == "classes":  # they are read from the summary, as BERT's are
            x_BTD = jnp.tanh(self.pooler(x_BTD))
        return self.head(x_BTD, self.token_embedding)

    def embed(self, tokens: Tokens) -> jax.Array:
        """What the first block reads: [B, T, D]."""
        config = self.config
        x_BTD = self.token_embedding(tokens.ids)
        if config.scale_embeddings:
            x_BTD = x_BTD * jnp.asarray(config.embed_dim**0.5, x_BTD.dtype)
        if config.position == "learned":
            x_BTD = x_BTD + self.position_embedding(tokens.positions + config.position_offset)
        if config.position == "sinusoidal":
            x_BTD = x_BTD + sinusoidal(tokens.positions, config.embed_dim).astype(x_BTD.dtype)
        if config.num_token_types:
            types_BT = jnp.zeros_like(tokens.ids) if tokens.types is None else tokens.types
            x_BTD = x_BTD + self.token_type_embedding(types_BT)
        if config.embedding_norm:
            x_BTD = self.embedding_norm(x_BTD)
        return self.constrain(self.dropout(x_BTD))
