"""Published shapes by name: `bert("base-uncased")`, `llama("llama3-8b")`; `FAMILIES` lists all there are.

A family is what its sizes have in common, and a table of what they differ in. Parameters are as many as in the published
weights, to the last one; those of the 2017 Transformer, which were not published, as the paper's formulas give.
"""

import functools
from typing import Any, NamedTuple

from common.errors import choose
from model.config import TransformerConfig


class Family(NamedTuple):
    """What all sizes share, the names of the columns, and the rows by size; a row may end in a dict of exceptions."""

    common: dict[str, Any]
    columns: tuple[str, ...]
    sizes: dict[str, tuple]


def _ungrouped(*names: str) -> tuple[str, ...]:
    return ("embed_dim", "num_heads", *names)


_GROUPED = _ungrouped("num_kv_heads", "head_dim", "mlp_dim", "rope_theta", "vocab_size", "max_length", "tie_embeddings")
_LLAMA = {"norm": "rmsnorm", "position": "rope", "activation": "swiglu", "use_bias": False}
_LLAMA32 = {
    "rope_scaling": "llama3",
    "rope_factor": 32.0,
    "rope_original_length": 8192,
    "rope_low_rotations": 1.0,
    "rope_high_rotations": 4.0,
}
_BERT = {
    "norm_position": "post",
    "embedding_norm": True,
    "activation": "gelu",
    "head": "transform",
    "head_bias": True,
    "dropout": 0.1,
    "initializer": "truncated_normal",
}
_T5 = {
    "max_length": 512,
    "norm": "rmsnorm",
    "norm_eps": 1e-6,
    "position": "relative_bias",
    "use_bias": False,
    "scale_attention": False,
    "dropout": 0.1,
    "initializer": "xavier",
    "initializer_std": 1.0,  # so that the decoder finds the sentinels in what the encoder made of them
}
_T5_COLUMNS = ("encoder_layers", "decoder_layers", *_ungrouped("head_dim", "mlp_dim"))
_T5_V1_1 = {"activation": "geglu", "tie_embeddings": False}

FAMILIES = {
    # Radford et al. 2019
    "gpt2": Family(
        {"vocab_size": 50257, "max_length": 1024, "activation": "gelu_tanh"},
        ("decoder_layers", *_ungrouped()),
        {
            "124m": (12, 768, 12),
            "355m": (24, 1024, 16),
            "774m": (36, 1280, 20),
            "1558m": (48, 1600, 25),
        },
    ),
    # Touvron et al. 2023, arXiv:2307.09288; Grattafiori et al. 2024, arXiv:2407.21783; Zhang et al. 2024, arXiv:2401.02385
    "llama": Family(
        _LLAMA,
        ("decoder_layers", *_GROUPED),
        {
            "llama2-7b": (32, 4096, 32, 32, 128, 11008, 1e4, 32000, 4096, False),
            "llama2-13b": (40, 5120, 40, 40, 128, 13824, 1e4, 32000, 4096, False),
            "llama3-8b": (32, 4096, 32, 8, 128, 14336, 5e5, 128256, 8192, False),
            "llama3.2-1b": (16, 2048, 32, 8, 64, 8192, 5e5, 128256, 131072, True, _LLAMA32),
            "llama3.2-3b": (28, 3072, 24, 8, 128, 8192, 5e5, 128256, 131072, True, _LLAMA32),
            "tinyllama-1.1b": (22, 2048, 32, 4, 64, 5632, 1e4, 32000, 2048, False),
        },
    ),
    # Jiang et al. 2023, arXiv:2310.06825
    "mistral": Family(
        _LLAMA,
        ("decoder_layers", *_GROUPED),
        {
            "7b-v0.1": (32, 4096, 32, 8, 128, 14336, 1e4, 32000, 32768, False, {"sliding_window": 4096}),
            "7b-v0.3": (32, 4096, 32, 8, 128, 14336, 1e6, 32768, 32768, False),
        },
    ),
    # Yang et al. 2024, arXiv:2407.10671 and arXiv:2412.15115; Qwen2's weights have the shapes of Qwen2.5's
    "qwen2": Family(
        _LLAMA | {"norm_eps": 1e-6, "qkv_bias": True},
        ("decoder_layers", *_GROUPED),
        {
            "qwen2.5-0.5b": (24, 896, 14, 2, 64, 4864, 1e6, 151936, 32768, True),
            "qwen2.5-1.5b": (28, 1536, 12, 2, 128, 8960, 1e6, 151936, 131072, True),
            "qwen2.5-7b": (28, 3584, 28, 4, 128, 18944, 1e6, 152064, 131072, False),
        },
    ),
    # Yang et al. 2025, arXiv:2505.09388
    "qwen3": Family(
        _LLAMA | {"norm_eps": 1e-6, "qk_norm": True},
        ("decoder_layers", *_GROUPED),
        {
            "0.6b": (28, 1024, 16, 8, 128, 3072, 1e6, 151936, 40960, True),
            "1.7b": (28, 2048, 16, 8, 128, 6144, 1e6, 151936, 40960, True),
            "4b": (36, 2560, 32, 8, 128, 9728, 1e6, 151936, 40960, True),
            "8b": (36, 4096, 32, 8, 128, 12288, 1e6, 151936, 40960, False),
        },
    ),
    # Devlin et al. 2018, arXiv:1810.04805
    "bert": Family(
        _BERT | {"max_length": 512, "norm_eps": 1e-12, "num_token_types": 2},
        ("encoder_layers", *_ungrouped("vocab_size")),
        {
            "base-uncased": (12, 768, 12, 30522),
            "base-cased": (12, 768, 12, 28996),
            "base-chinese": (12, 768, 12, 21128),
            "large-uncased": (24, 1024, 16, 30522),
            "large-cased": (24, 1024, 16, 28996),
        },
    ),
    # Liu et al. 2019, arXiv:1907.11692
    "roberta": Family(
        _BERT | {"vocab_size": 50265, "max_length": 512, "position_offset": 2, "num_token_types": 1},
        ("encoder_layers", *_ungrouped()),
        {"base": (12, 768, 12), "large": (24, 1024, 16)},
    ),
    # Raffel et al. 2020, arXiv:1910.10683; version 1.1 as in Shazeer 2020, arXiv:2002.05202
    "t5": Family(
        _T5 | {"vocab_size": 32128, "activation": "relu", "scale_logits": True},
        _T5_COLUMNS,
        {
            "small": (6, 6, 512, 8, 64, 2048),
            "base": (12, 12, 768, 12, 64, 3072),
            "large": (24, 24, 1024, 16, 64, 4096),
            "3b": (24, 24, 1024, 32, 128, 16384),
            "v1.1-small": (8, 8, 512, 6, 64, 1024, _T5_V1_1 | {"scale_logits": False}),
            "v1.1-base": (12, 12, 768, 12, 64, 2048, _T5_V1_1 | {"scale_logits": False}),
        },
    ),
    # Xue et al. 2021, arXiv:2010.11934
    "mt5": Family(
        _T5 | _T5_V1_1 | {"vocab_size": 250112},
        _T5_COLUMNS,
        {"small": (8, 8, 512, 6, 64, 1024), "base": (12, 12, 768, 12, 64, 2048)},
    ),
    # Vaswani et al. 2017, arXiv:1706.03762, table 3; no weights were published
    "vaswani2017": Family(
        {
            "vocab_size": 37000,  # English-German, shared by both sides
            "max_length": 1024,
            "norm_position": "post",
            "position": "sinusoidal",
            "activation": "relu",
            "scale_embeddings": True,
        },
        ("encoder_layers", "decoder_layers", *_ungrouped("mlp_dim", "dropout")),
        {"base": (6, 6, 512, 8, 2048, 0.1), "big": (6, 6, 1024, 16, 4096, 0.3)},
    ),
}


def preset(family: str, size: str | None = None) -> TransformerConfig:
    """The config of a published model; without a size, of the first.

    Raises:
        ConfigError: there is no such family or size; the message lists those there are.
    """
    common, columns, sizes = choose(FAMILIES, family, "family")
    *values, exceptions = (*choose(sizes, size or next(iter(sizes)), "size"), {})
    if len(values) > len(columns):
        exceptions = values.pop()
    return TransformerConfig(**common | dict(zip(columns, values, strict=True)) | exceptions)


gpt2, llama, mistral, qwen2, qwen3, bert, roberta, t5, mt5, vaswani2017 = (
    functools.partial(preset, family) for family in FAMILIES
)
