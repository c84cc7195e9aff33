"""Where measurements go: metrics.jsonl always; TensorBoard and Weights & Biases where the config asks for them."""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from common.errors import UserError
from common.files import to_json, write_rows, write_whole


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; one that was cut off by a crash is left out."""
    records = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:  # only the last line can be cut: each is written whole, and flushed
                break
    return records


class MetricsWriter:
    """Writes measurements; after a resume at `step`, what an earlier attempt wrote beyond it is dropped first."""

    def __init__(self, path: Path, step: int, tensorboard: bool, wandb_project: str):
        """`path`: of metrics.jsonl; events go beside it. Only the first process writes.

        Raises:
            UserError: wandb is asked for and not installed.
            OSError: a file cannot be written; as `write` and `write_samples` raise it, too.
        """
        self._file = self._events = self._wandb = None
        if jax.process_index() != 0:
            return
        kept = [record for record in read_metrics(path) if record["step"] <= step]
        write_rows(path, kept)
        self._file = path.open("a", encoding="utf-8")
        if tensorboard:
            from tensorboardX import SummaryWriter

            self._events = SummaryWriter(str(path.parent), purge_step=step + 1 if step else None)
        if wandb_project:
            try:
                import wandb
            except ModuleNotFoundError as error:
                raise UserError("training.wandb_project is set; install it with: pip install wandb") from error
            id_file = path.with_name("wandb.id")  # two folders of one name are two runs
            if not id_file.exists():
                write_whole(id_file, uuid.uuid4().hex)
            self._wandb = wandb.init(
                project=wandb_project,
                name=path.parent.name,
                id=id_file.read_text(),
                dir=path.parent,
                resume="allow",
            )

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """One measurement of `split` ("train" or "valid") after `step` steps."""
        if self._file:
            self._file.write(to_json({"step": step, "split": split, **values}) + "\n")
            self._file.flush()
        if self._events:
            for name, value in values.items():
                self._events.add_scalar(f"{split}/{name}", value, step)
        if self._wandb:
            self._wandb.log({f"{split}/{name}": value for name, value in values.items()}, step=step)

    def write_samples(self, step: int, samples: Sequence[str]) -> None:
        """Generated texts, for TensorBoard's text page."""
        if self._events:
            for number, sample in enumerate(samples):
                self._events.add_text(f"sample/{number}", "    " + sample.replace("\n", "\n    "), step)
            self._events.flush()

    def close(self) -> None:
        for writer in (self._file, self._events):
            if writer:
                writer.close()
        if self._wandb:
            self._wandb.finish()
