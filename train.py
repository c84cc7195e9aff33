"""Trains a Transformer language model.

    python train.py --config configs/base.py [--workdir DIR] [--config.SECTION.KEY=VALUE ...]
    python train.py --config configs/base.py --plan[="64 x TPU v5p"]     forecasts memory and time, and trains nothing

Run again, it resumes. configs/base.py lists every key.
"""

import argparse
import sys
from pathlib import Path

from common.command import Parser, read_overrides, run_command
from common.errors import ConfigError, UserError, require


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags, and the overrides as "SECTION.KEY=VALUE"."""
    parser = Parser(
        prog="train.py",
        usage="train.py --config FILE [--workdir DIR] [--plan[=DEVICES]] [--config.SECTION.KEY=VALUE ...]",
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
    overrides = read_overrides(rest, flags.config)
    require(0 < flags.mfu <= 1, f"--mfu={flags.mfu} must be above 0 and at most 1")
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

    # Imported here, so that a wrong flag is answered at once.
    from data.chat_template import ChatTemplate
    from data.examples import load
    from data.forms import DIALOGUES
    from data.skipped import tell_skipped
    from generation.chat import ask, stops
    from generation.completion import complete, encode_prompts
    from generation.config import GenerationConfig
    from tasks import TASKS
    from training.config import build_config
    from training.display import Display
    from training.init_from import settle
    from training.loop import Trainer
    from training.run_folder import RunFolder
    from training.settings import load_settings

    display = Display()
    folder = RunFolder(flags.workdir) if flags.workdir else RunFolder.of_config(flags.config)
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
        prompts, stop = config.training.sample_prompts, ()
        if TASKS[config.task].examples in DIALOGUES:  # they are what a user says
            template = ChatTemplate.parse(config.data.chat_template)
            prompts, stop = ask(prompts, template, corpus.tokenizer), stops(template, corpus.tokenizer)

        def write_samples(params) -> list[str]:
            if not prompts:
                return []
            completions = complete(
                params,
                config.model,
                corpus.tokenizer,
                prompts,
                GenerationConfig(max_new_tokens=config.training.sample_tokens, stop=stop),
                config.seed,
            )
            continues = config.model.network == "decoder"  # the others give the whole text, filled
            return [(completion.prompt if continues else "") + completion.text for completion in completions]

        trainer = Trainer(config, corpus, folder, display, write_samples, flags.profile)
        try:  # too long? say so now
            if prompts:
                encode_prompts(prompts, config.model, corpus.tokenizer)
        except UserError as error:
            raise ConfigError(f"training.sample_prompts: {error}") from error
        folder.begin(settings, corpus.tokenizer, corpus.origin)
        return trainer.train()


if __name__ == "__main__":
    run_command(main)
