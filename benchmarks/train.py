"""Tokens a second of our training step, and the ratio to the same network in PyTorch (eager), measured in turns.

    python -m benchmarks.train [--shape base] [--shape gpt2-small] [--rounds 15] [--no-torch]

Both train in float32 with AdamW and clipping, from the same parameters on the same batch; their first losses are compared.
Turns alternate, so that other work on the machine slows both alike.
"""

import argparse
import dataclasses
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import jax
import numpy as np

from common.errors import UserError, choose
from configs import base
from model import TransformerConfig, presets
from tasks import TASKS, Task
from training.config import RunConfig, build_config
from training.hardware import peak_flops
from training.model_size import count_parameters, flops_per_token
from training.optimizer import make_optimizer
from training.sharding import MeshConfig, make_mesh, put_batch
from training.step import abstract_state, compile_train_step, init_state, make_train_step, shardings_of


def nanogpt(vocab_size: int, layers: int, width: int, heads: int, length: int) -> TransformerConfig:
    """The model of nanoGPT with its own settings: GPT-2 without biases, the exact GELU, no dropout."""
    return TransformerConfig(
        vocab_size, length, width, heads, layers, activation="gelu", use_bias=False, scan_layers=False
    )


# name -> (the network, rows, tokens a row): batches small enough for a laptop.
SHAPES: dict[str, tuple[Callable[[RunConfig], TransformerConfig], int, int]] = {
    "base": (lambda run: run.model, 8, 128),
    "gpt2-small": (lambda run: presets.gpt2("124m"), 1, 256),
    "nano-words": (lambda run: nanogpt(8192, 2, 384, 6, 256), 4, 256),
    "nano-letters": (lambda run: nanogpt(65, 4, 128, 4, 64), 12, 64),  # nanoGPT's example for a laptop
    "nano-letters-wide": (lambda run: nanogpt(65, 6, 384, 6, 256), 4, 256),
}


class Ours:
    """Our training step on one batch of random tokens."""

    def __init__(self, model: TransformerConfig, rows: int, length: int, task: Task = TASKS["causal_lm"]):
        run = build_config(base.get_config().to_dict(), vocab_size=2048)
        self.model, self.tokens = model, rows * length
        self.optimizer_config = dataclasses.replace(run.optimizer, schedule="constant", warmup_steps=0)
        optimizer = make_optimizer(self.optimizer_config, num_steps=1)
        mesh = make_mesh(MeshConfig(1, 1, 1))
        tokens = np.random.default_rng(0).integers(0, model.vocab_size, (rows, length + 1), dtype=np.int32)
        self.inputs, self.targets = tokens[:, :-1], tokens[:, 1:]
        ones = np.ones((rows, length), np.int32)
        batch = {
            "inputs": self.inputs,
            "targets": self.targets,
            "weights": ones.astype(np.float32),
            "positions": ones.cumsum(1, dtype=np.int32) - 1,
            "segment_ids": ones,
        }
        self.batch = put_batch(mesh, batch, rows)
        abstract = abstract_state(model, optimizer, 0, mesh)
        self.state = jax.jit(lambda: init_state(model, optimizer, 0), out_shardings=shardings_of(abstract))()
        counts = count_parameters(abstract.params)
        self.parameters, self.flops_per_token = sum(counts.values()), flops_per_token(model, abstract.params, length)
        start = time.perf_counter()
        train_step = make_train_step(model, task, run.loss, optimizer, 1, mesh)
        self.compiled = compile_train_step(train_step, abstract, self.batch)
        self.compile_seconds = time.perf_counter() - start

    def step(self) -> float:
        self.state, metrics = self.compiled(self.state, self.batch)
        return float(metrics["loss"])


def in_turns(functions: list[Callable[[], object]], rounds: int, seconds: float = 0.4) -> np.ndarray:
    """Seconds a call, [rounds, functions]: in each round each function has a turn of at least `seconds`."""
    times = np.zeros((rounds, len(functions)))
    for row in times:
        for column, function in enumerate(functions):
            calls, elapsed, start = 0, 0.0, time.perf_counter()
            while calls == 0 or elapsed < seconds:
                function()
                calls, elapsed = calls + 1, time.perf_counter() - start
            row[column] = elapsed / calls
    return times


def compare(theirs: np.ndarray, ours: np.ndarray) -> str:
    """How many times as fast ours is: by rounds, and by the fastest turn of each, which other work disturbs least."""
    ratios = theirs / ours
    return (
        f"{np.median(ratios):.2f} (median of {len(ratios)} rounds, {ratios.min():.2f} to {ratios.max():.2f}), "
        f"{theirs.min() / ours.min():.2f} (fastest turns)"
    )


def same_losses(ours: Ours, theirs: Callable[[], float]) -> str:
    """The losses of the first three steps; also warms both up.

    Raises:
        UserError: they are not the same, so neither are the networks or their optimizers.
    """
    pairs = [(ours.step(), theirs()) for _ in range(3)]
    if not np.allclose(*np.transpose(pairs), rtol=1e-3) or abs(pairs[0][0] - pairs[0][1]) > 1e-4:
        raise UserError(f"the two networks are not the same: losses (ours, PyTorch's) {pairs}")
    return ", ".join(f"{loss:.4f}" for loss, _ in pairs)


def measure(name: str, rounds: int, with_torch: bool) -> None:
    run = build_config(base.get_config().to_dict(), vocab_size=2048)
    make_model, rows, length = choose(SHAPES, name, "--shape")
    model = dataclasses.replace(make_model(run), dtype="float32", max_length=max(length, make_model(run).max_length))
    ours = Ours(model, rows, length)
    print(
        f"\n{name}: {rows} x {length} tokens, {ours.parameters:,} parameters, {ours.flops_per_token / 1e6:.1f} MFLOP a token"
    )
    print(f"  compiled in {ours.compile_seconds:.1f} s")
    functions = [ours.step, peak_flops]
    if with_torch:
        from benchmarks.torch_network import make_step

        functions.append(make_step(model, ours.optimizer_config, ours.state.params, ours.inputs, ours.targets))
        print(f"  the same losses in both: {same_losses(ours, functions[-1])}")
    ours.step()
    peaks = []
    functions[1] = lambda: peaks.append(peak_flops()[0])
    times = in_turns(functions, rounds)
    share = ours.tokens / times[:, 0].min() * ours.flops_per_token / max(peaks)
    print(f"  ours:    {speed(ours.tokens / times[:, 0])}, {share:.0%} of a matrix product's FLOP/s")
    if with_torch:
        print(f"  PyTorch: {speed(ours.tokens / times[:, 2])}")
        print(f"  ours / PyTorch: {compare(times[:, 2], times[:, 0])}", flush=True)


def speed(per_second: np.ndarray) -> str:
    return f"{np.median(per_second):,.0f} tokens/s (median), {per_second.max():,.0f} (fastest turn)"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", action="append", metavar="NAME", help=f"one of {', '.join(SHAPES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="turns that each takes (default: 15)")
    parser.add_argument("--no-torch", action="store_true", help="measure ours alone")
    flags = parser.parse_args()
    packages = ["jax", "flax"]
    if not flags.no_torch:
        try:
            import torch  # noqa: F401
        except ModuleNotFoundError:
            print("PyTorch is missing: pip install torch, or give --no-torch", file=sys.stderr)
            return 1
        packages.append("torch")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    print(f"{os.cpu_count()} cores, {jax.devices()[0].device_kind}, Python {platform.python_version()}, {versions}")
    print(f"GLIBC_TUNABLES={os.environ.get('GLIBC_TUNABLES', '')}, load {os.getloadavg()[0]:.1f}")
    for name in flags.shape or SHAPES:
        measure(name, flags.rounds, not flags.no_torch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
