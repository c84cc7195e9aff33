"""Lines of UTF-8 as a stream, and what to do about files that are something else."""

import codecs
import io
import os
from collections.abc import Iterator

from common.errors import UserError
from data.files import BUFFER_SIZE, bare_name, endings, guarded, open_binary, through


def read_lines(name: str, newline: str | None = None) -> Iterator[str]:
    """A file's lines, one at a time, with "\\n" at their ends (or as they are, if `newline` is "").

    A byte that is not UTF-8 comes as a lone surrogate ("surrogateescape"); `check_utf8` tells of it.

    Raises:
        UserError: the file cannot be read, or is no text.
    """
    with open_binary(name) as file:
        yield from guarded(_decode(name, file, newline), f"{name}, line")


def _decode(name: str, file: io.BufferedIOBase, newline: str | None) -> Iterator[str]:
    head = file.peek(BUFFER_SIZE)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{name} is UTF-16, not UTF-8; {_convert(name, 'UTF-16')}")
    if b"\0" in head:
        raise UserError(f"{name} is a binary file; data must be text in UTF-8, or JSONL, CSV or Parquet")
    yield from io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=newline)


def check_utf8(name: str, number: int, text: str) -> None:
    """Raises UserError where `text`, which begins in this line of the file, has bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = number + text.count("\n", 0, error.start)
        encoding = "GB18030" if _is_gb18030(text.encode(errors="surrogateescape")) else "ENCODING"
        raise UserError(
            f"{name}, line {line}: not UTF-8 (byte 0x{ord(text[error.start]) - 0xDC00:02x}); {_convert(name, encoding)}"
        ) from None


def read_utf8(name: str | os.PathLike) -> str:
    """A file's whole text, with "\\n" at the ends of its lines.

    Raises:
        UserError: it cannot be read, or is not UTF-8; the message names the line.
    """
    text = "".join(read_lines(str(name)))
    check_utf8(str(name), 1, text)
    return text


def _is_gb18030(content: bytes) -> bool:
    try:
        return bool(content.decode("gb18030"))
    except UnicodeDecodeError:
        return False


def _convert(name: str, encoding: str) -> str:
    old, ending = bare_name(name), "".join(endings(name))
    at = len(old) - len(ending)
    command = f"iconv -f {encoding} -t UTF-8"
    return f"convert it first, for example: {through(name, command, f'{old[:at]}.utf8{old[at:]}', pack=True)}"
