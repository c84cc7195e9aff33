"""Trains a Transformer language model.

    python train.py --config configs/base.py [--workdir DIR] [--config.SECTION.KEY=VALUE ...]
    python train.py --config configs/base.py --plan[="64 x TPU v5p"]     forecasts memory and time, and trains nothing
    python train.py --config configs/finetune/classification.py --folds 5     cross-validates: 5 runs, mean and spread

Run again, it resumes. configs/base.py lists every key.
"""

import argparse
import sys
from typing import TYPE_CHECKING

from common.command import run_command
from training.flags import parse

if TYPE_CHECKING:
    from training.run_folder import RunFolder


def main() -> int:
    flags, overrides = parse(sys.argv[1:], __doc__)
    if flags.plan is not None:
        from training.plan import plan_run

        for part in plan_run(flags.config, overrides, flags.plan, flags.mfu):
            print(part, flush=True)
        return 0
    if flags.distributed is not None:
        from training.distributed import join_processes

        join_processes(flags.distributed)

    # Imported here, as in `train`, so that a wrong flag is answered at once.
    from training.run_folder import RunFolder

    folder = RunFolder(flags.workdir) if flags.workdir else RunFolder.of_config(flags.config)
    if flags.folds is None:
        return train(flags, overrides, folder)
    import jax

    from training.cross_validation import cross_validate

    status, folds = cross_validate(
        flags.folds, folder, lambda settings, run: train(flags, [*overrides, *settings], run)
    )
    if folds is not None and jax.process_index() == 0:
        print(folds.json() if flags.json else folds.table())
    return status


def train(flags: argparse.Namespace, overrides: list[str], folder: "RunFolder") -> int:
    """Begins or resumes the run in this folder; the exit status."""
    from data.examples import load
    from data.skipped import tell_skipped
    from generation.asking import make_asking
    from generation.samples import Sampler
    from tasks import TASKS
    from training.config import build_config
    from training.display import Display
    from training.init_from import settle
    from training.loop import Trainer
    from training.settings import load_settings

    display = Display()
    settings, source = settle(load_settings(flags.config, overrides), overrides, folder)
    config = build_config(settings)
    with folder.lock():
        folder.refuse_changes(settings)
        display.say(f"{flags.config} -> {folder.path}")
        tokenizer = config.tokenizer if source is None else source.tokenizer()
        corpus = load(config.data, TASKS[config.task].examples, tokenizer, folder.classes(), display.say)
        tell_skipped(corpus.skipped, display.warn)
        if both := set(config.data.train) & set(config.data.valid):
            display.warn(f"data.valid names what is trained on too: {', '.join(sorted(both))}")
        config = build_config(settings, corpus.tokenizer.vocab_size, len(corpus.classes) or None)
        form, training = TASKS[config.task].examples, config.training
        sampler = Sampler(
            config.model,
            corpus.tokenizer,
            training.sample_prompts,
            training.sample_tokens,
            config.seed,
            make_asking(form, config.data, corpus.tokenizer),
        )
        write_samples = (lambda params: []) if flags.folds else sampler
        trainer = Trainer(config, corpus, folder, display, write_samples, flags.profile)
        sampler.check()  # now, not at the first validation
        folder.begin(settings, corpus.tokenizer, corpus.origin)
        return trainer.train()


if __name__ == "__main__":
    run_command(main)
