"""Measures a model on text, with 95 % intervals: loss, perplexity, bits a byte; of classes accuracy, precision, recall, F1;
of what is written for a source (a translation, a summary) BLEU, chrF and ROUGE.

    python evaluate.py --ckpt runs/base
    python evaluate.py --ckpt runs/imported --data test.txt --data "more/*.jsonl" --json
    python evaluate.py --ckpt runs/classification --data test.csv
    python evaluate.py --ckpt runs/translation --beam 4
    python evaluate.py --ckpt runs/question_answering --data test.jsonl
    python evaluate.py --ckpt runs/base --task multiple_choice --data test.jsonl --shots 3

Of examples each prediction is written too, and of classes a picture of which are taken for which. Without --data it is the
text that the run validates on, measured as the run does it.
"""

import argparse
import dataclasses
import functools
import sys
from pathlib import Path
from typing import Any

from common.command import Parser, run_command
from common.errors import check_choice, require
from generation.reports import tell

CHOICES = "multiple_choice"
# Of the rows of JSONL, CSV, Parquet and hf:.
FIELDS = {
    "text": "the text",
    "label": "the label, where a text has one",
    "tokens": "the words, where these have labels",
    "tags": "the labels of the words",
    "source": "what is read, where a text is written for it",
    "target": "the text that should be written",
    "context": "the text that answers stand in",
    "question": "the question",
    "answers": "the answers that stand in a text",
    "messages": "the dialogue, where the assistant's turns are learned",
    "prompt": "what is asked, of preferences",
    "chosen": "the better of two answers",
    "rejected": "the other answer",
    "choices": f"the choices, for --task {CHOICES}",
    "answer": "the right one: its text, its label, or its number from 0",
}
WRITING = {  # how texts are written
    "beam": "write with so many beams (default: the likeliest token each time)",
    "max_new_tokens": "write at most so many tokens (default: 64)",
}


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="evaluate.py", description=__doc__)
    parser.add_argument("--ckpt", metavar="DIR", required=True, help="a run's folder, its checkpoints, or one step")
    parser.add_argument("--task", metavar="NAME", help="what is measured (default: what the run has learned)")
    parser.add_argument(
        "--data", metavar="SOURCE", action="append", help="what is read, as train.py reads it; may be given many times"
    )
    for name, held in FIELDS.items():
        parser.add_argument(f"--{name}_field", metavar="NAME", help=f"what holds {held}")
    for name, what in WRITING.items():
        parser.add_argument(f"--{name}", metavar="N", type=int, help=what)
    parser.add_argument("--sequence_length", metavar="N", type=int, help="tokens a row (default: the run's)")
    parser.add_argument("--batch_size", metavar="N", type=int, help="rows at a time (default: the run's)")
    asked = parser.add_argument_group(f"--task {CHOICES}: questions put to a language model as it is")
    asked.add_argument("--shots", metavar="K", type=int, default=0, help="answered questions before each (default: 0)")
    asked.add_argument(
        "--shots_data", metavar="SOURCE", help="where they are drawn from (default: the first ones of --data)"
    )
    asked.add_argument("--seed", metavar="N", type=int, default=0, help="of that draw (default: 0)")
    asked.add_argument(
        "--template",
        metavar="TEXT",
        help=r"how they are put, \n for a new line (default: Question: {question}\nAnswer: {answer})",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="where predictions go (default: evaluation in the run's folder)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    flags = parser.parse_args(arguments)
    for name in ("sequence_length", "batch_size", *WRITING):
        value = getattr(flags, name)
        require(value is None or value >= 1, f"--{name} {value} must be at least 1")
    require(flags.data is None or all(map(str.strip, flags.data)), "--data is empty; name a text, or leave it out")
    require(flags.task != CHOICES or flags.data is not None, f"--task {CHOICES} needs --data; name the questions")
    asked = [name for name in ("shots", "shots_data", "seed", "template") if getattr(flags, name) not in (0, None)]
    require(flags.task == CHOICES or not asked, f"--{' and --'.join(asked)}: nothing is asked without --task {CHOICES}")
    for name, needed in (("shots_data", "shots"), ("seed", "shots_data")):
        require(name not in asked or needed in asked, f"--{name} means nothing without --{needed}")
    rows = flags.sequence_length or flags.batch_size
    require(flags.task != CHOICES or not rows, f"--sequence_length and --batch_size mean nothing with --task {CHOICES}")
    require(min(flags.shots, flags.seed) >= 0, "--shots and --seed must not be negative")
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

    if flags.task is not None:
        check_choice([*TASKS, CHOICES], flags.task, "--task")
    folder, _ = RunFolder.find(flags.ckpt)
    task = flags.task or folder.settings()["task"]
    writing = {name: getattr(flags, name) for name in WRITING if getattr(flags, name) is not None}
    writes = task in TASKS and TASKS[task].examples == "pairs"
    require(writes or not writing, f"--{next(iter(writing), '')} is for tasks that write texts, and {task!r} is none")
    given = {name: value for name, value in vars(flags).items() if name.endswith("_field") or name == "sequence_length"}
    given["valid"] = (
        flags.data[0] if flags.data and len(flags.data) == 1 else flags.data
    )  # one may be several, by commas
    given = {name: value for name, value in given.items() if value is not None}
    if flags.task == CHOICES:
        measured = measure_choices(flags, given)
    else:
        with live_bar("evaluating") as progress:
            write = functools.partial(write_targets, say=tell, tell=progress, **writing)
            measured = measure_run(flags.ckpt, flags.task, given, flags.batch_size, tell, progress, write)
    (print_json if flags.json else print_tables)(measured)
    for path in write_predictions(
        measured, folder.path / "evaluation" if flags.out is None else flags.out.expanduser()
    ):
        tell(path)
    return 0


def measure_choices(flags: argparse.Namespace, given: dict[str, Any]):
    """The Measurement of a language model that is asked to choose."""
    from generation.choices import TEMPLATE, check_template, measure
    from model.parameters import split_layers
    from training.measurement import Measurement
    from training.trained_model import load_model

    template = TEMPLATE if flags.template is None else flags.template.replace("\\n", "\n")
    check_template(template)
    model = load_model(flags.ckpt, say=tell)
    network = split_layers(model.params), model.run.model, model.tokenizer
    data = dataclasses.replace(model.run.data, **given, folds=0)
    figures = measure(*network, data, flags.shots, flags.shots_data, flags.seed, template, tell)
    return Measurement(CHOICES, model.step, data.valid, **figures)


if __name__ == "__main__":
    run_command(main)
