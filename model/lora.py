"""LoRA: kernels that stay as they are, each with a product of two thin matrices beside it that learns in its place.

W + alpha / rank * A B, where A has as many rows as W has inputs, and `rank` columns (Hu et al. 2021, arXiv:2106.09685). The
network itself knows nothing of it: `merge` makes the kernels that it is fed.

A kernel at PATH, [L, *in, *out] or, where it is of no stack, [*in, *out], has its A at PATH/lora_a [L, *in, rank] and its B
at PATH/lora_b [L, rank, *out]; where only some layers have adapters, L is their number.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from common.errors import require
from model.parameters import STACKED, Params, by_path, find, nested

A, B = "lora_a", "lora_b"
TWO_INPUTS = "attention/out/kernel"  # [N, H, D]: it sums over heads and their sizes


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    """Which kernels learn by adapters, and of what size; `configs/base.py` says what each field means."""

    rank: int = 0
    alpha: float = 16.0
    targets: tuple[str, ...] = ("attention/",)

    def __post_init__(self):
        require(self.rank >= 0, f"rank={self.rank} must not be negative; 0 trains without adapters")
        require(self.alpha > 0, f"alpha={self.alpha} must be above 0")
        require(len(self.targets) > 0, "targets is empty; name kernels, such as 'attention/', or set rank=0")


def num_inputs(path: str) -> int:
    """How many axes of the kernel at `path` are summed over; they come before those of its outputs."""
    return 2 if path.endswith(TWO_INPUTS) else 1


def factors(path: str, axes: Sequence, rank: Any) -> dict[str, tuple]:
    """The axes of A and B of the kernel at `path`, by name: sizes, if `axes` and `rank` are sizes, or what they are called."""
    lead = 1 if STACKED in path else 0
    inner = lead + num_inputs(path)
    return {A: (*axes[:inner], rank), B: (*axes[:lead], rank, *axes[inner:])}


def adapted(base: Params, config: LoraConfig) -> dict[str, list[bool]]:
    """The kernels of `base` that have adapters, by path, and of each whether it, or each of its layers, has one.

    Raises:
        ConfigError: a pattern is no regular expression, or matches no kernel.
    """
    kernels = {path: leaf for path, leaf in by_path(base).items() if path.endswith("/kernel")}
    found = find(kernels, config.targets, "lora.targets", "kernel") if config.rank else {}
    return {path: layers for path, layers in found.items() if any(layers)}


def trainable(params: Params, base: Params, config: LoraConfig, key: jax.Array) -> Params:
    """What is trained of a network with these fresh parameters, of which those in `base` (or their shapes) are given.

    These get adapters; what is not among them, such as a new head, is trained as it is. With no base that is all of `params`.
    A is normal with the variance 1 / inputs, and B is 0: so the first step finds the network as it was given.

    Raises:
        ConfigError: as `adapted`.
    """
    given = by_path(base)
    parts = {path: leaf for path, leaf in by_path(params).items() if path not in given}
    for number, (path, layers) in enumerate(sorted(adapted(base, config).items())):
        shape = given[path].shape
        shapes = factors(path, (sum(layers), *shape[1:]) if STACKED in path else shape, config.rank)
        inputs = math.prod(shapes[A][STACKED in path : -1])
        draw = jax.random.normal(jax.random.fold_in(key, number), shapes[A], jnp.float32)
        parts |= {f"{path}/{A}": draw / math.sqrt(inputs), f"{path}/{B}": jnp.zeros(shapes[B], jnp.float32)}
    return nested(parts)


def merge(base: Params, params: Params, config: LoraConfig) -> Params:
    """The network's parameters: those of `base`, with the adapters in `params` added, and what else is in `params`.

    Kernels with adapters are float32, as `params` are; the others keep their dtype.
    """
    merged, trained = by_path(base), by_path(params)
    for path, layers in adapted(base, config).items():
        product = jax.vmap(_product) if STACKED in path else _product
        change = config.alpha / config.rank * product(trained.pop(f"{path}/{A}"), trained.pop(f"{path}/{B}"))
        kernel = merged[path].astype(jnp.float32)
        merged[path] = kernel + change if all(layers) else kernel.at[np.flatnonzero(layers)].add(change)
    return nested(merged | trained)


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """[*in, rank] and [rank, *out] to [*in, *out]."""
    return jnp.tensordot(a, b, axes=1)
