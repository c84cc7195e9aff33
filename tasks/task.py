"""The record that every objective fills in."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from common.errors import require

Params = dict[str, Any]
Batch = dict[str, jax.Array]
# (params, batch, dropout key or None) -> logits
Apply = Callable[[Params, Batch, jax.Array | None], jax.Array]


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What is added to the cross-entropy; `configs/base.py` says what each field means."""

    label_smoothing: float
    z_loss: float
    l1_penalty: float
    l2_penalty: float

    def __post_init__(self):
        require(0 <= self.label_smoothing < 1, f"label_smoothing={self.label_smoothing} must be in [0, 1)")
        for name in ("z_loss", "l1_penalty", "l2_penalty"):
            require(getattr(self, name) >= 0, f"{name}={getattr(self, name)} must not be negative")


@dataclasses.dataclass(frozen=True)
class Task:
    """An objective.

    Attributes:
        loss: (apply, params, batch, key, config) -> (objective, sums). `objective` is the sum over the batch of what is
            minimized; `sums` are sums over the batch too: "loss" (cross-entropy in nats, without smoothing and penalties)
            and "weight" (the targets counted). Sums are divided once, after all microbatches and devices, so that the
            loss does not depend on how the batch was cut.
    """

    loss: Callable[[Apply, Params, Batch, jax.Array | None, LossConfig], tuple[jax.Array, dict[str, jax.Array]]]
