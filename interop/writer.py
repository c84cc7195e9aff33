"""Our parameters as a folder that `transformers` loads: config.json, safetensors in parts, tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import ml_dtypes  # noqa: F401 (gives NumPy bfloat16)
import numpy as np
from safetensors.numpy import save_file

from interop.family import Family, Json
from interop.weights import published_tensors
from model import TransformerConfig


def write_published(
    folder: Path, family: Family, config: TransformerConfig, params, extra: Json, shard_size: int
) -> None:
    """Writes config.json (with `extra` fields) and the weights, in files of at most `shard_size` bytes and one tensor."""
    leaf = next(iter(params["token_embedding"].values()))
    theirs = family.config_json(config) | {"torch_dtype": str(leaf.dtype)} | extra
    write_json(folder / "config.json", theirs)
    write_shards(folder, published_tensors(family, config, params), shard_size)


def write_shards(folder: Path, tensors: Iterable[tuple[str, np.ndarray]], shard_size: int) -> None:
    """Safetensors, one file or many with their index. No more than one file's tensors are in memory at once."""
    files: list[tuple[Path, list[str]]] = []
    total, pending = 0, {}

    def write() -> None:
        path = folder / f"part-{len(files)}"
        save_file(pending, str(path), metadata={"format": "pt"})
        path.chmod(0o644)  # as other files, and not for us alone
        files.append((path, list(pending)))
        pending.clear()

    for name, tensor in tensors:
        if pending and sum(each.nbytes for each in pending.values()) + tensor.nbytes > shard_size:
            write()
        pending[name] = tensor
        total += tensor.nbytes
    write()
    if len(files) == 1:
        files[0][0].rename(folder / "model.safetensors")
        return
    file_of = {}
    for number, (path, names) in enumerate(files, 1):
        final = f"model-{number:05d}-of-{len(files):05d}.safetensors"
        path.rename(folder / final)
        file_of |= dict.fromkeys(names, final)
    write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": dict(sorted(file_of.items()))},
    )


def write_json(path: Path, content: Json) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
