"""Published shapes, as functions that return a config."""

from common.errors import choose
from model.config import TransformerConfig

# Radford et al. 2019: name -> (layers, width, heads).
GPT2_SIZES = {
    "124m": (12, 768, 12),
    "355m": (24, 1024, 16),
    "774m": (36, 1280, 20),
    "1558m": (48, 1600, 25),
}

# name -> (layers, width, heads, key/value heads, head size, hidden width, rope theta).
LLAMA_SIZES = {
    "llama3.2-1b": (16, 2048, 32, 8, 64, 8192, 500000.0),
    "llama3-8b": (32, 4096, 32, 8, 128, 14336, 500000.0),
    "tinyllama-1.1b": (22, 2048, 32, 4, 64, 5632, 10000.0),  # Zhang et al. 2024, arXiv:2401.02385
}


def gpt2(size: str = "124m") -> TransformerConfig:
    """GPT-2: learned positions, LayerNorm before each sub-layer, tanh GELU, biases, tied embeddings, 1,024 tokens."""
    layers, width, heads = choose(GPT2_SIZES, size, "size")
    return TransformerConfig(
        vocab_size=50257,
        max_length=1024,
        decoder_layers=layers,
        embed_dim=width,
        num_heads=heads,
        norm="layernorm",
        position="learned",
        activation="gelu_tanh",
        use_bias=True,
        tie_embeddings=True,
    )


def llama(size: str = "llama3.2-1b") -> TransformerConfig:
    """Llama: RoPE, RMSNorm before each sub-layer, SwiGLU, grouped key/value heads, no biases, 2,048 tokens."""
    layers, width, heads, kv_heads, head_dim, hidden, theta = choose(LLAMA_SIZES, size, "size")
    return TransformerConfig(
        vocab_size=32000 if size.startswith("tinyllama") else 128256,
        max_length=2048,
        decoder_layers=layers,
        embed_dim=width,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        mlp_dim=hidden,
        norm="rmsnorm",
        position="rope",
        rope_theta=theta,
        activation="swiglu",
        use_bias=False,
        tie_embeddings=size == "llama3.2-1b",
    )
