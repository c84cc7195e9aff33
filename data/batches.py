"""Packed rows, and batches of them as a function of the step alone."""

import bisect
import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from data.corpus import EncodedText

Batch = dict[str, np.ndarray]
Row = dict[str, np.ndarray]
# A packed row, arrays [T] by name (see PackedRows.row), and randomness of its own -> the row as the network is fed. All rows
# come out with the same names, shapes and dtypes.
PrepareRow = Callable[[Row, np.random.Generator], Row]


@dataclasses.dataclass(frozen=True)
class PackedRows:
    """Documents laid into rows of one length, whole where they fit.

    A document longer than a row is cut into rows. The pieces are then packed best-fit decreasing: each, from the
    longest on, goes into the row whose free space it fills best.

    Attributes:
        rows: for each row, its pieces (start, length) in `text.tokens`.
    """

    text: EncodedText
    sequence_length: int
    rows: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def pack(cls, text: EncodedText, sequence_length: int) -> "PackedRows":
        pieces = [
            (int(start) + cut, min(sequence_length, int(length) - cut))
            for start, length in zip(text.starts, text.lengths, strict=True)
            for cut in range(0, int(length), sequence_length)
        ]
        pieces.sort(key=lambda piece: (-piece[1], piece[0]))
        rows: list[list[tuple[int, int]]] = []
        rows_with_free: dict[int, list[int]] = {}
        free_sizes: list[int] = []  # the keys of rows_with_free, sorted
        for piece in pieces:
            at = bisect.bisect_left(free_sizes, piece[1])
            if at < len(free_sizes):
                free = free_sizes[at]
                row = rows_with_free[free].pop()
                if not rows_with_free[free]:
                    del rows_with_free[free], free_sizes[at]
            else:
                free, row = sequence_length, len(rows)
                rows.append([])
            rows[row].append(piece)
            left = free - piece[1]
            if left:
                if left not in rows_with_free:
                    rows_with_free[left] = []
                    bisect.insort(free_sizes, left)
                rows_with_free[left].append(row)
        return cls(text, sequence_length, tuple(map(tuple, rows)))

    @property
    def efficiency(self) -> float:
        """The share of the rows' places that hold a token, in (0, 1]."""
        return self.text.num_tokens / (len(self.rows) * self.sequence_length)

    def row(self, index: int) -> Row:
        """The row at `index` (-1: a row of padding), as arrays [T].

        `inputs`, `targets` (int32 token ids, one apart), `positions` (int32, from 0 in each document), `segment_ids`
        (int32, a number for each document of a row, 0 for padding) and `weights` (float32, 0 for padding).
        """
        pieces = self.rows[index] if index >= 0 else ()
        tokens = self.text.tokens
        row = lay_out([tokens[start : start + length] for start, length in pieces], self.sequence_length)
        targets = lay_out([tokens[start + 1 : start + 1 + length] for start, length in pieces], self.sequence_length)
        weights = (row["segment_ids"] > 0).astype(np.float32)
        return {"inputs": row.pop("tokens"), "targets": targets["tokens"], **row, "weights": weights}


def lay_out(texts: Sequence[np.ndarray], width: int) -> Row:
    """Texts one after the other in a row: `tokens`, `positions` (from 0 in each), `segment_ids` (from 1), int32 [width]."""
    row = {name: np.zeros(width, np.int32) for name in ("tokens", "positions", "segment_ids")}
    at = 0
    for segment, text in enumerate(texts, 1):
        place = slice(at, at + len(text))
        row["tokens"][place], row["positions"][place], row["segment_ids"][place] = text, np.arange(len(text)), segment
        at += len(text)
    return row


def make_batch(packed: PackedRows, indices: np.ndarray, prepare: PrepareRow, keys: Sequence[Sequence[int]]) -> Batch:
    """The rows at `indices`, [B], prepared, each with the randomness that its key seeds: arrays [B, ...]."""
    rows = [prepare(packed.row(index), np.random.default_rng(key)) for index, key in zip(indices, keys, strict=True)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


@dataclasses.dataclass(frozen=True)
class TrainBatches:
    """Endless shuffled batches: what step n sees is a function of (seed, n), so resuming needs only the step."""

    packed: PackedRows
    batch_size: int
    seed: int
    prepare: PrepareRow

    def indices(self, step: int) -> np.ndarray:
        """The rows of the batch of `step` (from 0): each epoch is a new permutation of all rows, [batch_size]."""
        at = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(at, len(self.packed.rows))
        return np.concatenate(
            [
                _permutation(self.seed, int(epoch), len(self.packed.rows))[places[epochs == epoch]]
                for epoch in np.unique(epochs)
            ]
        )

    def __call__(self, step: int, rows: slice = slice(None)) -> Batch:
        """The batch of `step`, or the `rows` of it that this process needs."""
        keys = [(self.seed, step, row) for row in range(self.batch_size)]
        return make_batch(self.packed, self.indices(step)[rows], self.prepare, keys[rows])


@functools.lru_cache(maxsize=2)  # a batch may have rows of two epochs
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(size)


@dataclasses.dataclass(frozen=True)
class ValidBatches:
    """Every row once, prepared in the same way each time; the last batch is filled up with padding."""

    packed: PackedRows
    batch_size: int
    prepare: PrepareRow

    def __len__(self) -> int:
        return -(-len(self.packed.rows) // self.batch_size)

    def __call__(self, number: int, rows: slice = slice(None)) -> Batch:
        """The batch of this number, or the `rows` of it that this process needs."""
        at = np.arange(number * self.batch_size, (number + 1) * self.batch_size)[rows]
        indices = np.where(at < len(self.packed.rows), at, -1)
        return make_batch(self.packed, indices, self.prepare, [(index,) for index in at])
