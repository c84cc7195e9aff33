"""A forecast of a run: what each device holds, how much work it is, how long that takes, and whether it fits."""

import dataclasses
import math
import re
import tempfile
import time
from collections.abc import Iterator, Sequence

import jax

from common.errors import require
from common.tables import plain
from data.examples import load
from model.config import REMAT_POLICIES
from model.parameters import by_path
from tasks import TASKS
from training.config import Settings, build_config
from training.display import Display, duration
from training.hardware import KINDS, Kind, device_memory, find_kind
from training.init_from import settle
from training.loop import Trainer
from training.model_size import count_parameters, describe_adapters
from training.run_folder import RunFolder
from training.settings import load_settings
from training.sharding import batch_divisor

TIMED_STEPS = 3


@dataclasses.dataclass(frozen=True)
class Devices:
    """Devices that a run is planned for; where `kind` is None, those that are here."""

    count: int = 0
    name: str = "here"
    kind: Kind | None = None

    @classmethod
    def read(cls, text: str) -> "Devices":
        """From "64 x TPU v5p", or "here".

        Raises:
            ConfigError: it is neither, or no data sheet of that kind is known.
        """
        if text == "here":
            return cls()
        match = re.fullmatch(r"([1-9]\d*) ?[x×] ?(.+)", text)
        kind = find_kind(match[2]) if match else None
        require(
            kind is not None,
            f"--plan={text!r} is not a number of known devices, such as '8 x NVIDIA H100'; known are {', '.join(KINDS)}",
        )
        return cls(int(match[1]), match[2], kind)

    def pretend(self) -> None:
        """Lets JAX take so many virtual devices of the CPU for them. Called before it looks for devices."""
        if self.kind is not None:
            jax.config.update("jax_platforms", "cpu")
            jax.config.update("jax_num_cpu_devices", self.count)

    def settings(self, settings: Settings) -> Settings:
        """A run's settings, which are whole, as they are on these devices."""
        if self.kind is None or settings["model"]["dtype"] != "auto":
            return settings
        return settings | {"model": settings["model"] | {"dtype": self.kind.dtype}}


def plan_run(config_file: str, overrides: Sequence[str], devices: str, mfu: float) -> Iterator[str]:
    """The parts of the forecast of a run that would begin, on `devices` as `Devices.read` takes them. Nothing is written.

    Called before JAX looks for devices.

    Raises:
        ConfigError, UserError: as the run itself.
    """
    target = Devices.read(devices)
    target.pretend()
    display = Display()
    settings, source = settle(load_settings(config_file, overrides), overrides, None)
    config = build_config(settings)
    settings = target.settings(settings)
    tokenizer = config.tokenizer if source is None else source.tokenizer()
    corpus = load(config.data, TASKS[config.task].examples, tokenizer, (), display.say)
    config = build_config(settings, corpus.tokenizer.vocab_size, len(corpus.classes) or None)
    with tempfile.TemporaryDirectory() as folder:
        yield from plan(Trainer(config, corpus, RunFolder(folder), display, lambda params: []), target, mfu)


def plan(trainer: Trainer, devices: Devices, mfu: float) -> Iterator[str]:
    """The parts of a forecast, as they are known. On devices that are here a few steps are run, and forgotten.

    `mfu`: the share of their peak FLOP/s that devices which are not here are assumed to reach.
    """
    config, training = trainer.config, trainer.config.training
    params, base = trainer.abstract.params, trainer.base.abstract
    mesh = " ".join(f"{axis}={size}" for axis, size in trainer.mesh.shape.items())
    yield f"{trainer.mesh.size} x {devices.name if devices.kind else jax.devices()[0].device_kind}, mesh {mesh}"
    yield ""
    yield plain(
        ("parameter", "shape", "divided over", "on a device"),
        (
            (
                path,
                " x ".join(f"{size:,}" for size in leaf.shape),
                _spans(leaf.sharding) or "-",
                _size(_bytes_a_device(leaf)),
            )
            for path, leaf in (by_path(base) | by_path(params)).items()
        ),
    )
    yield ""

    limit = devices.kind.memory if devices.kind else device_memory()
    memory, step = _compile(trainer, config.model.remat, training.microbatches)
    rows = training.batch_size // training.microbatches // batch_divisor(trainer.mesh)
    total = sum(count_parameters(trainer.base.shapes).values())
    yield f"parameters: {total:,}, {_size(_bytes_a_device((base, params)))} a device"
    if config.lora.rank:
        yield describe_adapters(params, total)
    yield f"optimizer state: {_size(_bytes_a_device(trainer.abstract.optimizer))} a device"
    if trainer.abstract.average:
        yield f"averaged parameters: {_size(_bytes_a_device(trainer.abstract.average))} a device"
    yield f"gradients: {_size(_bytes_a_device(params))} a device"
    rest = max(0, memory - _bytes_a_device((base, trainer.abstract, params)))
    yield f"activations and other buffers: {_size(rest)} a device, for {rows} rows at once"
    yield f"most at once: {_size(memory)} a device, which has {_size(limit)}: " + (
        "fits" if memory <= limit else "does not fit; " + _what_fits(trainer, limit)
    )
    if devices.kind and config.model.dtype != "float32":
        yield (
            f"  (compiled for a CPU, which computes {config.model.dtype} in float32: activations take up to twice what they "
            f"take on {devices.name})"
        )

    steps, tokens = training.num_steps, trainer.batches.tokens(training.num_steps)
    flops = trainer.flops_per_token()
    work = ((flops, "a token"), (flops * tokens / steps, "a step"), (flops * tokens, "in all"))
    yield "work: " + ", ".join(f"{_amount(number)}FLOP {of}" for number, of in work)
    yield f"run: {steps:,} steps, {tokens:,.0f} tokens, {trainer.epochs(steps)}"
    if devices.kind:
        seconds = flops * tokens / (mfu * devices.kind.flops * trainer.mesh.size)
        yield f"time: {duration(seconds)} at {mfu:.0%} of {_amount(devices.kind.flops)}FLOP/s a device (--mfu)"
    elif memory <= limit:
        seconds = _time(trainer, step)
        reached = flops * tokens / steps / seconds / (trainer.peak_flops * trainer.mesh.size)
        yield (
            f"time: {duration(seconds * steps)} without evaluations: {TIMED_STEPS} steps took {seconds:.3g} s each, "
            f"{reached:.0%} of {_amount(trainer.peak_flops)}FLOP/s a device"
        )
    saved, once = (
        sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)) for tree in (trainer.abstract, base)
    )
    every = min(training.checkpoint_every, training.eval_every)
    kept = min(training.keep_checkpoints + 1, math.ceil(steps / every))
    yield (
        f"checkpoints: {_size(saved)} each, one every {every:,} steps or fewer; "
        f"up to {_size(kept * saved)} are kept"
        f"{f', and {_size(once)} of weights that stay as they are' if once else ''}"
    )


def _compile(trainer: Trainer, remat: str, microbatches: int) -> tuple[int, jax.stages.Compiled]:
    """The step with other settings than the run's, and the bytes that a device holds at most while it runs."""
    compiled = trainer.compile(dataclasses.replace(trainer.config.model, remat=remat), microbatches)
    used = compiled.memory_analysis()
    outputs = used.output_size_in_bytes - used.alias_size_in_bytes  # what does not lie where the state lay
    return used.argument_size_in_bytes + outputs + used.temp_size_in_bytes, compiled


def _what_fits(trainer: Trainer, limit: int) -> str:
    """The first change that makes the step fit: more is computed twice, or fewer rows at once."""
    training, remat = trainer.config.training, trainer.config.model.remat
    policies = list(REMAT_POLICIES)
    tries = [(policy, training.microbatches) for policy in policies[policies.index(remat) + 1 :]]
    microbatches, most = training.microbatches, training.batch_size // batch_divisor(trainer.mesh)
    while most % (microbatches := 2 * microbatches) == 0:
        tries.append((policies[-1], microbatches))
    for remat, microbatches in tries:
        memory, _ = _compile(trainer, remat, microbatches)
        if memory <= limit:
            flags = f"--config.model.remat={remat} --config.training.microbatches={microbatches}"
            return f"{_size(memory)} with {flags}, which fits"
    return (
        f"nor do fewer rows at once: the state takes {_size(_bytes_a_device(trainer.abstract))}; divide it over more devices "
        "(mesh.fsdp, mesh.tensor), or lower data.sequence_length"
    )


def _time(trainer: Trainer, step: jax.stages.Compiled) -> float:
    """Seconds of a step, the first one left out."""
    state, began = trainer.init(), 0.0
    for number in range(TIMED_STEPS + 1):
        state, metrics = step(state, trainer.batch(number, trainer.config.training.batch_size), trainer.base.values)
        jax.block_until_ready(metrics)
        began = began or time.perf_counter()
    return (time.perf_counter() - began) / TIMED_STEPS


def _bytes_a_device(tree) -> int:
    """Of abstract arrays."""
    return sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _spans(sharding: jax.sharding.NamedSharding) -> str:
    """The mesh axes that divide an array, each with its size; those of one device are left out."""
    sizes = sharding.mesh.shape
    return " x ".join(f"{axis}={sizes[axis]}" for axis in sharding.spec if axis is not None and sizes[axis] > 1)


def _size(number: float) -> str:
    """Bytes, for example `1.5 GiB`."""
    power = min(int(math.log2(max(number, 1))) // 10, 4)
    return f"{number / 1024**power:.4g} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def _amount(number: float) -> str:
    """For example `12.5 T`, to stand before a unit."""
    power = min(int(math.log10(max(number, 1))) // 3, 8)
    return f"{number / 1000**power:.3g} {('', 'k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y')[power]}"
