"""Published weights to a run's folder, and a run's folder to published weights.

    python convert.py from-hf SRC DIR [--dtype bfloat16] [--check]
    python convert.py to-hf DIR DST [--check]

SRC is a folder with config.json, *.safetensors and a tokenizer, or a Hub name as org/name. DIR is a run's folder, which
sample.py and train.py take as any other; DST a folder that transformers loads. --check runs both models on the same texts
(pip install -r requirements-parity.txt) and fails where they differ by more than 1e-4.
"""

import argparse
import sys
from pathlib import Path

from common.command import run_command
from common.errors import require


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="convert.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="from-hf | to-hf")
    from_hf = commands.add_parser("from-hf", help="published weights to a run's folder", allow_abbrev=False)
    from_hf.add_argument("source", metavar="SRC", help="a folder of published weights, or a Hub name as org/name")
    from_hf.add_argument("target", metavar="DIR", type=Path, help="the run's folder to make")
    from_hf.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32", help="of the parameters (default: float32)"
    )
    to_hf = commands.add_parser("to-hf", help="a run's folder to published weights", allow_abbrev=False)
    to_hf.add_argument("source", metavar="DIR", help="a run's folder, its checkpoints/, or one step")
    to_hf.add_argument("target", metavar="DST", type=Path, help="the folder to make")
    to_hf.add_argument("--shard_size", type=float, default=4.0, metavar="GB", help="of a file, at most (default: 4)")
    for command in (from_hf, to_hf):
        command.add_argument("--check", action="store_true", help="compare with transformers, number by number")
    flags = parser.parse_args(arguments)
    require(flags.command == "from-hf" or flags.shard_size > 0, "--shard_size must be above 0")
    return flags


def main() -> int:
    flags = parse(sys.argv[1:])

    # Imported here, so that a wrong flag is answered at once.
    from common.files import new_folder
    from interop.source import find_source
    from training.converted import export_published, import_published
    from training.settings import load_settings

    if flags.check:
        from interop.parity import compare, require_parity

        require_parity()
    with new_folder(flags.target) as folder:
        if flags.command == "from-hf":
            reference = find_source(flags.source)
            settings = load_settings(Path(__file__).parent / "configs" / "base.py")
            model = import_published(reference, flags.source, folder, settings, flags.dtype, tell)
        else:
            reference = folder
            model = export_published(flags.source, folder, int(flags.shard_size * 1e9), tell)
        if flags.check:
            compare(reference, model.params, model.config, model.tokenizer, print)
    print(flags.target)
    return 0


def tell(message: object) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
