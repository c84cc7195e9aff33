"""Folders of published weights, made without torch: small networks of ours with drawn parameters and a tokenizer."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from interop.families import FAMILIES
from interop.weights import empty_params
from interop.writer import write_published
from model import TransformerConfig, presets

TEXT = ["The fox and the dog.", "我们是学生。", "the the fox fox dog dog 学生 学生 我们"]
PIECES = 300


def small(family: str, **changes) -> TransformerConfig:
    config = presets.preset(family)
    depth = {name: 2 for name in ("encoder_layers", "decoder_layers") if getattr(config, name)}
    sizes = {"vocab_size": PIECES, "max_length": 32, "embed_dim": 16, "num_heads": 2, "num_kv_heads": 2, "head_dim": 8}
    return dataclasses.replace(config, **{**sizes, "mlp_dim": 24, **depth, **changes})


def drawn(config: TransformerConfig, dtype: str = "float32"):
    generator = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: generator.normal(0, 0.3, leaf.shape).astype(dtype), empty_params(config))


def write_tokenizer(folder: Path, pieces: int = PIECES) -> None:
    """A byte-level BPE of exactly so many pieces, as GPT-2's files: vocab.json and merges.txt."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=pieces - 1, initial_alphabet=alphabet, show_progress=False, min_frequency=1
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    ids = dict(model["vocab"])
    while len(ids) < pieces - 1:
        ids[f"unused{len(ids)}"] = len(ids)
    ids["<|endoftext|>"] = pieces - 1
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")


def write_folder(folder: Path, family: str = "gpt2", shard_size: int = 1 << 30, dtype: str = "float32", **changes):
    """The config and the parameters of what is written."""
    folder.mkdir(parents=True)
    config = small(family, **changes)
    params = drawn(config, dtype)
    write_published(folder, FAMILIES[family], config, params, {}, shard_size)
    write_tokenizer(folder)
    return config, params
