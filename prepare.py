"""Makes token shards of text: reads, cleans, leaves out copies, splits, tokenizes. docs/data.md explains it.

    python prepare.py --config configs/base.py --out tokens/base [--config.data.clean=unicode,whitespace ...] [--json]
    python prepare.py --config configs/base.py --show 3      prints 3 rows as training sees them, and writes nothing
    python prepare.py --config configs/base.py --vocab_sizes 1000,2000,4000      prints what vocabularies of these sizes do
    python prepare.py --check tokens/base                    reads all of a prepared folder and compares it with its manifest

Then train.py --config.data.train=tokens/base, with the same settings. DIR is there once it is whole, or not at all; killed at
any moment, the same line goes on from what is done, which is kept beside DIR until then. With --runner daft it works on all
cores, with --runner ray on a cluster, on which all machines see the sources and DIR by the same paths; the result is the same.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path

from common.command import Parser, numbers, read_overrides, run_command, warn
from common.errors import require
from common.files import new_folder
from common.work_folder import work_folder


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags, and the overrides as "SECTION.KEY=VALUE"."""
    parser = Parser(prog="prepare.py", description=__doc__)
    parser.add_argument("--config", metavar="FILE", help="a config file, as train.py takes it")
    parser.add_argument("--out", metavar="DIR", type=Path, help="the folder to make")
    parser.add_argument("--show", metavar="N", type=int, help="print N rows instead")
    parser.add_argument("--vocab_sizes", metavar="N,N", type=numbers, help="compare tokenizers of these sizes instead")
    parser.add_argument("--against", metavar="DIR", type=Path, action="append", help="and the one in this folder")
    parser.add_argument("--check", metavar="DIR", type=Path, help="check a prepared folder instead")
    parser.add_argument("--tokenizer", metavar="DIR", type=Path, help="train none: take that of a run's folder")
    parser.add_argument(
        "--shard_tokens", metavar="N", type=int, default=1 << 26, help="in a file (default: %(default)s)"
    )
    parser.add_argument("--runner", default="local", help="local (default), daft or ray: where the work is done")
    parser.add_argument("--ray_address", metavar="ADDRESS", help="of a Ray cluster, if not this machine's")
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    parser.add_argument_group(
        "settings", "--config.SECTION.KEY=VALUE  any key in configs/base.py; may be given many times"
    )
    flags, rest = parser.parse_known_args(arguments)
    chosen = [name for name in ("out", "show", "vocab_sizes", "check") if getattr(flags, name) is not None]
    require(len(chosen) == 1, "give one of --out DIR, --show N, --vocab_sizes N,N and --check DIR")
    require(flags.vocab_sizes or not flags.against, "--against DIR is for --vocab_sizes N,N")
    require(not (flags.vocab_sizes and flags.tokenizer), "--vocab_sizes trains tokenizers; leave --tokenizer out")
    require(flags.show is None or flags.show >= 1, f"--show {flags.show} must be at least 1")
    require(flags.shard_tokens >= 1, f"--shard_tokens {flags.shard_tokens} must be at least 1")
    require(not (flags.check and rest), f"unknown arguments {' '.join(rest)}; --check takes a folder, and no settings")
    return flags, [] if flags.check else read_overrides(rest, flags.config, vars(flags))


def main() -> int:
    flags, overrides = parse(sys.argv[1:])
    # Imported here, so that a wrong flag is answered at once.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # no accelerator is needed, nor held
    from common.progress import Progress
    from data.examples import load
    from data.pipeline import prepare, refuse_places
    from data.prepared import check_files, read_manifest
    from data.report import summary
    from data.runners import make_runner
    from data.skipped import Skipped, tell_skipped
    from data.tokenizer_files import read_tokenizer
    from tasks import TASKS
    from training.config import build_config
    from training.init_from import settle
    from training.rows import show_rows
    from training.settings import load_settings
    from training.vocabularies import show_vocabularies

    if flags.check:
        folder = flags.check.expanduser()
        manifest = read_manifest(folder)
        check_files(folder, manifest, list(manifest["files"]))
        print(json.dumps({"out": str(flags.check), "files": len(manifest["files"])}) if flags.json else "all is well")
        return 0
    settings, source = settle(load_settings(flags.config, overrides), overrides, None)
    config = build_config(settings)
    if flags.vocab_sizes:
        return show_vocabularies(config, flags.vocab_sizes, flags.against or (), flags.json)
    tokenizer = config.tokenizer if source is None else source.tokenizer()
    if flags.tokenizer is not None:
        tokenizer = read_tokenizer(flags.tokenizer.expanduser())
    require(tokenizer is not None, f"--tokenizer {flags.tokenizer} has no tokenizer; give a run's folder")
    if flags.show:
        with tempfile.TemporaryDirectory() as cache:
            data = dataclasses.replace(config.data, cache_dir=cache)
            corpus = load(data, TASKS[config.task].examples, tokenizer, (), warn)
            rows = list(show_rows(config, corpus, flags.show))
            print(json.dumps({"rows": rows}, ensure_ascii=False) if flags.json else "\n\n".join(rows))
            tell_skipped(corpus.skipped, warn)
        return 0
    require(
        not TASKS[config.task].examples,
        f"task={config.task!r} learns examples, and shards keep text alone; train.py reads such sources itself",
    )
    refuse_places(config.data, flags.out)
    with work_folder(flags.out) as work, new_folder(flags.out) as folder, Progress() as progress:
        run = make_runner(flags.runner, flags.ray_address)
        manifest = prepare(config.data, tokenizer, folder, work, run, progress, flags.shard_tokens)
    print(json.dumps({"out": str(flags.out), **manifest}, ensure_ascii=False) if flags.json else summary(manifest))
    tell_skipped(Skipped(**manifest["skipped"] or {}), warn)
    print(flags.out, file=sys.stderr)
    return 0


if __name__ == "__main__":
    run_command(main)
