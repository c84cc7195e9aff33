"""Runs that several tests of a file look at, and what is read of them."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from training.loop import Trainer
from training.measurement import Measurement, measure_run
from training.metrics_writer import read_metrics


def left(folder: Path, make: Callable[[], Trainer]) -> Path:
    """The folder of a run, which the first test that needs it trains and leaves there."""
    if not folder.exists():
        trainer = make()
        assert trainer.train() == 0
        shutil.copytree(trainer.folder.path, folder)
    return folder


def valid_lines(folder: Path) -> list[dict]:
    """What each validation of a run has reported."""
    return [line for line in read_metrics(folder / "metrics.jsonl") if line["split"] == "valid"]


def labelled(call, run: Path, texts: Sequence[str], *flags: object) -> list[dict]:
    """What sample.py --json says of texts that a file holds; `call`: the fixture. It may be told only that some are cut."""
    path = run.parent / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    status, output, error = call("--ckpt", run, "--prompts_file", path, "--json", *flags)
    assert status == 0 and all(line.endswith("as in training") for line in error.splitlines()), error
    return [json.loads(line) for line in output.splitlines()]


def measure(run: Path, task=None, *, batch_size=None, said=None, write=None, **data) -> Measurement:
    """`measure_run` with changes to the `data` settings; nothing may be said unless there is a list for it."""
    say = pytest.fail if said is None else said.append
    return measure_run(str(run), task, data, batch_size, say, lambda *_: None, write)
