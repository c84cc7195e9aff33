"""Prompts from the command line, from a file or from a stream, each with where it stands."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from common.errors import ConfigError, UserError, require
from data.lines import check_utf8, read_lines, read_utf8
from data.readers import has_fields, read_rows
from data.skipped import STOP
from generation.options import text

# What no one means as a text of its own.
NAME_OF_FILE = re.compile(r"[^\s。，！？]+\.(txt|text|md|html?|log|jsonl?|csv|tsv|parquet|pdf|docx?)", re.IGNORECASE)


class Prompt(NamedTuple):
    """A text to continue, and where it stands, for messages."""

    text: str
    where: str


class EncodedPrompt(NamedTuple):
    """A prompt that is tokens already, with what stands before every text; and what it is called."""

    text: str
    tokens: list[int]


class TooLong(ConfigError):
    """A text is longer than the context; `number`: which of those that were given, the longest."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


def read_prompts(typed: Sequence[str] | None, path: str | None) -> list[Prompt] | None:
    """The prompts of the command line, or of the file that it names; None: neither is given.

    Raises:
        UserError: as `read_prompts_file`.
    """
    if path is not None:
        return read_prompts_file(Path(path))
    return None if typed is None else [Prompt(prompt, f"--prompt {prompt[:20]!r}") for prompt in typed]


def read_text(flag: str, named: str, or_text: bool = False) -> str:
    """The text of the file that a flag names; where there is no such file and it may be the text itself, that.

    Raises:
        UserError: it cannot be read, or holds no text.
    """
    content = named if or_text and not _is_file(named) and not NAME_OF_FILE.fullmatch(named) else read_utf8(named)
    require(bool(content.strip()), f"--{flag} {named} holds no text")
    return content


def _is_file(text: str) -> bool:
    """Whether a text is the name of a file; one that is too long to be a name is none."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def read_prompts_file(path: Path) -> list[Prompt]:
    """The lines that are not blank; of .jsonl, .csv and .parquet the field `prompt` of every row, which may be empty.

    Raises:
        UserError: it cannot be read, is not UTF-8, or holds no prompt; the message names the line.
    """
    place = f"{path}, line"
    if has_fields(str(path)):
        rows, place = read_rows(str(path), ["prompt"], STOP.add)
        numbered = ((number, prompt) for number, (prompt,) in rows)
    else:
        numbered = ((number, line.rstrip("\n")) for number, line in enumerate(read_lines(str(path)), 1) if line.strip())
    prompts = []
    for number, prompt in numbered:
        where = f"{place} {number}"
        if not isinstance(prompt, str):
            raise UserError(f'{where}: "prompt" is {type(prompt).__name__}, not a string')
        check_utf8(str(path), number, prompt)
        prompts.append(Prompt(prompt, where))
    if not prompts:
        raise UserError(f'{path} holds no prompt; write one a line, or {{"prompt": "…"}} where it ends in .jsonl')
    return prompts


def read_stream(stream: TextIO) -> Iterator[Prompt]:
    """The lines that are not blank, each as soon as it is there.

    Raises:
        ConfigError: one is not UTF-8.
    """
    stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    for number, line in enumerate(stream, 1):
        prompt = line.rstrip("\r\n").removeprefix("\ufeff" if number == 1 else "")
        if prompt.strip():
            try:
                yield Prompt(text(prompt), f"line {number}")
            except ValueError as error:
                raise ConfigError(f"line {number} {error}") from error
