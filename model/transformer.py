"""The Transformer: blocks, the stack of them, and the whole network from token ids to logits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from model.attention import Attention, Cache, View, attention_mask
from model.config import REMAT_POLICIES, TransformerConfig
from model.layers import Dense, Dropout, Embedding, FeedForward, Head, norm
from model.positions import relative_buckets, rotations, sinusoidal


@struct.dataclass
class Tokens:
    """Texts for one side of the network, packed or padded; all int32 [B, T].

    Attributes:
        ids: token ids.
        positions: place of each token in its segment, from 0.
        segments: tokens see only their own segment, on the other side of the network too; 0 is padding.
        types: BERT's token types (its "segment" A or B); None: all 0.
        prefix: bool, the tokens that a decoder may look ahead to (a prefix language model's input); None: none.
    """

    ids: jax.Array
    positions: jax.Array
    segments: jax.Array
    types: jax.Array | None = None
    prefix: jax.Array | None = None


@struct.dataclass
class Output:
    """Attributes:
    logits_BTV: float32; None where the config has no head.
    hidden_BTD: what the last stack gives.
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

    @nn.compact
    def __call__(self, carry, view: View, source_view: View | None, source_BSD: jax.Array | None):
        """`carry` is (x_BTD, cache or None, this block's number): the form that `nn.scan` asks for."""
        config = self.config
        x_BTD, cache, layer = carry

        def attend(x):
            nonlocal cache
            y, cache = Attention(config, name="attention")(x, x, view, cache, layer)
            return y

        def attend_to_source(x):
            nonlocal cache
            of_source = None if cache is None else cache.source
            y, of_source = Attention(config, name="cross_attention")(x, source_BSD, source_view, of_source, layer)
            cache = None if cache is None else cache.replace(source=of_source)
            return y

        sublayers = {"attention": attend, "mlp": FeedForward(config, name="mlp")}
        if self.cross:
            sublayers = {"attention": attend, "cross_attention": attend_to_source, "mlp": sublayers["mlp"]}
        for name, sublayer in sublayers.items():
            normalize, dropout = norm(config, f"{name}_norm"), Dropout(config.dropout)
            if config.norm_position == "pre":
                x_BTD = x_BTD + dropout(sublayer(normalize(x_BTD)))
            else:
                x_BTD = normalize(x_BTD + dropout(sublayer(x_BTD)))
        self.sow("intermediates", "x_BTD", x_BTD)  # for those who look inside; costs nothing otherwise
        return (x_BTD, cache, layer + 1), None


class Stack(nn.Module):
    """An encoder or a decoder: `depth` blocks, their parameters stacked on a leading layer axis, and the last norm.

    `scan_layers` compiles one block and loops over it; without it the loop is unrolled. Parameters and results are the
    same.
    """

    config: TransformerConfig
    depth: int
    causal: bool = False
    cross: bool = False

    @nn.compact
    def __call__(
        self,
        x_BTD: jax.Array,
        tokens: Tokens,
        cache: Cache | None = None,
        source_BSD: jax.Array | None = None,
        source: Tokens | None = None,
    ) -> tuple[jax.Array, Cache | None]:
        """`tokens` are those that x stands for, `source` those of the encoder's output `source_BSD`."""
        config = self.config
        source_view = None
        if cache is not None:
            cache = cache.add_tokens(tokens.positions, tokens.segments)
            if source is not None:
                cache = cache.replace(source=cache.source.add_tokens(source.positions, source.segments))
            elif self.cross:
                source = Tokens(None, cache.source.positions_BS, cache.source.segments_BS)
        if self.cross:
            source_view = View(
                attention_mask(tokens.positions, source.positions, tokens.segments, source.segments, causal=False)
            )
        view = self.view(tokens, cache)

        block = Block
        if config.remat != "none":
            block = nn.remat(block, policy=REMAT_POLICIES[config.remat], prevent_cse=not config.scan_layers)
        blocks = nn.scan(
            block,
            variable_axes={"params": 0, "intermediates": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=nn.broadcast,
            length=self.depth,
            unroll=1 if config.scan_layers else self.depth,
        )(config, self.cross, name="blocks")
        first = jnp.zeros((), jnp.int32)
        (x_BTD, cache, _), _ = blocks((x_BTD, cache, first), view, source_view, source_BSD)

        if cache is not None:
            cache = cache.advance(tokens.positions.shape[1])
        if config.norm_position == "pre":
            x_BTD = norm(config, "final_norm")(x_BTD)
        return x_BTD, cache

    def view(self, tokens: Tokens, cache: Cache | None) -> View:
        """What tokens see of each other and, with a cache, of those before them."""
        config = self.config
        keys, prefix_BS = tokens, tokens.prefix
        if cache is not None:
            keys = Tokens(None, cache.positions_BS, cache.segments_BS)
            if prefix_BS is not None:  # in the slots that these tokens take; later ones stand after it anyway
                none = jnp.zeros(keys.positions.shape, bool)
                prefix_BS = jax.lax.dynamic_update_slice(none, prefix_BS, (0, cache.length))
        mask_B1TS = attention_mask(
            tokens.positions,
            keys.positions,
            tokens.segments,
            keys.segments,
            self.causal,
            prefix_BS,
            config.sliding_window,
        )
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
        return View(mask_B1TS, bias_BNTS, cos_sin)


class Transformer(nn.Module):
    """A language model: token ids to logits. `__call__` runs whichever stacks the config has."""

    config: TransformerConfig

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
            self.encoder = Stack(config, config.encoder_layers)
        if config.decoder_layers:
            self.decoder = Stack(config, config.decoder_layers, causal=True, cross=config.encoder_layers > 0)
        if config.pooler:
            self.pooler = Dense(config, (config.embed_dim,))
        if config.head != "none":
            self.head = Head(config)

    def __call__(self, tokens: Tokens, source: Tokens | None = None, cache: Cache | None = None) -> Output:
        """Args:
            tokens: what logits are wanted for: the decoder's texts or, where there is none, the encoder's.
            source: what an encoder-decoder reads; None where the cache holds it already.
            cache: keys and values of earlier tokens, to which these are added; None when training.

        Returns:
            an `Output`; the logits are those of the next token (decoder) or of each token itself (encoder).
        """
        config = self.config
        source_BSD = None
        if config.encoder_layers and config.decoder_layers and source is not None:
            source_BSD, _ = self.encoder(self.embed(source), source)
        stack = self.decoder if config.decoder_layers else self.encoder
        x_BTD, cache = stack(self.embed(tokens), tokens, cache, source_BSD, source)
        pooled_BD = jnp.tanh(self.pooler(x_BTD[:, 0])) if config.pooler else None
        logits_BTV = self.head(x_BTD, self.token_embedding) if config.head != "none" else None
        return Output(logits_BTV, x_BTD, pooled_BD, cache)

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
        return self.dropout(x_BTD)
