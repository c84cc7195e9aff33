"""What a run says before it begins: devices, mesh, parameters, text, and how long it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import jax

from training.hardware import describe_devices
from training.layer_rates import layer_rates
from training.model_size import count_parameters, describe_adapters
from training.rows import describe_classes

if TYPE_CHECKING:
    from training.loop import Trainer


def describe(trainer: Trainer) -> Iterator[str]:
    """The lines."""
    config, params, corpus = trainer.config, trainer.abstract.params, trainer.corpus
    mesh = " ".join(f"{axis}={size}" for axis, size in trainer.mesh.shape.items())
    speed = f"{trainer.peak_flops / 1e12:.3g} TFLOP/s each ({trainer.peak_flops_source})"
    yield f"devices: {describe_devices()}, {speed}; mesh: {mesh}"
    counts = count_parameters(trainer.base.shapes)
    total, parts = sum(counts.values()), ", ".join(f"{part} {count:,}" for part, count in counts.items())
    yield f"parameters: {total:,} ({parts}); computed in {config.model.dtype}"
    if config.lora.rank:
        yield describe_adapters(params, total)
    if config.optimizer.frozen:
        rates = layer_rates(params, config.optimizer.frozen)
        learning = jax.tree.map(lambda leaf, rate: leaf.size * (rate > 0).mean(), params, rates)
        yield f"of these {sum(jax.tree.leaves(learning)):,.0f} learn; the others are frozen"
    if config.training.ema_decay:
        yield f"averaged: what is validated, sampled and kept (training.ema_decay={config.training.ema_decay})"
    packed, valid = trainer.batches.packed, sum(text.num_tokens for text in corpus.valid.values())
    num_bytes = sum(text.num_bytes for text in packed.texts)
    yield (
        f"text: {packed.num_tokens:,} tokens to train on ({num_bytes:,} bytes, rows {packed.efficiency:.1%} full), "
        f"{valid:,} to validate; {corpus.tokenizer.vocab_size:,} pieces"
    )
    if corpus.classes:
        yield describe_classes(corpus)
    steps = config.training.num_steps
    seen = trainer.batches.tokens(steps)
    yield f"run: {steps:,} steps, {seen:,.0f} tokens, {trainer.epochs(steps)}, {seen / total:.2f} tokens a parameter"
