"""The flags of `evaluate.py`: what is measured, on what, and how texts are written."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from common.command import Parser
from common.errors import require

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


def parse(arguments: Sequence[str], description: str) -> argparse.Namespace:
    """The flags; None where not given.

    Raises:
        ConfigError: a flag is not known, has a wrong value, or means nothing beside the others.
    """
    parser = Parser(prog="evaluate.py", description=description)
    parser.add_argument(
        "--ckpt",
        metavar="DIR",
        required=True,
        help="a run's folder, whose newest step is taken, or one step of its checkpoints/",
    )
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
