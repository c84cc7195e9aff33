"""Which pieces of a text stand in each row: the table of packings.

A layout holds arrays of offsets, never the rows themselves; a row is laid out when it is asked for.
"""

import bisect
import dataclasses
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from data.encoded import EncodedText
from data.mapped import WINDOW, write_mapped

# The pieces of some rows, in order: where each starts in the tokens, int64 [P], its length, [P]; how many each row has, [R].
Pieces = tuple[np.ndarray, np.ndarray, np.ndarray]


class Layout(Protocol):
    """Rows by number, all with one piece at least."""

    def __len__(self) -> int:
        """How many rows there are."""

    def pieces(self, first: int, last: int) -> Pieces:
        """The pieces of the rows from `first` to `last` (not counted)."""


@dataclasses.dataclass(frozen=True)
class ListedRows:
    """Rows whose pieces are written down, 12 bytes each, and 8 for each row.

    Attributes:
        starts: of each piece, int64 [P].
        lengths: of each piece, int32 [P].
        offsets: row r has the pieces from offsets[r] to offsets[r + 1], int64 [R + 1].
    """

    starts: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def pieces(self, first: int, last: int) -> Pieces:
        offsets = self.offsets[first : last + 1]
        of_rows = slice(offsets[0], offsets[-1])
        return self.starts[of_rows], self.lengths[of_rows], np.diff(offsets)


@dataclasses.dataclass(frozen=True)
class StreamRows:
    """The line of tokens cut every `sequence_length` tokens; nothing is written down but where the documents start."""

    starts: np.ndarray
    num_tokens: int
    sequence_length: int

    def __len__(self) -> int:
        return -(-self.num_tokens // self.sequence_length)

    def pieces(self, first: int, last: int) -> Pieces:
        begin, end = first * self.sequence_length, min(last * self.sequence_length, self.num_tokens)
        documents = slice(*np.searchsorted(self.starts, np.array([begin, end], self.starts.dtype)))
        starts = np.union1d(np.arange(begin, end, self.sequence_length), self.starts[documents])
        rows = (starts - begin) // self.sequence_length
        return starts, np.diff(starts, append=end), np.bincount(rows, minlength=last - first)


def contiguous(text: EncodedText, sequence_length: int) -> StreamRows:
    """The text as a stream, as nanoGPT cuts it; only the last row may have padding."""
    return StreamRows(text.starts, text.num_tokens, sequence_length)


def pad(text: EncodedText, sequence_length: int) -> ListedRows:
    """One document a row, filled up with padding; a longer one is cut into as many rows as it takes."""
    return _write_down((*pieces, np.ones(len(pieces[0]), np.int64)) for pieces in _cut_documents(text, sequence_length))


def best_fit(text: EncodedText, sequence_length: int) -> ListedRows:
    """Whole documents, packed best-fit decreasing: each, from the longest on, goes into the row that it fills best.

    A document longer than a row is cut into rows first. `WINDOW` documents are packed at a time.
    """

    def pack(starts: np.ndarray, lengths: np.ndarray) -> Pieces:
        order = np.argsort(-lengths, kind="stable")
        rows = best_fit_decreasing(lengths[order], sequence_length)
        order = order[np.argsort(rows, kind="stable")]
        return starts[order], lengths[order], np.bincount(rows)

    return _write_down(pack(*pieces) for pieces in _cut_documents(text, sequence_length))


# By the name in `data.packing`.
PACKINGS: dict[str, Callable[[EncodedText, int], Layout]] = {
    "best_fit": best_fit,
    "contiguous": contiguous,
    "pad": pad,
}


def best_fit_decreasing(lengths: np.ndarray, size: int) -> np.ndarray:
    """The row of each piece, int32 [P], for `lengths` [P] that fall, all from 1 to `size`.

    A piece goes into the row with the least free space that holds it, or into a new one (Johnson et al. 1974, "Worst-case
    performance bounds for simple one-dimensional packing algorithms"). Pieces of one length go together: the best row for
    one of them stays the best until it has no room for another, and rows with one free space fill in the same way. That
    space is more than halved each time, so all takes some `size` log(`size`) operations on arrays.
    """
    rows = np.empty(len(lengths), np.int32)
    num_rows = 0
    with_free: dict[int, list[np.ndarray]] = {}  # rows by the space that they have left
    free_sizes: list[int] = []  # its keys, sorted
    begins = np.flatnonzero(np.diff(lengths, prepend=size + 1))
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(lengths)], strict=True):
        length = int(lengths[begin])
        while begin < end:
            at = bisect.bisect_left(free_sizes, length)
            free = free_sizes[at] if at < len(free_sizes) else size
            each = min(free // length, end - begin)  # pieces that such a row takes
            wanted = (end - begin) // each
            if at < len(free_sizes):
                chunk = with_free[free].pop()
                taken, others = chunk[:wanted], chunk[wanted:]
                if len(others):
                    with_free[free].append(others)
                if not with_free[free]:
                    del with_free[free], free_sizes[at]
            else:
                taken = np.arange(num_rows, num_rows + wanted, dtype=np.int32)
                num_rows += wanted
            rows[begin : begin + each * len(taken)] = np.repeat(taken, each)
            begin += each * len(taken)
            left = free - each * length
            if left and left not in with_free:
                with_free[left] = []
                bisect.insort(free_sizes, left)
            if left:
                with_free[left].append(taken)
    return rows


def _cut_documents(text: EncodedText, sequence_length: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Starts and lengths of the documents, window by window; those that are longer than a row come in several pieces."""
    for first in range(0, len(text.starts), WINDOW):
        bounds = np.asarray(text.starts[first : first + WINDOW + 1], np.int64)
        if len(bounds) <= WINDOW:
            bounds = np.append(bounds, text.num_tokens)
        lengths = np.diff(bounds)
        parts = -(-lengths // sequence_length)
        at = sequence_length * count_up(parts)
        starts = np.repeat(bounds[:-1], parts) + at
        yield starts, np.minimum(sequence_length, np.repeat(lengths, parts) - at).astype(np.int32)


def count_up(sizes: np.ndarray) -> np.ndarray:
    """0, 1, 2 … up to each of `sizes` (not counted), one after the other: int64 [sum of sizes]."""
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _write_down(windows: Iterator[Pieces]) -> ListedRows:
    def with_offsets() -> Iterator[Pieces]:
        end = 0
        for starts, lengths, counts in windows:
            offsets = end + np.cumsum(counts)
            yield starts, lengths, (offsets if end else np.append(0, offsets))
            end = offsets[-1]

    return ListedRows(*write_mapped(with_offsets(), [np.int64, np.int32, np.int64]))
