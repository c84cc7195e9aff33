"""How large a network is, and how much work a token takes."""

import math

import jax

from model import TransformerConfig
from training.sharding import parameter_path

# The part of the network that a parameter belongs to: the first word that its path contains.
PARTS = {
    "token_embedding": "token embedding",
    "position_embedding": "position embedding",
    "token_type_embedding": "token type embedding",
    "relative_bias": "relative bias",
    "norm": "norms",
    "attention": "attention",
    "mlp": "feed-forward",
    "head": "output head",
    "pooler": "pooler",
}


def count_parameters(params) -> dict[str, int]:
    """Parameters of each part, of real or abstract arrays."""
    counts: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name = parameter_path(path)
        part = next(part for word, part in PARTS.items() if word in name)
        counts[part] = counts.get(part, 0) + math.prod(leaf.shape)
    return counts


def flops_per_token(config: TransformerConfig, counts: dict[str, int], sequence_length: int) -> float:
    """Floating-point operations to train on one token: 6 for each weight of a matrix product, and 12 L T N H for attention.

    As in PaLM (Chowdhery et al. 2022, arXiv:2204.02311, appendix B); the output layer is a product, the look-up is not.
    """
    products = counts["attention"] + counts["feed-forward"] + config.vocab_size * config.embed_dim
    attention = config.num_layers * sequence_length * config.num_heads * config.head_dim
    return 6.0 * products + 12.0 * attention
