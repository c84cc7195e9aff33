"""Where text comes from: `builtin:NAME`, `hf:NAME`, or files by a path, a folder, a glob or a URL; see data/readers.py."""

import glob
import os
from collections.abc import Iterator, Sequence

from common.errors import ConfigError, UserError, nearest
from data.builtin import BUILTIN, read_builtin
from data.document import Document
from data.files import COMPRESSIONS, files_below, find_remote, is_file_or_lost, is_url
from data.hub import PREFIX, read_hub
from data.readers import IN_FOLDERS, is_text_file, read_file
from data.skipped import Report, Skipped, stop


def split_sources(sources: str | Sequence[str]) -> tuple[str, ...]:
    """A tuple of sources from a tuple, or from a string with commas (or the name of a file that has them)."""
    if isinstance(sources, str):
        sources = [sources] if os.path.exists(os.path.expanduser(sources)) else sources.split(",")
    return tuple(source.strip() for source in sources if source.strip())


def read_documents(
    sources: Sequence[str], text_field: str = "text", skipped: Skipped | None = None
) -> Iterator[Document]:
    """The documents of every source, in order, as a stream.

    Args:
        text_field: what holds the text in JSONL, CSV, Parquet and `hf:`.
        skipped: takes what is broken, which is then left out; None: the first of it is an error.

    Raises:
        ConfigError: a source that names nothing.
        UserError: what cannot be read, with file and line; a source that holds no text.
    """
    report = stop if skipped is None else skipped.add
    for source in sources:
        count = 0
        for name in find_files(source) if is_of_files(source) else [None]:
            for document in read_from(source, name, text_field, report):
                count += 1
                yield document
        require_text(source, count, skipped)


def is_of_files(source: str) -> bool:
    return not source.startswith(("builtin:", PREFIX))


def read_from(source: str, name: str | None, field: str, report: Report) -> Iterator[Document]:
    """The documents of one file of a source; of all of it, by None, where it is not of files."""
    if source.startswith("builtin:"):
        return read_builtin(source)
    texts = read_hub(source, field, report) if name is None else read_file(name, field, report)
    return (Document(text, source) for text in texts)


def require_text(source: str, documents: int, skipped: Skipped | None) -> None:
    """Raises UserError where a source has given no document."""
    if not documents and skipped is not None and skipped.count:
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
        raise ConfigError(
            f"no data at {source!r}{nearest(source, BUILTIN)}: give a file, a folder or a glob that exists, "
            f"or one of {', '.join(BUILTIN)}"
        )
    return files
