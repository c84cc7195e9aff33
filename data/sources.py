"""Where text comes from: `builtin:NAME`, `hf:NAME`, or files by a path, a folder, a glob or a URL; see data/readers.py."""

import glob
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from common.errors import ConfigError, UserError, nearest
from data.builtin import BUILTIN, read_builtin
from data.document import Document
from data.files import COMPRESSIONS, files_below, find_remote, is_file_or_lost, is_url
from data.hub import PREFIX, read_hub_rows
from data.readers import IN_FOLDERS, Rows, check_texts, is_text_file, naming, read_rows
from data.skipped import STOP, Report, Skipped, reported

D = TypeVar("D", bound=Document)

# Names that configs/finetune/ gives, and what writes these files.
WRITTEN = {f"{name}.jsonl": f"python -m benchmarks.{name}" for name in ("questions", "docstrings")}


def split_sources(sources: str | Sequence[str]) -> tuple[str, ...]:
    """A tuple of sources from a tuple, or from a string with commas (or the name of a file that has them)."""
    if isinstance(sources, str):
        sources = [sources] if os.path.exists(os.path.expanduser(sources)) else sources.split(",")
    return tuple(source.strip() for source in sources if source.strip())


def read_documents(sources: Sequence[str], text_field: str = "text", skipped: Skipped = STOP) -> Iterator[Document]:
    """The documents of every source, in order, as a stream.

    Args:
        text_field: what holds the text in JSONL, CSV, Parquet and `hf:`.
        skipped: takes what is broken, which is then left out, if it may be.

    Raises:
        ConfigError: a source that names nothing.
        UserError: what cannot be read, with file and line; a source that holds no text.
    """
    for source in sources:
        parts = (read_from(source, name, text_field, skipped.add) for name in names_in(source))
        yield from counted(source, itertools.chain.from_iterable(parts), skipped)


def names_in(source: str) -> Sequence[str | None]:
    """The files of a source, in order; None alone where it is not of files.

    Raises:
        ConfigError, UserError: as `find_files`.
    """
    return (None,) if source.startswith(("builtin:", PREFIX)) else find_files(source)


def read_from(source: str, name: str | None, field: str, report: Report) -> Iterator[Document]:
    """The documents of one file of a source; of all of it, by None, where it is not of files."""
    if source.startswith("builtin:"):
        yield from read_builtin(source)
        return
    report = naming(report, {field: "text_field"})
    with reported(report):
        rows, place = open_rows(source, name, [field], report)
        for text in check_texts(((number, text) for number, (text,) in rows), field, place, report):
            yield Document(text, source)


def open_rows(source: str, name: str | None, fields: Sequence[str], report: Report) -> tuple[Rows, str]:
    """The numbered rows of one file of a source, of a data set by None; and what to call a row, see `read_rows`."""
    return read_rows(name, fields, report) if name is not None else (read_hub_rows(source, fields), f"{source}, row")


def counted(source: str, documents: Iterable[D], skipped: Skipped) -> Iterator[D]:
    """The documents of a source, which must have some; see `require_text`."""
    count = 0
    for document in documents:
        count += 1
        yield document
    require_text(source, count, skipped)


def require_text(source: str, documents: int, skipped: Skipped) -> None:
    """Raises UserError where a source has given no document."""
    if not documents and skipped.count:
        raise UserError(f"{source} holds no text that can be read; {skipped.summary()}")
    if not documents:
        raise UserError(f"{source} holds no text, only white space; give a source that has some")


def _refuse_unreadable(path: str) -> None:
    """Raises UserError where there may be something at a path, but its folder may not be looked into."""
    try:
        os.stat(path)
    except PermissionError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (OSError, ValueError):
        return


def find_files(source: str) -> list[str]:
    """The files that a path, a folder (those whose endings tell a format), a glob or a URL of these names, sorted.

    Raises:
        ConfigError: there is none.
        UserError: the folder, or one in it, cannot be read.
    """
    path = os.path.expanduser(source)
    if is_url(source):
        files = find_remote(source, is_text_file)
    elif os.path.isfile(path):
        files = [path]
    elif os.path.isdir(path):
        files = files_below(path, is_text_file)
        if not files:
            kinds = f"{', '.join(IN_FOLDERS)} file in it, nor one of these with {' or '.join(COMPRESSIONS)} at its end"
            raise ConfigError(f"the folder {source} has no {kinds}")
    else:
        found = sorted(glob.glob(path, recursive=True))
        files = [name for name in found if is_file_or_lost(name)]
        if found and not files:
            raise ConfigError(
                f"{source!r} matches no file, only folders, such as {found[0]}; add /**/*.txt or the like"
            )
        _refuse_unreadable(path)
    if not files:
        written = f"`{WRITTEN[source]}` writes some; or " if source in WRITTEN else ""
        raise ConfigError(
            f"no data at {source!r}{nearest(source, BUILTIN)}: {written}give a file, a folder or a glob that exists, "
            f"or one of {', '.join(BUILTIN)}"
        )
    return files
