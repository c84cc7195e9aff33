"""How large a network is, and how much work a token takes."""

import math
import re
from collections.abc import Collection

from model import TransformerConfig, lora
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


def describe_adapters(params, total: int) -> str:
    """A line on what a LoRA run trains of a network of `total` parameters, real or abstract."""
    sizes = {path: math.prod(leaf.shape) for path, leaf in by_path(params).items()}
    kernels = sorted(path.removesuffix(f"/{lora.A}") for path in sizes if path.endswith(f"/{lora.A}"))
    in_full = [path for path in sizes if not path.endswith((f"/{lora.A}", f"/{lora.B}"))]
    learning = sum(sizes.values())
    parts = f"adapters beside {', '.join(kernels)}" + (f"; in full {', '.join(in_full)}" if in_full else "")
    return f"of the parameters {learning:,} learn, {learning / total:.2%} as many: {parts}"


def untrained(base, params) -> set[str]:
    """The paths of those arrays of `base` that have no adapters in `params`, so that no gradient of theirs is computed."""
    return by_path(base).keys() - {path.rpartition("/")[0] for path in by_path(params)}


def flops_per_token(
    config: TransformerConfig, params, length: int, source_length: int = 0, untrained: Collection[str] = ()
) -> float:
    """Floating-point operations to train on a token: 6 for each weight of a product that it meets, 12 N H for each key.

    4 for a weight in `untrained`, whose gradient is not computed.

    The mean over a full row: of `length` tokens and, in an encoder-decoder, the `source_length` that its encoder reads. As in
    PaLM (Chowdhery et al. 2022, arXiv:2204.02311, appendix B), look-ups and biases are not counted, and every key is.
    """
    both = config.network == "encoder-decoder"
    read = source_length if both else length  # by the encoder
    products = 0.0  # of weights and tokens, each counted as often as it is computed with
    for name, leaf in by_path(params).items():
        is_output = name == "token_embedding/embedding" and config.tie_embeddings and config.gives_tokens
        is_summary = name.startswith("pooler/") and config.head != "classes"  # of one token in a row
        if is_output or (name.endswith("/kernel") and not is_summary):
            times = 4.0 if name in untrained else 6.0
            products += times * (read if OF_THE_ENCODER.search(name) else length) * math.prod(leaf.shape)
    keys = config.encoder_layers * read**2 + config.decoder_layers * length * (length + both * read)
    return (products + 12.0 * config.num_heads * config.head_dim * keys) / (length + both * read)
