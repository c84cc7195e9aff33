"""Packed rows, and batches of them as a function of the step alone."""

import bisect
import dataclasses

import numpy as np

from data.corpus import EncodedText

Batch = dict[str, np.ndarray]


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

    def batch(self, indices: np.ndarray) -> Batch:
        """The rows at `indices`, [B] (-1: a row of padding), as a batch of arrays [B, T].

        `inputs`, `targets` (int32 token ids, one apart), `positions` (int32, from 0 in each document), `segment_ids`
        (int32, a number for each document of a row, 0 for padding) and `weights` (float32, 0 for padding).
        """
        shape = (len(indices), self.sequence_length)
        batch = {name: np.zeros(shape, np.int32) for name in ("inputs", "targets", "positions", "segment_ids")}
        for row, index in enumerate(indices):
            at = 0
            for segment, (start, length) in enumerate(self.rows[index] if index >= 0 else (), 1):
                place = slice(at, at + length)
                batch["inputs"][row, place] = self.text.tokens[start : start + length]
                batch["targets"][row, place] = self.text.tokens[start + 1 : start + 1 + length]
                batch["positions"][row, place] = np.arange(length)
                batch["segment_ids"][row, place] = segment
                at += length
        return batch | {"weights": (batch["segment_ids"] > 0).astype(np.float32)}


@dataclasses.dataclass(frozen=True)
class TrainBatches:
    """Endless shuffled batches: which rows step n sees is a function of (seed, n), so resuming needs only the step."""

    packed: PackedRows
    batch_size: int
    seed: int

    def indices(self, step: int) -> np.ndarray:
        """The rows of the batch of `step` (from 0): each epoch is a new permutation of all rows, [batch_size]."""
        at = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(at, len(self.packed.rows))
        return np.concatenate([self._permutation(epoch)[places[epochs == epoch]] for epoch in np.unique(epochs)])

    def __call__(self, step: int, rows: slice = slice(None)) -> Batch:
        """The batch of `step`, or the `rows` of it that this process needs."""
        return self.packed.batch(self.indices(step)[rows])

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, int(epoch)]).permutation(len(self.packed.rows))


def valid_batches(packed: PackedRows, batch_size: int) -> list[np.ndarray]:
    """Row indices of batches that hold every row once; the last one is filled up with -1."""
    indices = np.arange(-(-len(packed.rows) // batch_size) * batch_size)
    return list(np.where(indices < len(packed.rows), indices, -1).reshape(-1, batch_size))
