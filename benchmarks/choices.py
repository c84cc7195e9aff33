"""What some choices in the network are worth: our step against the same with the obvious alternative, in turns.

    python -m benchmarks.choices [--choice dense ...] [--rounds 15]

At the base config's shape, in float32. Above 1: ours is that many times as fast.
"""

import argparse
import contextlib
import dataclasses
import math
import sys
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks.train import SHAPES, Ours, compare, in_turns
from common.errors import choose
from configs import base
from model.layers import Dense
from model.positions import rotate, rotations
from tasks import TASKS, Task
from training.config import build_config


class BatchedDense(Dense):
    """A dense layer on x as it comes, [B, T, ...], with the kernel's axes as they are."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = x.shape[-self.contract :] + self.features
        kernel = self.param("kernel", nn.initializers.normal(self.config.initializer_std), shape)
        return jnp.tensordot(x, kernel, self.contract)


class BernoulliDropout(nn.Module):
    """Dropout by `jax.random.bernoulli`, a number of threefry for every element."""

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.rate == 0 or not self.has_rng("dropout"):
            return x
        keep = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, x.shape)
        return jnp.where(keep, x / (1 - self.rate), 0)


def log_softmax_loss(apply, params, batch, key, config):
    """Cross-entropy picked from the whole log-softmax."""
    logprobs = jax.nn.log_softmax(apply(params, batch, key))
    losses = -jnp.take_along_axis(logprobs, batch["targets"][..., None], axis=-1)[..., 0]
    loss = (losses * batch["weights"]).sum()
    return loss, {"loss": loss, "weight": batch["weights"].sum()}


def rotate_by_positions(x_BTNH, positions_BT):
    """RoPE whose cosines and sines are computed where they are used, in every layer."""
    return rotate(x_BTNH, rotations(positions_BT, x_BTNH.shape[-1], 10000.0))


@dataclasses.dataclass(frozen=True)
class Alternative:
    """What differs: settings of the model, the task, or parts of it; `both` are settings of ours too."""

    what: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    both: dict[str, Any] = dataclasses.field(default_factory=dict)
    task: Task = TASKS["causal_lm"]
    parts: dict[str, Any] = dataclasses.field(default_factory=dict)


ALTERNATIVES = {
    "dense": Alternative(
        "dense layers and logits on [B, T, D], not [B*T, D]",
        parts={
            "model.layers.Dense": BatchedDense,
            "model.attention.Dense": BatchedDense,
            "model.layers.Embedding.logits": lambda self, x_BTD: jnp.tensordot(x_BTD, self.embedding.T, 1),
        },
    ),
    "loss": Alternative(
        "the whole log_softmax, not logsumexp - logit[label]",
        task=dataclasses.replace(TASKS["causal_lm"], loss=log_softmax_loss),
    ),
    "dropout": Alternative(
        "dropout 0.1 by jax.random.bernoulli, not by hash",
        both={"dropout": 0.1},
        parts={"model.transformer.Dropout": BernoulliDropout},
    ),
    "no-dropout": Alternative("no dropout, not 0.1 by hash", both={"dropout": 0.1}, settings={"dropout": 0.0}),
    "scanned": Alternative(
        "a loop over layers, not unrolled", both={"scan_layers": False}, settings={"scan_layers": True}
    ),
    "rope": Alternative(
        "RoPE's tables in every layer, not once",
        parts={
            "model.transformer.rotations": lambda positions_BT, head_dim, theta: positions_BT,
            "model.attention.rotate": rotate_by_positions,
        },
    ),
}


def measure(alternative: Alternative, rounds: int) -> None:
    run = build_config(base.get_config().to_dict(), vocab_size=2048)
    make_model, rows, length = SHAPES["base"]
    model = dataclasses.replace(make_model(run), dtype="float32", **alternative.both)
    ours = Ours(model, rows, length)
    with contextlib.ExitStack() as patches:
        for name, part in alternative.parts.items():
            patches.enter_context(mock.patch(name, part))
        other = Ours(dataclasses.replace(model, **alternative.settings), rows, length, alternative.task)
    other.state = jax.tree.map(jnp.copy, ours.state)
    losses = ours.step(), other.step()
    tolerance = 0.05 if model.dropout else 1e-4  # other masks, other losses
    if not math.isclose(*losses, rel_tol=tolerance):
        raise ValueError(f"{alternative.what}: not the same network, losses {losses}")
    times = in_turns([ours.step, other.step], rounds)
    print(f"{alternative.what}: {compare(times[:, 1], times[:, 0])}", end="; ")
    print(f"compiled in {ours.compile_seconds:.1f} s, {other.compile_seconds:.1f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.choices", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(ALTERNATIVES)
    parser.add_argument("--choice", action="append", metavar="NAME", help=f"one of {names} (default: all)")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="turns that each takes (default: 15)")
    flags = parser.parse_args()
    for name in flags.choice or ALTERNATIVES:
        measure(choose(ALTERNATIVES, name, "--choice"), flags.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
