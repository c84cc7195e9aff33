"""Where text comes from: `builtin:NAME`, a file, a glob or a folder; plain text or JSONL."""

import codecs
import glob
import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from common.errors import ConfigError, UserError, nearest
from data.builtin import BUILTIN, read_builtin
from data.document import Document, check_characters

TEXT_ENDINGS = (".txt", ".md", ".jsonl")
BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")


def split_sources(sources: str | Sequence[str]) -> tuple[str, ...]:
    """A tuple of sources from a tuple, or from a string with commas (or the name of a file that has them)."""
    if isinstance(sources, str):
        sources = [sources] if os.path.exists(os.path.expanduser(sources)) else sources.split(",")
    return tuple(source.strip() for source in sources if source.strip())


def read_documents(sources: Sequence[str]) -> Iterator[Document]:
    """The documents of every source, in order.

    Raises:
        ConfigError: a source that names nothing.
        UserError: a file that holds no readable text; the message names the file and the line.
    """
    for source in sources:
        if source.startswith("builtin:"):
            yield from read_builtin(source)
        else:
            empty = True
            for path in find_files(source):
                for text in READERS.get(path.suffix.lower(), _read_text)(path):
                    empty = False
                    yield Document(text, source)
            if empty:
                raise UserError(f"{source} holds no text, only white space; give a source that has some")


def find_files(source: str) -> list[Path]:
    """The files that a path, a folder (its .txt, .md and .jsonl files) or a glob names, sorted.

    Raises:
        ConfigError: there is none.
        UserError: the folder, or one in it, cannot be read.
    """
    path = os.path.expanduser(source)
    if os.path.isfile(path):
        return [Path(path)]
    if os.path.isdir(path):
        files = _files_below(path)
        if not files:
            raise ConfigError(f"the folder {source} has no {', '.join(TEXT_ENDINGS)} file in it")
        return files
    files = [Path(name) for name in sorted(glob.glob(path, recursive=True)) if os.path.isfile(name)]
    if not files:
        raise ConfigError(
            f"no data at {source!r}{nearest(source, BUILTIN)}: give a file, a folder or a glob that exists, "
            f"or one of {', '.join(BUILTIN)}"
        )
    return files


def _files_below(folder: str) -> list[Path]:
    def refuse(error: OSError):
        raise UserError(f"cannot read the folder {error.filename}: {error.strerror}") from error

    found = (Path(parent, name) for parent, _, names in os.walk(folder, onerror=refuse) for name in names)
    return sorted(path for path in found if path.suffix.lower() in TEXT_ENDINGS and os.path.isfile(path))


def read_utf8(path: Path) -> str:
    """A file's text, with "\\n" at the ends of its lines.

    Raises:
        UserError: it cannot be read, or is not UTF-8; the message names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{path} is UTF-16, not UTF-8; {_convert(path, 'UTF-16')}")
    if b"\0" in content[:65536]:
        raise UserError(f"{path} is a binary file; data must be text in UTF-8, or JSONL")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x}); "
            + _convert(path, "GB18030" if _is_gb18030(content) else "ENCODING")
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_gb18030(content: bytes) -> bool:
    try:
        return bool(content.decode("gb18030"))
    except UnicodeDecodeError:
        return False


def _convert(path: Path, encoding: str) -> str:
    old, new = (shlex.quote(str(name)) for name in (path, path.with_suffix(f".utf8{path.suffix}")))
    return f"convert it first, for example: iconv -f {encoding} -t UTF-8 {old} > {new}"


def _read_text(path: Path) -> Iterator[str]:
    """The file's documents: what stands between blank lines, or the whole file where there is none."""
    for text in BLANK_LINES.split(read_utf8(path).strip("\n")):
        if text.strip():
            yield text


def read_jsonl(path: Path, field: str = "text") -> Iterator[str]:
    """The texts in a field of the objects on each line, those that hold more than white space.

    Raises:
        UserError: a line is none; the message names it.
    """
    for number, line in enumerate(read_utf8(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)[field]
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {number}: not JSON ({getattr(error, 'msg', error)})") from error
        except (KeyError, TypeError):
            raise UserError(
                f'{path}, line {number}: no "{field}" field; each line must be {{"{field}": "…"}}'
            ) from None
        if not isinstance(text, str):
            raise UserError(f'{path}, line {number}: "{field}" is {type(text).__name__}, not a string')
        try:
            check_characters(text)
        except UserError as error:
            raise UserError(f"{path}, line {number}: {error}") from error
        if text.strip():
            yield text


def _refuse_json(path: Path) -> NoReturn:
    old, new = (shlex.quote(str(name)) for name in (path, path.with_suffix(".jsonl")))
    raise UserError(
        f'{path}: .json is not read, only JSONL, which has {{"text": "…"}} on each line and ends in .jsonl; '
        f"a list of such objects is converted by: jq -c '.[]' {old} > {new}"
    )


READERS = {".jsonl": read_jsonl, ".json": _refuse_json}  # anything else: _read_text
