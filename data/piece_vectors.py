"""An embedding table for a tokenizer's pieces from the vectors of words."""

import dataclasses
import itertools
from collections.abc import Iterable

import numpy as np

from common.errors import UserError
from data.hf_tokenizer import HfTokenizer
from data.tokenizer import Tokenizer
from data.word_vectors import Entry

BATCH = 4096  # words that are tokenized together


@dataclasses.dataclass(frozen=True)
class PieceVectors:
    """A vector for each of a tokenizer's pieces.

    Attributes:
        table: float32 [rows, D].
        words: how many pieces are words that have a vector.
        parts: how many are parts of such words.
        pieces: how many there are; the others are random, and so are rows above them.
    """

    table: np.ndarray
    words: int
    parts: int
    pieces: int

    def __str__(self) -> str:
        random = self.pieces - self.words - self.parts
        known = f"{self.words:,} of {self.pieces:,} pieces are words with a vector"
        return f"{known}, {self.parts:,} parts of some, {random:,} random"


def piece_vectors(entries: Iterable[Entry], tokenizer: Tokenizer | HfTokenizer, rows: int, seed: int) -> PieceVectors:
    """Vectors for the pieces of a tokenizer, as an embedding table of `rows` rows.

    A piece that is a word has its vector, or that of the word in lower case; any other piece the mean of the vectors of the
    words that it is a part of when they are tokenized; and one that is in none is drawn from a normal distribution with the
    variance of the others. Entries are read once, and not kept.

    Raises:
        UserError: no word has any of the pieces.
    """
    surfaces = [
        tokenizer.decode([token]).strip() if tokenizer.is_text[token] else "" for token in range(tokenizer.vocab_size)
    ]
    exact: dict[str, list[int]] = {}
    folded: dict[str, list[int]] = {}
    for token, surface in enumerate(surfaces):
        if surface:
            exact.setdefault(surface, []).append(token)
        if surface.lower() != surface:
            folded.setdefault(surface.lower(), []).append(token)
    quality = np.zeros(rows, np.int8)  # 3: the word itself, 2: in lower case, 1: part of words
    table = counts = None
    entries = iter(entries)
    while batch := list(itertools.islice(entries, BATCH)):
        words, vectors = [word for word, _ in batch], np.stack([vector for _, vector in batch])
        if table is None:
            table, counts = np.zeros((rows, vectors.shape[1]), np.float32), np.zeros(rows, np.int64)
        encoded = zip(tokenizer.encode_all(words), tokenizer.encode_all([f" {word}" for word in words]), strict=True)
        for word, vector, pieces in zip(words, vectors, encoded, strict=True):
            for level, tokens in ((3, exact.get(word, ())), (2, folded.get(word, ()))):
                for token in tokens:
                    if quality[token] < level:
                        table[token], quality[token] = vector, level
            parts = [token for token in {*pieces[0], *pieces[1]} if quality[token] < 2 and tokenizer.is_text[token]]
            table[parts] += vector
            counts[parts] += 1
            quality[parts] = 1
    if table is None or not quality.any():
        raise UserError("none of the words that have a vector is in the tokenizer's vocabulary")
    parts = quality == 1
    table[parts] /= counts[parts, None]
    none = quality == 0
    table[none] = np.random.default_rng(seed).normal(0, table[~none].std(), (none.sum(), table.shape[1]))
    return PieceVectors(table, int((quality > 1).sum()), int(parts.sum()), tokenizer.vocab_size)
