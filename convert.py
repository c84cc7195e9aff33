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

from common.command import Parser, run_command


def place(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; give a folder")
    return text


def gigabytes(text: str) -> float:
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no size; give a number of GB above 0, such as 4")
    return size


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="convert.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="from-hf | to-hf")
    from_hf = commands.add_parser("from-hf", help="published weights to a run's folder")
    from_hf.add_argument(
        "source", metavar="SRC", type=place, help="a folder of published weights, or a Hub name as org/name"
    )
    from_hf.add_argument("target", metavar="DIR", type=place, help="the run's folder to make")
    from_hf.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32", help="of the parameters (default: float32)"
    )
    to_hf = commands.add_parser("to-hf", help="a run's folder to published weights")
    to_hf.add_argument("source", metavar="DIR", type=place, help="a run's folder, its checkpoints/, or one step")
    to_hf.add_argument("target", metavar="DST", type=place, help="the folder to make")
    to_hf.add_argument(
        "--shard_size", type=gigabytes, default=4.0, metavar="GB", help="of a file, at most (default: 4)"
    )
    for command in (from_hf, to_hf):
        command.add_argument("--check", action="store_true", help="compare with transformers, number by number")
    return parser.parse_args(arguments)


def main() -> int:
    flags = parse(sys.argv[1:])

    # Imported here, so that a wrong flag is answered at once.
    from common.configs import CONFIGS
    from common.files import new_folder
    from interop.source import find_source
    from training.converted import export_published, import_published
    from training.settings import load_settings

    if flags.check:
        from interop.parity import compare, require_parity

        require_parity()
    with new_folder(Path(flags.target)) as folder:
        if flags.command == "from-hf":
            reference = find_source(flags.source)
            settings = load_settings(CONFIGS / "base.py")
            model = import_published(reference, flags.source, folder, settings, flags.dtype, tell)
        else:
            reference = folder
            model = export_published(flags.source, folder, int(flags.shard_size * 1e9), tell)
        if flags.check:
            compare(reference, model.params, model.run.model, model.tokenizer, print)
    print(flags.target)
    return 0


def tell(message: object) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
