"""The Transformer: blocks, the stack of them, and the whole network from token ids to logits."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from model.attention import Attention, Cache, attention_mask
from model.config import REMAT_POLICIES, TransformerConfig
from model.layers import Dense, Dropout, Embedding, FeedForward, norm
from model.positions import rotations, sinusoidal


class Block(nn.Module):
    """Self-attention and feed-forward, each with a norm and a residual connection.

    The norm stands before each sub-layer (GPT-2, Llama) or after the addition (Vaswani et al. 2017).
    """

    config: TransformerConfig

    @nn.compact
    def __call__(self, carry, mask_B1TS: jax.Array, cos_sin: tuple[jax.Array, jax.Array] | None):
        """`carry` is (x_BTD, cache or None, this block's number): the form that `nn.scan` asks for."""
        config = self.config
        x_BTD, cache, layer = carry

        def attend(x):
            nonlocal cache
            y, cache = Attention(config, name="attention")(x, x, mask_B1TS, cos_sin, cache, layer)
            return y

        for name, sublayer in (("attention", attend), ("mlp", FeedForward(config, name="mlp"))):
            normalize, dropout = norm(config, f"{name}_norm"), Dropout(config.dropout)
            if config.norm_position == "pre":
                x_BTD = x_BTD + dropout(sublayer(normalize(x_BTD)))
            else:
                x_BTD = normalize(x_BTD + dropout(sublayer(x_BTD)))
        return (x_BTD, cache, layer + 1), None


class Stack(nn.Module):
    """`depth` blocks, one after the other, their parameters stacked on a leading layer axis.

    `scan_layers` compiles one block and loops over it; without it the loop is unrolled. Parameters and results are the
    same.
    """

    config: TransformerConfig
    depth: int

    @nn.compact
    def __call__(
        self,
        x_BTD: jax.Array,
        mask_B1TS: jax.Array,
        cos_sin: tuple[jax.Array, jax.Array] | None,
        cache: Cache | None = None,
    ) -> tuple[jax.Array, Cache | None]:
        config = self.config
        block = Block
        if config.remat != "none":
            block = nn.remat(block, policy=REMAT_POLICIES[config.remat], prevent_cse=not config.scan_layers)
        blocks = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(nn.broadcast, nn.broadcast),
            length=self.depth,
            unroll=1 if config.scan_layers else self.depth,
        )(config, name="blocks")
        (x_BTD, cache, _), _ = blocks((x_BTD, cache, jnp.zeros((), jnp.int32)), mask_B1TS, cos_sin)
        return x_BTD, cache


class Transformer(nn.Module):
    """A decoder-only language model: token ids to the logits of the next token."""

    config: TransformerConfig

    @nn.compact
    def __call__(
        self,
        tokens_BT: jax.Array,
        positions_BT: jax.Array,
        segments_BT: jax.Array,
        cache: Cache | None = None,
    ) -> tuple[jax.Array, Cache | None]:
        """Args:
            tokens_BT: int32 token ids.
            positions_BT: int32 place of each token in its segment.
            segments_BT: int32; tokens see only their own segment; 0 is padding.
            cache: keys and values of earlier tokens, to which these are added; None when training.

        Returns:
            logits [B, T, V], float32, and the cache with these tokens in it (None if none was given).
        """
        config = self.config
        embed = Embedding(config, config.vocab_size, name="token_embedding")
        x_BTD = embed(tokens_BT)
        if config.scale_embeddings:
            x_BTD = x_BTD * jnp.asarray(config.embed_dim**0.5, x_BTD.dtype)
        if config.position == "learned":
            x_BTD = x_BTD + Embedding(config, config.max_length, name="position_embedding")(positions_BT)
        if config.position == "sinusoidal":
            x_BTD = x_BTD + sinusoidal(positions_BT, config.embed_dim).astype(x_BTD.dtype)
        cos_sin = None
        if config.position == "rope":
            cos_sin = rotations(positions_BT, config.head_dim, config.rope_theta)
        x_BTD = Dropout(config.dropout)(x_BTD)

        if cache is None:
            keys = (positions_BT, segments_BT)
        else:
            cache = cache.add_tokens(positions_BT, segments_BT)
            keys = (cache.positions_BS, cache.segments_BS)
        mask_B1TS = attention_mask(positions_BT, keys[0], segments_BT, keys[1], causal=True)
        x_BTD, cache = Stack(config, config.decoder_layers, name="decoder")(x_BTD, mask_B1TS, cos_sin, cache)
        if cache is not None:
            cache = cache.advance(tokens_BT.shape[1])

        if config.norm_position == "pre":
            x_BTD = norm(config, "final_norm")(x_BTD)
        if config.tie_embeddings:
            logits_BTV = embed.logits(x_BTD)
        else:
            logits_BTV = Dense(config, (config.vocab_size,), use_bias=False, name="head")(x_BTD)
        return logits_BTV.astype(jnp.float32), cache
