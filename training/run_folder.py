"""A run's folder, which explains itself: config, tokenizer, where the data came from, checkpoints, metrics.

config.json       the settings, every key
tokenizer.model   SentencePiece; or, of published weights, spiece.model or tokenizer.json, and the files beside it
data.json         sources with their attribution, the prepared folder if they came from one, a fingerprint of the text, and
                  the names of the classes, where it learns some
reference.npz     where a task compares with the network that the run started from: what that gave each example
checkpoints/N/    parameters (of a run that averages them, the average) and the rest of the state after step N; of a LoRA
                  run, of its adapters
base/             then, the weights that these add to
metrics.jsonl     what was measured, a line each; events.* the same for TensorBoard
loss.png          the curve
wandb.id          the run's name at Weights & Biases, where it is there
"""

import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from common.configs import CONFIGS
from common.errors import ConfigError, UserError, require
from common.files import make_folder, read_json, remove_empty, write_whole
from data.tokenizer import Tokenizer
from data.tokenizer_files import FILES as TOKENIZER_FILES
from data.tokenizer_files import read_tokenizer
from training.changes import harmful_changes
from training.config import RunConfig, Settings, build_config, fill_in_defaults


def _how_made(path: Path) -> str:
    """What to do where a run's folder is missing: of one that a config of ours makes, run that."""
    for config in (f"{path.name}.py", f"finetune/{path.name}.py"):
        if path.parent.name == "runs" and (CONFIGS / config).is_file():
            return f"`python train.py --config configs/{config}` makes it; or give another run's folder"
    return "give a run's folder, such as runs/base"


class RunFolder:
    """Paths and small files of one run."""

    def __init__(self, path: str | Path):
        self.path = Path(path).expanduser().absolute()
        self.checkpoints = self.path / "checkpoints"
        self.base = self.path / "base"
        self.metrics = self.path / "metrics.jsonl"
        self.loss_plot = self.path / "loss.png"

    @classmethod
    def of_config(cls, path: str | Path) -> "RunFolder":
        """Where a run of this config is, unless told otherwise: runs/NAME; of a run's own config.json, the folder it is in."""
        path = Path(path).expanduser()
        return cls(path.parent if path.name == "config.json" else Path("runs") / path.stem)

    @classmethod
    def find(cls, path: str | Path) -> tuple["RunFolder", int | None]:
        """The run that `path` is (part of): a run's folder, its `checkpoints`, or one step, whose number comes second.

        Raises:
            UserError: it is none of these.
        """
        path = Path(path).expanduser().absolute()
        if path.parent.name == "checkpoints" and path.name.isdigit() and path.is_dir():
            folder, step = cls(path.parent.parent), int(path.name)
        else:
            folder, step = cls(path.parent if path.name == "checkpoints" else path), None
        if not path.exists():
            raise UserError(f"there is no {path}; {_how_made(path)}")
        if not (folder.path / "config.json").is_file():
            folds = sorted(each.parent.name for each in folder.path.glob("fold-*/config.json"))
            held = f"; it holds {', '.join(folds)}: name one of them" if folds else ""
            raise UserError(f"{path} is not a run's folder (it has no config.json){held}")
        settings = folder._read_json("config.json")
        if "model_type" in settings:
            raise UserError(
                f"{path} holds published weights, and is not a run's folder; run `python convert.py from-hf {path} "
                f"runs/{folder.path.name}` first"
            )
        if "task" not in settings:
            raise UserError(f"{path}: its config.json is not that of a run; {_how_made(folder.path)}")
        return folder, step

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Creates the folder and holds it: a second run in it is refused. Ends with the process, however that ends.

        Where nothing was written to a folder that was not there before, it is not there afterwards.
        On a file system that has no locks a warning is printed instead.

        Raises:
            UserError: the folder is in use, is a file, or cannot be written.
        """
        if jax.process_index() != 0:  # the first process writes and holds it for all
            yield
            return
        if self.path.is_dir() and self.settings() is None:
            others = {file.name for file in self.path.iterdir() if not file.name.startswith(".")}
            others -= {*TOKENIZER_FILES, "data.json"}  # these, and no checkpoint, has a run that was killed as it began
            if self.checkpoints.is_dir() and not any(self.checkpoints.iterdir()):
                others -= {self.checkpoints.name}
            require(
                not others,
                f"--workdir: {self.path} is not a run's folder and holds other files, such as {min(others, default='')}; "
                "give a new or an empty one",
            )
        try:
            made = make_folder(self.path)
            file = open(self.path / ".lock", "a+")  # noqa: SIM115 (held until the end of the run)
        except OSError as error:
            raise UserError(
                f"--workdir: cannot write in {self.path} ({error.strerror}); give another --workdir=DIR"
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise UserError(
                    f"another run (process {file.read().strip() or 'unknown'}) is using {self.path}; "
                    "wait for it, or give another --workdir=DIR"
                ) from error
            except OSError as error:  # as on Google Drive, some NFS and some Lustre
                print(
                    f"warning: {self.path} cannot be locked ({error.strerror}); see to it that no other run is using it",
                    file=sys.stderr,
                )
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            try:
                yield
            finally:
                remove_empty([self.checkpoints])
                if made and self.path.is_dir() and [each.name for each in self.path.iterdir()] == [".lock"]:
                    (self.path / ".lock").unlink()
                    remove_empty(made)

    def settings(self) -> Settings | None:
        """The run's settings, those that came later at their defaults, or None where no run was begun.

        Raises:
            UserError: config.json is damaged.
        """
        stored = self._read_json("config.json")
        return None if stored is None else fill_in_defaults(stored)

    def data(self) -> dict[str, Any] | None:
        """What data.json says, or None where no run was begun."""
        return self._read_json("data.json")

    def is_untrained(self) -> bool:
        """Whether these are converted weights that no run has gone on from yet."""
        data = self.data() or {}
        return "converted_from" in data and "fingerprint" not in data

    def tokenizer(self) -> Tokenizer:
        """The run's tokenizer.

        Raises:
            UserError: it is missing or damaged.
        """
        tokenizer = read_tokenizer(self.path)
        if tokenizer is None:
            raise UserError(f"{self.path} has no tokenizer (tokenizer.model or tokenizer.json); bring back a copy")
        return tokenizer

    def config(self, tokenizer: Tokenizer | None) -> RunConfig:
        """The run's config, complete."""
        vocab_size = None if tokenizer is None else tokenizer.vocab_size
        return build_config(self.settings(), vocab_size, len(self.classes()) or None)

    def classes(self) -> tuple[str, ...]:
        """The names of the labels that the run tells apart, by their numbers; none where its task has no labels."""
        return tuple((self.data() or {}).get("classes", ()))

    def refuse_changes(self, settings: Settings) -> None:
        """Raises ConfigError if `settings` would make another run of the one that was begun here."""
        begun = self.settings()
        changes = [] if begun is None else harmful_changes(begun, settings)
        if self.is_untrained():  # converted weights: all but the network is still to be settled
            changes = [change for change in changes if change.startswith("model.")]
        if changes:
            raise ConfigError(
                f"{self.path} was begun with other settings ({'; '.join(changes)}); "
                "set them back to resume, or give another --workdir=DIR"
            )

    def begin(self, settings: Settings, tokenizer: Tokenizer | None, data: dict[str, Any]) -> None:
        """Writes what makes the folder complete.

        What marks a run as begun comes last: config.json; where converted weights have one already, the text in data.json.

        Raises:
            UserError: the text is not the one that the run was begun with, or the folder cannot be written.
        """
        begun, is_untrained = self.data(), self.is_untrained()
        is_new = self.settings() is None or begun is None or is_untrained
        if not is_new and begun.get("fingerprint") != data["fingerprint"]:
            raise UserError(
                f"the training text (or the run's tokenizer) has changed since {self.path} was begun; "
                "bring the old one back to resume, or give another --workdir=DIR"
            )
        origin = {name: value for name, value in (begun or {}).items() if name == "converted_from"}
        if jax.process_index() == 0:
            for name, content in ({} if tokenizer is None else tokenizer.files).items():
                self._write(name, content)
            written = {"data.json": origin | data, "config.json": settings}
            for name in reversed(written) if is_untrained else written:
                self._write(name, json.dumps(written[name], indent=2, ensure_ascii=False) + "\n")

    def _write(self, name: str, content: bytes | str) -> None:
        """Writes a file unless it holds `content` already."""
        path = self.path / name
        content = content.encode() if isinstance(content, str) else content
        try:
            if not path.is_file() or path.read_bytes() != content:
                write_whole(path, content)
        except OSError as error:
            raise UserError(f"cannot write {path} ({error.strerror}); give another --workdir=DIR") from error

    def _read_json(self, name: str) -> dict[str, Any] | None:
        path = self.path / name
        return read_json(path, "bring back a copy, or give another folder") if path.exists() else None
