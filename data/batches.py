"""Packed rows, and batches of them as a function of the step alone."""

import bisect
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from common.errors import choose
from data.encoded import EncodedText
from data.mapped import WINDOW
from data.order import Mixture, shuffled
from data.packing import PACKINGS, Layout, Pieces, count_up

Batch = dict[str, np.ndarray]
Row = dict[str, np.ndarray]
# A packed row, arrays [T] by name (see PackedRows.row), and randomness of its own -> the row as the network is fed. All rows
# come out with the same names, shapes and dtypes.
PrepareRow = Callable[[Row, np.random.Generator], Row]


@dataclasses.dataclass(frozen=True)
class PackedRows:
    """One or more texts in rows of one length; the rows of a text stand together, in the order of the texts.

    Attributes:
        layouts: of each text, which pieces stand in each row.
        first: the row that each text begins with, and how many there are in all; [texts + 1].
    """

    texts: tuple[EncodedText, ...]
    sequence_length: int
    layouts: tuple[Layout, ...]
    first: tuple[int, ...]

    @classmethod
    def pack(cls, texts: Sequence[EncodedText], sequence_length: int, packing: str = "best_fit") -> "PackedRows":
        """Packs each text by itself; `packing` is a row of `PACKINGS`."""
        pack = choose(PACKINGS, packing, "packing")
        layouts = tuple(pack(text, sequence_length) for text in texts)
        first = (0, *np.cumsum([len(layout) for layout in layouts]).tolist())
        return cls(tuple(texts), sequence_length, layouts, first)

    def __len__(self) -> int:
        return self.first[-1]

    @property
    def num_tokens(self) -> int:
        return sum(text.num_tokens for text in self.texts)

    @property
    def efficiency(self) -> float:
        """The share of the rows' places that hold a token, in (0, 1]."""
        return self.num_tokens / (len(self) * self.sequence_length)

    def pieces(self) -> Iterator[Pieces]:
        """The pieces of all rows, some rows at a time."""
        for layout in self.layouts:
            for row in range(0, len(layout), WINDOW):
                yield layout.pieces(row, min(row + WINDOW, len(layout)))

    def row(self, index: int) -> Row:
        """The row at `index` (-1: a row of padding), as arrays [T].

        `inputs`, `targets` (int32 token ids, one apart), `positions` (int32, from 0 in each piece of a document),
        `segment_ids` (int32, a number for each piece of a row, 0 for padding) and `weights` (float32, 0 for padding);
        where documents have labels, `labels` (at each place that of its document, [T, ...]), and where tokens have marks,
        `marks` (int32, those of the targets).
        """
        text, starts, lengths = self._pieces_of(index)
        # One token more than a piece's inputs, which is its last target.
        bounds = zip(starts.tolist(), lengths.tolist(), strict=True)
        pieces, size = [slice(start, start + length + 1) for start, length in bounds], lengths.sum()

        def fill(parts: Sequence[np.ndarray], dtype: np.dtype, shape: tuple[int, ...] = ()) -> np.ndarray:
            filled = np.zeros((self.sequence_length, *shape), dtype)
            filled[:size] = np.concatenate([np.zeros((0, *shape), dtype), *parts])
            return filled

        parts = [text.tokens[piece] for piece in pieces]
        inputs = np.concatenate([np.zeros(0, np.int32), *(part[:-1] for part in parts)])
        row = lay_out(inputs, lengths, self.sequence_length)
        weights = (row["segment_ids"] > 0).astype(np.float32)
        targets = fill([part[1:] for part in parts], np.int32)
        arrays = {"inputs": row.pop("tokens"), "targets": targets, **row, "weights": weights}
        if text.labels is not None:
            labels = np.repeat(text.labels[self.documents(index)], lengths, axis=0)
            arrays["labels"] = fill([labels], text.labels.dtype, text.labels.shape[1:])
        if text.marks is not None:
            arrays["marks"] = fill([text.marks[piece][1:] for piece in pieces], np.int32)
        return arrays

    def documents(self, index: int) -> np.ndarray:
        """The document that each piece of the row at `index` is of, by its number in its text: int64 [pieces]."""
        text, starts, _ = self._pieces_of(index)
        return np.searchsorted(text.starts, starts, side="right") - 1

    def _pieces_of(self, index: int) -> tuple[EncodedText, np.ndarray, np.ndarray]:
        """The text of the row at `index`; where its pieces start in there, and their lengths. A row of padding has none."""
        if index < 0:
            return self.texts[0], np.zeros(0, np.int64), np.zeros(0, np.int64)
        number = bisect.bisect_right(self.first, index) - 1
        index -= self.first[number]
        starts, lengths, _ = self.layouts[number].pieces(index, index + 1)
        return self.texts[number], starts, lengths


def lay_out(tokens: np.ndarray, lengths: np.ndarray, width: int) -> Row:
    """Texts of these `lengths`, their `tokens` one after the other, in a row of `width`.

    Returns:
        `tokens`, `positions` (from 0 in each text), `segment_ids` (from 1), all int32 [width], 0 behind the texts.
    """
    row = {name: np.zeros(width, np.int32) for name in ("tokens", "positions", "segment_ids")}
    row["tokens"][: len(tokens)] = tokens
    row["positions"][: len(tokens)] = count_up(lengths)
    row["segment_ids"][: len(tokens)] = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    return row


def make_batch(packed: PackedRows, indices: np.ndarray, prepare: PrepareRow, keys: Sequence[Sequence[int]]) -> Batch:
    """The rows at `indices`, [B], prepared, each with the randomness that its key seeds: arrays [B, ...]."""
    rows = [prepare(packed.row(index), np.random.default_rng(key)) for index, key in zip(indices, keys, strict=True)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


class TrainBatches:
    """Endless shuffled batches: what step n sees is a function of (seed, n), so resuming needs only the step.

    Each epoch of a text is a new permutation of its rows.
    """

    def __init__(
        self, packed: PackedRows, batch_size: int, seed: int, prepare: PrepareRow, weights: Sequence[float] = (1.0,)
    ):
        """`weights`: the share of the rows that each of the texts gets, not scaled.

        Raises:
            ConfigError: a text gets less than one row in 10,000.
        """
        self.packed, self.batch_size, self.seed, self.prepare = packed, batch_size, seed, prepare
        self._mixture = Mixture.of_weights(weights, seed)
        self._sizes = np.diff(packed.first)  # rows of each text
        if len(weights) != len(packed.texts):
            raise ValueError(f"{len(weights)} weights for {len(packed.texts)} texts")

    def indices(self, step: int, rows: slice = slice(None)) -> np.ndarray:
        """The rows of the batch of `step` (from 0), or some of them: int64 [B]."""
        numbers = np.arange(step * self.batch_size, (step + 1) * self.batch_size)[rows]
        texts, places = self._mixture.at(numbers)
        epochs, places = np.divmod(places, self._sizes[texts])
        for text, epoch in {*zip(texts.tolist(), epochs.tolist(), strict=True)}:
            here = (texts == text) & (epochs == epoch)
            places[here] = shuffled(places[here], int(self._sizes[text]), (self.seed, text, epoch))
        return np.array(self.packed.first)[texts] + places

    def __call__(self, step: int, rows: slice = slice(None)) -> Batch:
        """The batch of `step`, or the `rows` of it that this process needs."""
        keys = [(self.seed, step, row) for row in range(self.batch_size)]
        return make_batch(self.packed, self.indices(step, rows), self.prepare, keys[rows])

    def epochs(self, step: int) -> np.ndarray:
        """How often the rows of each text were seen before `step`, float64 [texts]."""
        return self._mixture.counts(step * self.batch_size) / self._sizes

    def tokens(self, step: int) -> float:
        """How many tokens were seen before `step`, if the rows of a text are equally full."""
        return float(self.epochs(step) @ [text.num_tokens for text in self.packed.texts])

    @property
    def steps_per_epoch(self) -> int:
        """The steps in which as many rows are seen as there are; the last of them may begin the next epoch."""
        return -(-len(self.packed) // self.batch_size)

    def steps_of_one_epoch(self, most: int) -> int:
        """The steps, at most so many, before any row would be seen for the second time."""
        return bisect.bisect_right(range(most + 1), 1.0, key=lambda step: self.epochs(step).max()) - 1


@dataclasses.dataclass(frozen=True)
class ValidBatches:
    """Every row once, prepared in the same way each time; the last batch is filled up with padding."""

    packed: PackedRows
    batch_size: int
    prepare: PrepareRow

    def __len__(self) -> int:
        return -(-len(self.packed) // self.batch_size)

    def __call__(self, number: int, rows: slice = slice(None)) -> Batch:
        """The batch of this number, or the `rows` of it that this process needs."""
        at = np.arange(number * self.batch_size, (number + 1) * self.batch_size)[rows]
        indices = np.where(at < len(self.packed), at, -1)
        return make_batch(self.packed, indices, self.prepare, [(index,) for index in at])

    def documents(self, number: int, segment_ids: np.ndarray) -> np.ndarray:
        """The document that each place of the batch of this number is of, from its `segment_ids` [B, T]: int64 [B, T].

        Padding, which has no weight, counts to the first document; segments that a task has added, to the last of their row.
        """
        documents = np.zeros(segment_ids.shape, np.int64)
        first = number * self.batch_size
        for row in range(min(self.batch_size, len(self.packed) - first)):
            owners = np.append(0, self.packed.documents(first + row))
            documents[row] = owners[np.minimum(segment_ids[row], len(owners) - 1)]
        return documents
