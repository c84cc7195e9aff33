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
from typing import Any

from common.command import run_command
from common.errors import check_choice, require
from generation.reports import tell
from training.measurement_flags import CHOICES, WRITING, parse


def main() -> int:
    flags = parse(sys.argv[1:], __doc__)

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
    out = folder.path / "evaluation" if flags.out is None else flags.out.expanduser()
    for path in write_predictions(measured, out):
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
