"""Measures a model on text, with 95 % intervals: loss, perplexity, bits a byte; of classes accuracy, precision, recall, F1;
of what is written for a source (a translation, a summary) BLEU, chrF and ROUGE.

    python evaluate.py --ckpt runs/base
    python evaluate.py --ckpt runs/imported --data test.txt --data "more/*.jsonl" --json
    python evaluate.py --ckpt runs/classification --data test.csv
    python evaluate.py --ckpt runs/translation --beam 4

Of examples each prediction is written too, and of classes a picture of which are taken for which. Without --data it is the
text that the run validates on, measured as the run does it.
"""

import argparse
import functools
import sys
from pathlib import Path

from common.command import Parser, run_command
from common.errors import require

FIELDS = ("text_field", "label_field", "source_field", "target_field")
WRITING = ("beam", "max_new_tokens")  # flags that say how texts are written


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="evaluate.py", description=__doc__)
    parser.add_argument("--ckpt", metavar="DIR", required=True, help="a run's folder, its checkpoints, or one step")
    parser.add_argument("--task", metavar="NAME", help="what is measured (default: what the run has learned)")
    parser.add_argument(
        "--data", metavar="SOURCE", action="append", help="what is read, as train.py reads it; may be given many times"
    )
    parser.add_argument("--text_field", metavar="NAME", help="what holds the text in JSONL, CSV and Parquet")
    parser.add_argument("--label_field", metavar="NAME", help="what holds the label, where there are classes")
    parser.add_argument(
        "--source_field", metavar="NAME", help="what holds what is read, where a text is written for it"
    )
    parser.add_argument("--target_field", metavar="NAME", help="and what should be written")
    parser.add_argument(
        "--beam", metavar="K", type=int, help="write with K beams (default: the likeliest token each time)"
    )
    parser.add_argument("--max_new_tokens", metavar="N", type=int, help="write at most so many tokens (default: 64)")
    parser.add_argument("--sequence_length", metavar="N", type=int, help="tokens a row (default: the run's)")
    parser.add_argument("--batch_size", metavar="N", type=int, help="rows at a time (default: the run's)")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="where predictions go (default: evaluation in the run's folder)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    flags = parser.parse_args(arguments)
    for name in ("sequence_length", "batch_size", *WRITING):
        value = getattr(flags, name)
        require(value is None or value >= 1, f"--{name} {value} must be at least 1")
    require(flags.data is None or all(map(str.strip, flags.data)), "--data is empty; name a text, or leave it out")
    return flags


def main() -> int:
    flags = parse(sys.argv[1:])

    # Imported here, so that a wrong flag is answered at once.
    from generation.targets import write_targets
    from tasks import TASKS
    from training.display import live_bar
    from training.measurement import measure_run
    from training.measurement_report import print_json, print_tables, write_predictions
    from training.run_folder import RunFolder

    folder, _ = RunFolder.find(flags.ckpt)
    task = flags.task or folder.settings()["task"]
    writing = {name: getattr(flags, name) for name in WRITING if getattr(flags, name) is not None}
    writes = task in TASKS and TASKS[task].examples == "pairs"
    require(writes or not writing, f"--{next(iter(writing), '')} is for tasks that write texts, and {task!r} is none")
    given = {name: getattr(flags, name) for name in (*FIELDS, "sequence_length")}
    given["valid"] = (
        flags.data[0] if flags.data and len(flags.data) == 1 else flags.data
    )  # one may be several, by commas
    given = {name: value for name, value in given.items() if value is not None}
    with live_bar("evaluating") as progress:
        write = functools.partial(write_targets, say=tell, tell=progress, **writing)
        measured = measure_run(flags.ckpt, flags.task, given, flags.batch_size, tell, progress, write)
    (print_json if flags.json else print_tables)(measured)
    for path in write_predictions(
        measured, folder.path / "evaluation" if flags.out is None else flags.out.expanduser()
    ):
        tell(path)
    return 0


def tell(message: object) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
