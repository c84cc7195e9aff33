"""What evaluate.py prints and writes of a measurement: tables, one JSON object, predictions, a picture."""

import dataclasses
from pathlib import Path

from rich.console import Console
from rich.table import Table

from common.errors import UserError
from common.files import to_json, write_rows
from training.measurement import Measurement
from training.plot import plot_confusion


def print_json(measured: Measurement) -> None:
    """One object, without the predictions."""
    fields = {field.name: getattr(measured, field.name) for field in dataclasses.fields(measured)}
    shown = {name: value for name, value in fields.items() if name != "predictions" and value != {}}
    print(to_json(shown))


def print_tables(measured: Measurement) -> None:
    """The figures with their intervals, how they were taken and, of classes, how each one fares, for people."""
    console = Console(highlight=False, markup=False, emoji=False)
    table = Table(title=f"{measured.task}, step {measured.step}: {', '.join(measured.data)}", title_justify="left")
    for title, justify in (("", "left"), ("value", "right"), ("95 % interval", "right")):
        table.add_column(title, justify=justify)
    for name, value in measured.metrics.items():
        low_high = measured.intervals.get(name)
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        table.add_row(name, shown, "" if low_high is None else "{:.4f} to {:.4f}".format(*low_high))
    console.print(table)
    for name, signature in measured.signatures.items():
        console.print(f"{name}: {signature}", soft_wrap=True)
    if measured.per_class:
        table = Table(title="by class", title_justify="left")
        table.add_column("")
        for name in next(iter(measured.per_class.values())):
            table.add_column(name, justify="right")
        for name, scores in measured.per_class.items():
            table.add_row(
                name, *(f"{score:.3f}" if isinstance(score, float) else f"{score:,}" for score in scores.values())
            )
        console.print(table)


def write_predictions(measured: Measurement, folder: Path) -> list[Path]:
    """predictions.jsonl in the folder, where there are some, and confusion.png of classes; the files that were written.

    Raises:
        UserError: the folder cannot be written.
    """
    if not measured.predictions:
        return []
    paths = [folder / "predictions.jsonl", *([folder / "confusion.png"] if measured.confusion_matrix else [])]
    try:
        write_rows(paths[0], measured.predictions)
        if measured.confusion_matrix:
            plot_confusion(measured.confusion_matrix, list(measured.per_class), paths[1])
    except OSError as error:
        raise UserError(f"cannot write in {folder} ({error.strerror or error}); give another --out") from error
    return paths
