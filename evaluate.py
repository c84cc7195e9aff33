"""Measures a model on text, with 95 % intervals: loss, perplexity, bits a byte; of classes accuracy, precision, recall, F1.

    python evaluate.py --ckpt runs/base
    python evaluate.py --ckpt runs/imported --data test.txt --data "more/*.jsonl" --json
    python evaluate.py --ckpt runs/classification --data test.csv

Of classes each prediction is written too, and a picture of which are taken for which. Without --data it is the
text that the run validates on, measured as the run does it.
"""

import argparse
import sys
from pathlib import Path

from common.command import Parser, run_command
from common.errors import require


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="evaluate.py", description=__doc__)
    parser.add_argument("--ckpt", metavar="DIR", required=True, help="a run's folder, its checkpoints, or one step")
    parser.add_argument("--task", metavar="NAME", help="what is measured (default: what the run has learned)")
    parser.add_argument(
        "--data", metavar="SOURCE", action="append", help="what is read, as train.py reads it; may be given many times"
    )
    parser.add_argument("--text_field", metavar="NAME", help="what holds the text in JSONL, CSV and Parquet")
    parser.add_argument("--label_field", metavar="NAME", help="what holds the label, where there are classes")
    parser.add_argument("--messages_field", metavar="NAME", help="what holds the dialogue, where these are learned")
    parser.add_argument("--prompt_field", metavar="NAME", help="of preferences: what holds the prompt")
    parser.add_argument("--chosen_field", metavar="NAME", help="of preferences: what holds the better answer")
    parser.add_argument("--rejected_field", metavar="NAME", help="of preferences: what holds the other answer")
    parser.add_argument("--sequence_length", metavar="N", type=int, help="tokens a row (default: the run's)")
    parser.add_argument("--batch_size", metavar="N", type=int, help="rows at a time (default: the run's)")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="where predictions go (default: evaluation in the run's folder)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    flags = parser.parse_args(arguments)
    for name in ("sequence_length", "batch_size"):
        value = getattr(flags, name)
        require(value is None or value >= 1, f"--{name} {value} must be at least 1")
    require(flags.data is None or all(map(str.strip, flags.data)), "--data is empty; name a text, or leave it out")
    return flags


def main() -> int:
    flags = parse(sys.argv[1:])

    # Imported here, so that a wrong flag is answered at once.
    from training.display import live_bar
    from training.measurement import measure_run
    from training.measurement_report import print_json, print_tables, write_predictions
    from training.run_folder import RunFolder

    given = {name: value for name, value in vars(flags).items() if name.endswith("_field") or name == "sequence_length"}
    given["valid"] = (
        flags.data[0] if flags.data and len(flags.data) == 1 else flags.data
    )  # one may be several, by commas
    given = {name: value for name, value in given.items() if value is not None}
    with live_bar("evaluating") as progress:
        measured = measure_run(flags.ckpt, flags.task, given, flags.batch_size, tell, progress)
    (print_json if flags.json else print_tables)(measured)
    folder = RunFolder.find(flags.ckpt)[0].path / "evaluation" if flags.out is None else flags.out.expanduser()
    for path in write_predictions(measured, folder):
        tell(path)
    return 0


def tell(message: object) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
