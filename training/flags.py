"""The flags of `train.py`."""

import argparse
from collections.abc import Sequence

from common.command import Parser, read_overrides
from common.configs import CONFIGS
from common.errors import require

DEFAULT_MFU = 0.4


def parse(arguments: Sequence[str], description: str) -> tuple[argparse.Namespace, list[str]]:
    """The flags, and the overrides as "SECTION.KEY=VALUE".

    Raises:
        ConfigError: a flag is not known, has a wrong value, or means nothing beside the others; there is no config.
    """
    parser = Parser(
        prog="train.py",
        usage="train.py --config FILE [--workdir DIR] [--plan[=DEVICES] | --folds K] [--config.SECTION.KEY=VALUE ...]",
        description=description,
    )
    configs = ", ".join(str(file.relative_to(CONFIGS)) for file in sorted(CONFIGS.rglob("[!_]*.py")))
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
        "--mfu", metavar="SHARE", type=float, help=f"of their peak FLOP/s, for --plan (default: {DEFAULT_MFU})"
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
    if flags.plan is None:
        require(flags.mfu is None, "--mfu is for --plan, which forecasts with it; leave it out")
    else:
        require(not flags.profile, "--profile traces a training, and --plan does not train; leave one out")
    flags.mfu = DEFAULT_MFU if flags.mfu is None else flags.mfu
    require(0 < flags.mfu <= 1, f"--mfu={flags.mfu} must be above 0 and at most 1")
    require(flags.folds is None or flags.folds >= 2, f"--folds {flags.folds} must be at least 2")
    require(flags.folds is None or flags.plan is None, "--folds trains, and --plan does not; leave one out")
    require(
        not flags.json or flags.folds is not None, "--json is for the figures of --folds; metrics.jsonl has a run's"
    )
    require(flags.workdir != "", "--workdir is empty; give a folder, or leave it out")
    return flags, overrides
