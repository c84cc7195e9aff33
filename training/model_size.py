"""How large a network is, and how much work a token takes."""

import math
import re

from model import TransformerConfig
from model.parameters import by_path

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

# Kernels that the tokens which an encoder reads are multiplied with.
OF_THE_ENCODER = re.compile(r"^encoder/|/cross_attention/(key|value)/")


def count_parameters(params) -> dict[str, int]:
    """Parameters of each part, of real or abstract arrays."""
    counts: dict[str, int] = {}
    for name, leaf in by_path(params).items():
        part = next((part for word, part in PARTS.items() if word in name), "other")
        counts[part] = counts.get(part, 0) + math.prod(leaf.shape)
    return counts


def flops_per_token(config: TransformerConfig, params, length: int, source_length: int = 0) -> float:
    """Floating-point operations to train on a token: 6 for each weight of a product that it meets, 12 N H for each key.

    The mean over a full row: of `length` tokens and, in an encoder-decoder, the `source_length` that its encoder reads. As in
    PaLM (Chowdhery et al. 2022, arXiv:2204.02311, appendix B), look-ups and biases are not counted, and every key is.
    """
    both = config.network == "encoder-decoder"
    read = source_length if both else length  # by the encoder
    products = length * config.vocab_size * config.embed_dim * (config.tie_embeddings and config.gives_tokens)
    for name, leaf in by_path(params).items():
        if name.endswith("/kernel") and not name.startswith("pooler/"):
            products += (read if OF_THE_ENCODER.search(name) else length) * math.prod(leaf.shape)
    keys = config.encoder_layers * read**2 + config.decoder_layers * length * (length + both * read)
    return (6.0 * products + 12.0 * config.num_heads * config.head_dim * keys) / (length + both * read)
