"""What a task with a reference compares with: the network that the run starts from, asked once about every example."""

import dataclasses
import io
import zlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import jax
import numpy as np
from jax.sharding import Mesh

from common.command import Say
from common.errors import UserError
from common.files import digest, write_whole
from data.corpus import Corpus
from data.encoded import EncodedText
from data.tokenizer import Tokenizer
from training.checkpoints import Checkpoints
from training.config import RunConfig
from training.evaluation import make_evaluator
from training.init_from import read_init
from training.run_folder import RunFolder

Texts = Mapping[str, EncodedText]


def ask_reference(
    config: RunConfig, texts: Texts, tokenizer: Tokenizer, mesh: Mesh, rows: int
) -> dict[str, EncodedText]:
    """The texts, labelled with the log-probabilities that the network of `init_from` gives the answers of each pair.

    Args:
        rows: so many at a time.

    Raises:
        UserError: that network cannot be read.
    """
    params = read_init(config.init_from, config.model, config.mesh, lambda line: None)
    measured = make_evaluator(config, texts, tokenizer, mesh, rows).measure(params)
    labels = {
        source: np.stack([each.answers["chosen"], each.answers["rejected"]], -1) for source, each in measured.items()
    }
    return {source: dataclasses.replace(text, labels=labels[source]) for source, text in texts.items()}


def add_reference(config: RunConfig, corpus: Corpus, folder: RunFolder, mesh: Mesh, rows: int, say: Say) -> Corpus:
    """The corpus with these labels: as the run's folder keeps them, so that what it started from may be gone; else asked now.

    So they are asked, too, where the run has no checkpoint yet: it will start from what is in `init_from` now.

    Raises:
        UserError: they are not there, and the network of `init_from` cannot be read; they cannot be written.
    """
    sides, path = {"train": corpus.train, "valid": corpus.valid}, folder.path / "reference.npz"
    key = digest(corpus.fingerprint, config.init_from)
    has_begun = bool(Checkpoints(folder.checkpoints, read_only=True).steps())
    kept = _read(path, key) if has_begun else None
    if kept is None:
        count = sum(len(text.starts) for texts in sides.values() for text in texts.values())
        say(f"reference: asking {config.init_from} about {count:,} pairs")
        sides = {side: ask_reference(config, texts, corpus.tokenizer, mesh, rows) for side, texts in sides.items()}
        if jax.process_index() == 0:
            _write(
                path,
                key,
                {f"{side}/{source}": text.labels for side, texts in sides.items() for source, text in texts.items()},
            )
    else:
        sides = {
            side: {source: dataclasses.replace(text, labels=kept[f"{side}/{source}"]) for source, text in texts.items()}
            for side, texts in sides.items()
        }
    return dataclasses.replace(corpus, **sides)


def _read(path: Path, key: str) -> dict[str, np.ndarray] | None:
    """What was written under this key; None where there is nothing, or under another one."""
    if not path.is_file():
        return None
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays if name != "key"} if str(arrays["key"]) == key else None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}); remove it, and the reference is asked again") from error


def _write(path: Path, key: str, arrays: Mapping[str, np.ndarray]) -> None:
    content = io.BytesIO()
    np.savez(content, **{"key": np.array(key)}, **arrays)
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}); give another --workdir=DIR") from error
