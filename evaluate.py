"""Measures a model on text: its loss, perplexity and bits a byte, with 95 % intervals.

    python evaluate.py --ckpt runs/base
    python evaluate.py --ckpt runs/imported --data test.txt --data "more/*.jsonl" --json

Without --data it is the text that the run validates on, measured as the run does it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from typing import TYPE_CHECKING, Any

from common.command import Parser, run_command
from common.errors import require

if TYPE_CHECKING:  # it waits for JAX
    from training.measurement import Measurement


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="evaluate.py", description=__doc__)
    parser.add_argument("--ckpt", metavar="DIR", required=True, help="a run's folder, its checkpoints, or one step")
    parser.add_argument("--task", metavar="NAME", help="what is measured (default: what the run has learned)")
    parser.add_argument(
        "--data", metavar="SOURCE", action="append", help="what is read, as train.py reads it; may be given many times"
    )
    parser.add_argument("--text_field", metavar="NAME", help="what holds the text in JSONL, CSV and Parquet")
    parser.add_argument("--sequence_length", metavar="N", type=int, help="tokens a row (default: the run's)")
    parser.add_argument("--batch_size", metavar="N", type=int, help="rows at a time (default: the run's)")
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

    given = {"text_field": flags.text_field, "sequence_length": flags.sequence_length, "valid": flags.data}
    given = {name: value for name, value in given.items() if value is not None}
    with live_bar("evaluating") as progress:
        measured = measure_run(flags.ckpt, flags.task, given, flags.batch_size, tell, progress)
    if flags.json:
        print_json(dataclasses.asdict(measured))
    else:
        print_table(measured)
    return 0


def print_json(fields: dict[str, Any]) -> None:
    """One object; JSON has no infinity, which is null (a perplexity may be too large for a number)."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: finite(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [finite(each) for each in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    print(json.dumps(finite(fields), ensure_ascii=False, allow_nan=False))


def print_table(measured: Measurement) -> None:
    """The figures with their intervals, for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{measured.task}, step {measured.step}: {', '.join(measured.data)}", title_justify="left")
    for title, justify in (("", "left"), ("value", "right"), ("95 % interval", "right")):
        table.add_column(title, justify=justify)
    for name, value in measured.metrics.items():
        low_high = measured.intervals.get(name)
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        table.add_row(name, shown, "" if low_high is None else "{:.4f} to {:.4f}".format(*low_high))
    Console(highlight=False, markup=False, emoji=False).print(table)


def tell(message: object) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
