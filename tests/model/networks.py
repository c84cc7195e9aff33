"""Small networks of every kind, and parameters for them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from model import Tokens, Transformer, TransformerConfig

SMALL = {"vocab_size": 24, "max_length": 12, "decoder_layers": 2, "embed_dim": 16, "num_heads": 4, "mlp_dim": 20}

NETWORKS = {
    "gpt2": TransformerConfig(**SMALL, dropout=0.1),
    "llama": TransformerConfig(
        **SMALL,
        num_kv_heads=2,
        head_dim=6,
        norm="rmsnorm",
        norm_eps=1e-6,
        position="rope",
        rope_theta=100.0,
        activation="swiglu",
        use_bias=False,
        qk_norm=True,
        tie_embeddings=False,
    ),
    "vaswani2017": TransformerConfig(
        **SMALL, norm_position="post", position="sinusoidal", activation="relu", scale_embeddings=True
    ),
    "gemma": TransformerConfig(
        **SMALL, num_kv_heads=1, norm="rmsnorm", position="rope", activation="geglu", scale_embeddings=True
    ),
    "no_position": TransformerConfig(
        **SMALL, position="none", activation="gelu", use_bias=False, qk_norm=True, tie_embeddings=False
    ),
    "qwen2": TransformerConfig(
        **SMALL,
        norm="rmsnorm",
        position="rope",
        rope_scaling="linear",
        rope_factor=4.0,
        sliding_window=3,
        activation="swiglu",
        use_bias=False,
        qkv_bias=True,
    ),
    "bert": TransformerConfig(
        **SMALL | {"decoder_layers": 0},
        encoder_layers=2,
        norm_position="post",
        embedding_norm=True,
        position_offset=2,
        num_token_types=2,
        activation="gelu",
        head="transform",
        head_bias=True,
        pooler=True,
    ),
    "t5": TransformerConfig(
        **SMALL,
        encoder_layers=1,
        head_dim=6,
        norm="rmsnorm",
        position="relative_bias",
        relative_buckets=8,
        relative_max_distance=9,
        activation="geglu",
        use_bias=False,
        scale_attention=False,
        scale_logits=True,
    ),
}


def random_params(abstract, seed: int = 0):
    """Parameters so far from their start that each of them, biases and scales too, changes the result: float64."""
    generator = np.random.default_rng(seed)

    def draw(path, leaf):
        centre = 1.0 if path[-1].key == "scale" else 0.0
        return generator.normal(centre, 0.4, leaf.shape)

    return jax.tree_util.tree_map_with_path(draw, abstract)


def float32(params):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)


def apply(config: TransformerConfig, params, tokens, positions, segments, source=None):
    """Logits [B, T, V] of float64 parameters, computed by the network; `source` is what an encoder-decoder reads."""
    source = None if source is None else Tokens(*source)
    return np.asarray(_apply(float32(params), Tokens(tokens, positions, segments), source, config=config))


@functools.partial(jax.jit, static_argnames="config")
def _apply(params, tokens, source, config):
    return Transformer(config).apply({"params": params}, tokens, source).logits_BTV


def assert_close(actual, expected, relative: float = 1e-4):
    """Every element within `relative` of the largest."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=relative * np.abs(expected).max())
