"""Trains a Transformer language model.

    python train.py --config configs/base.py [--workdir DIR] [--config.SECTION.KEY=VALUE ...]
    python train.py --config configs/base.py --plan[="64 x TPU v5p"]     forecasts memory and time, and trains nothing
    python train.py --config configs/finetune/classification.py --folds 5     cross-validates: 5 runs, mean and spread

Run again, it resumes. configs/base.py lists every key.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from common.command import Parser, read_overrides, run_command
from common.errors import require

if TYPE_CHECKING:
    from training.run_folder import RunFolder


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags, and the overrides as "SECTION.KEY=VALUE"."""
    parser = Parser(
        prog="train.py",
        usage="train.py --config FILE [--workdir DIR] [--plan[=DEVICES] | --folds K] [--config.SECTION.KEY=VALUE ...]",
        description=__doc__,
    )
    folder = Path(__file__).parent / "configs"
    configs = ", ".join(str(file.relative_to(folder)) for file in sorted(folder.rglob("[!_]*.py")))
    parser.add_argument("--config", metavar="FILE", help=f"a config file, yours or one in configs/: {configs}")
    parser.add_argument(
        "--workdir",
        metavar="DIR",
        help="the run's folder (default: runs/NAME, as the config is named; of a run's config.json, its folder)",
    )
    parser.add_argument(
        "--plan",
        metavar="DEVICES",
        nargs="?",
        const="here",
        help="print what the run would take, here or on devices such as '8 x NVIDIA H100', and train nothing",
    )
    parser.add_argument(
        "--mfu", metavar="SHARE", type=float, default=0.4, help="of their FLOP/s, for --plan (default: %(default)s)"
    )
    parser.add_argument(
        "--folds",
        metavar="K",
        type=int,
        help="cross-validate: K runs in DIR/fold-1 to DIR/fold-K, each of which validates on another part of data.train",
    )
    parser.add_argument("--json", action="store_true", help="with --folds: print the figures as one JSON object")
    parser.add_argument(
        "--distributed",
        metavar="ADDRESS:PORT,COUNT,NUMBER",
        nargs="?",
        const="detect",
        help="be one of many processes of a run, as the cluster says or as given; docs/scale.md",
    )
    parser.add_argument("--profile", action="store_true", help="trace a few steps, to profile/ in the run's folder")
    parser.add_argument_group(
        "settings", "--config.SECTION.KEY=VALUE  any key in configs/base.py; may be given many times"
    )
    flags, rest = parser.parse_known_args(arguments)
    overrides = read_overrides(rest, flags.config, vars(flags))
    require(0 < flags.mfu <= 1, f"--mfu={flags.mfu} must be above 0 and at most 1")
    require(flags.folds is None or flags.folds >= 2, f"--folds {flags.folds} must be at least 2")
    require(flags.folds is None or flags.plan is None, "--folds trains, and --plan does not; leave one out")
    require(
        not flags.json or flags.folds is not None, "--json is for the figures of --folds; metrics.jsonl has a run's"
    )
    require(flags.workdir != "", "--workdir is empty; give a folder, or leave it out")
    return flags, overrides


def main() -> int:
    flags, overrides = parse(sys.argv[1:])
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
