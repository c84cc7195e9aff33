"""Word vectors in files: Word2Vec's text and binary formats, and GloVe's, which is its text without a header.

`N D` on the first line (not in GloVe's), then N words, each with D numbers: on a line of text, or as D little-endian float32
after the word and a space. Files that end in .gz are unpacked as they are read.
"""

import codecs
import dataclasses
import functools
import gzip
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from common.errors import UserError, nearest
from common.files import write_whole
from data.files import reason

Entry = tuple[str, np.ndarray]  # a word, and its vector, float32 [D]
CHUNK = 1 << 20
LONGEST_WORD = 1 << 12  # bytes


@dataclasses.dataclass(frozen=True)
class WordVectors:
    """Words, the most frequent first as a rule, and their vectors, float32 [words, D]."""

    words: tuple[str, ...]
    vectors: np.ndarray

    @functools.cached_property
    def places(self) -> dict[str, int]:
        """Which row a word has."""
        return {word: place for place, word in enumerate(self.words)}

    def nearest(self, word: str, count: int = 10) -> list[tuple[str, float]]:
        """The words with the most similar vectors, by the cosine, which is given with each.

        Raises:
            UserError: there is no such word.
        """
        if word not in self.places:
            raise UserError(f"there is no vector for {word!r}{nearest(word, self.words)}")
        place = self.places[word]
        cosines = self._directions @ self._directions[place]
        cosines[place] = -math.inf
        best = np.argsort(-cosines, kind="stable")[: min(count, len(self.words) - 1)]
        return [(self.words[at], float(cosines[at])) for at in best]

    @functools.cached_property
    def _directions(self) -> np.ndarray:
        lengths = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        return self.vectors / np.maximum(lengths, np.finfo(np.float32).tiny)


def read_word_vectors(path: str | Path) -> WordVectors:
    """A whole file; of a word that is there twice, the first vector counts.

    Raises:
        UserError: as `stream_word_vectors` does.
    """
    vectors: dict[str, np.ndarray] = {}
    for word, vector in stream_word_vectors(path):
        vectors.setdefault(word, vector)
    return WordVectors(tuple(vectors), np.stack(list(vectors.values())))


def stream_word_vectors(path: str | Path) -> Iterator[Entry]:
    """The entries of a file of word vectors one after the other, so that it may be larger than memory.

    Raises:
        UserError: it cannot be read, or is damaged; the message names the line, or in a binary file the word.
    """
    path = Path(path).expanduser()
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            first = file.readline(CHUNK).removeprefix(codecs.BOM_UTF8)
            header = _read_header(first)
            if header is not None and 0 in header:
                raise UserError(
                    f"{path}, line 1: {header[0]} words of {header[1]} numbers; a file of vectors has some of each"
                )
            if header is None:
                yield from _read_text(file, path, first, None, None)
            elif _is_text(file, header[1]):
                yield from _read_text(file, path, b"", *header)
            else:
                yield from _read_binary(file, path, *header)
    except (OSError, EOFError, zlib.error) as error:  # the last two: a .gz that was cut off, or damaged
        raise UserError(f"cannot read {path}: {reason(error)}") from error


def write_word_vectors(path: str | Path, vectors: WordVectors) -> None:
    """Word2Vec's text format; a number is written with as many digits as give it back exactly.

    Raises:
        UserError: a word has a space in it, which the format cannot hold; or the file cannot be written.
    """
    lines = [f"{len(vectors.words)} {vectors.vectors.shape[1]}\n"]
    for word, vector in zip(vectors.words, vectors.vectors, strict=True):
        if not word or any(character.isspace() for character in word):
            raise UserError(f"{word!r} cannot be written to {path}: a word must not be empty nor have spaces in it")
        lines.append(f"{word} {' '.join(map(str, vector.astype(np.float32)))}\n")
    try:
        write_whole(Path(path).expanduser(), "".join(lines))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def _read_header(line: bytes) -> tuple[int, int] | None:
    """The number of words and the width, or None where the line is an entry."""
    fields = line.split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        return None
    return int(fields[0]), int(fields[1])


def _is_text(file: BinaryIO, width: int) -> bool:
    """Whether what comes after the header is text: where the first vector would be in binary, it is, without control codes."""
    place = file.tell()
    _, _, start = file.read(LONGEST_WORD + 4 * width).partition(b" ")
    file.seek(place)
    start = start[: 4 * width]
    return not start or (start.isascii() and not any(byte < 32 and byte not in b"\t\n\r" for byte in start))


def _read_text(file: BinaryIO, path: Path, first: bytes, count: int | None, width: int | None) -> Iterator[Entry]:
    """Entries on lines, `first` before those of the file; without a header, the first entry gives the width."""
    number = 0 if count is None else 1
    found = 0
    while line := first or file.readline():
        first = b""
        number += 1
        where = f"{path}, line {number}"
        try:
            text = line.decode().rstrip("\r\n ")
        except UnicodeDecodeError as error:
            raise UserError(f"{where}: not UTF-8 (byte 0x{line[error.start]:02x})") from error
        if not text:
            continue
        width = len(text.split(" ")) - 1 if width is None else width
        word, *fields = text.rsplit(" ", width) if width else [text]
        if not fields or len(fields) != width or not word:
            raise UserError(f"{where}: {len(text.split(' ')) - 1} numbers after the word, not {width or 'any'}")
        try:
            vector = np.array(list(map(float, fields)), np.float32)
        except ValueError as error:
            raise UserError(f"{where}: a number is expected, not {str(error).rpartition(': ')[2]}") from error
        _check(vector, where)
        found += 1
        if count is not None and found > count:
            raise UserError(f"{where}: more than the {count} words that line 1 tells of")
        yield word, vector
    if found < (1 if count is None else count):
        raise UserError(f"{path} has {found} word vectors, not the {count or 'one'} there should be; is it cut off?")


def _read_binary(file: BinaryIO, path: Path, count: int, width: int) -> Iterator[Entry]:
    """Entries in Word2Vec's binary format; there may be a line's end after each."""
    held, at = b"", 0
    for number in range(1, count + 1):
        where = f"{path}, word {number} of {count}"
        while (end := held.find(b" ", at)) < 0 or len(held) < end + 1 + 4 * width:
            more = file.read(CHUNK)
            if not more:
                raise UserError(f"{where}: the file ends here; it is cut off, or not in Word2Vec's binary format")
            held, at = held[at:] + more, 0
        word = held[at:end].lstrip(b"\n")
        try:
            name = word.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{where}: not UTF-8 (byte 0x{word[error.start]:02x})") from error
        vector = np.frombuffer(held, "<f4", width, end + 1).astype(np.float32)
        _check(vector, where)
        at = end + 1 + 4 * width
        yield name, vector
    if (held[at:] + file.read(CHUNK)).strip():
        raise UserError(f"{path} goes on after the {count} words that its first line tells of")


def _check(vector: np.ndarray, where: str) -> None:
    if not np.isfinite(vector).all():
        raise UserError(f"{where}: a number is not finite")
