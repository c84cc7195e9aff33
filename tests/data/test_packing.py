"""The table of packings, held to a plain best-fit decreasing and to the text itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import packing
from data.packing import PACKINGS, best_fit_decreasing, count_up
from tests.data.texts import encoded

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=40)
SEQUENCE_LENGTHS = st.integers(2, 24)


def rows_of(layout) -> list[list[tuple[int, int]]]:
    """The pieces of every row as (start, length)."""
    starts, lengths, counts = layout.pieces(0, len(layout))
    pieces = list(zip(starts.tolist(), lengths.tolist(), strict=True))
    ends = np.cumsum(counts)
    return [pieces[end - count : end] for end, count in zip(ends, counts, strict=True)]


def cut_documents(lengths: list[int], sequence_length: int) -> list[tuple[int, int]]:
    """Documents, and those that are too long in pieces."""
    starts = np.cumsum([0, *lengths])
    return [
        (int(start) + cut, min(sequence_length, length - cut))
        for start, length in zip(starts, lengths, strict=False)
        for cut in range(0, length, sequence_length)
    ]


def plain_best_fit_decreasing(lengths: list[int], size: int) -> list[int]:
    """The tokens in each row, by the definition, a piece at a time."""
    used: list[int] = []
    for length in sorted(lengths, reverse=True):
        fits = [(size - row, number) for number, row in enumerate(used) if size - row >= length]
        if fits:
            used[min(fits)[1]] += length
        else:
            used.append(length)
    return sorted(used)


@pytest.mark.parametrize("name", PACKINGS)
@given(lengths=LENGTHS, sequence_length=SEQUENCE_LENGTHS, window=st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_every_token_stands_in_one_row_and_no_piece_has_two_documents(name, lengths, sequence_length, window):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "WINDOW", window)
        rows = rows_of(PACKINGS[name](encoded(lengths), sequence_length))
    places = [start + place for row in rows for start, length in row for place in range(length)]
    assert sorted(places) == list(range(sum(lengths)))
    assert all(row and sum(length for _, length in row) <= sequence_length for row in rows)
    document = np.repeat(np.arange(len(lengths)), lengths)
    assert all(len(set(document[start : start + length])) == 1 for row in rows for start, length in row)


@pytest.mark.parametrize("name", PACKINGS)
@given(lengths=LENGTHS, sequence_length=SEQUENCE_LENGTHS, data=st.data())
@settings(max_examples=50, deadline=None)
def test_some_rows_are_those_of_all(name, lengths, sequence_length, data):
    layout = PACKINGS[name](encoded(lengths), sequence_length)
    first = data.draw(st.integers(0, len(layout) - 1))
    last = data.draw(st.integers(first + 1, len(layout)))
    starts, sizes, counts = layout.pieces(first, last)
    expected = rows_of(layout)[first:last]
    assert list(zip(starts.tolist(), sizes.tolist(), strict=True)) == [piece for row in expected for piece in row]
    assert counts.tolist() == [len(row) for row in expected]


@given(st.lists(st.integers(1, 24), min_size=1, max_size=120), st.integers(24, 60))
@settings(max_examples=200, deadline=None)
def test_best_fit_decreasing_is_what_its_name_says(lengths, size):
    lengths = np.array(sorted(lengths, reverse=True))
    rows = best_fit_decreasing(lengths, size)
    assert sorted(np.bincount(rows, lengths).astype(int)) == plain_best_fit_decreasing(lengths.tolist(), size)
    assert sorted(set(rows)) == list(range(rows.max() + 1))


@given(LENGTHS, SEQUENCE_LENGTHS)
@settings(max_examples=50, deadline=None)
def test_best_fit_keeps_whole_what_fits(lengths, sequence_length):
    rows = rows_of(PACKINGS["best_fit"](encoded(lengths), sequence_length))
    assert sorted(piece for row in rows for piece in row) == cut_documents(lengths, sequence_length)


@given(LENGTHS, SEQUENCE_LENGTHS)
@settings(max_examples=50, deadline=None)
def test_contiguous_rows_are_the_stream_cut(lengths, sequence_length):
    rows = rows_of(PACKINGS["contiguous"](encoded(lengths), sequence_length))
    sizes = [sum(length for _, length in row) for row in rows]
    assert [row[0][0] for row in rows] == list(range(0, sum(lengths), sequence_length))
    assert set(sizes[:-1]) <= {sequence_length} and sum(sizes) == sum(lengths)


@given(LENGTHS, SEQUENCE_LENGTHS)
@settings(max_examples=50, deadline=None)
def test_padded_rows_have_one_piece(lengths, sequence_length):
    rows = rows_of(PACKINGS["pad"](encoded(lengths), sequence_length))
    assert [piece for (piece,) in rows] == cut_documents(lengths, sequence_length)


def test_windows_cost_few_rows():
    """As large corpora are packed: in windows, of which each leaves its last rows half full."""
    lengths = np.random.default_rng(0).geometric(1 / 60, 20_000).tolist()
    with pytest.MonkeyPatch.context() as patch:
        whole = len(PACKINGS["best_fit"](encoded(lengths), 256))
        patch.setattr(packing, "WINDOW", 2_000)
        windows = len(PACKINGS["best_fit"](encoded(lengths), 256))
    assert whole <= windows <= 1.01 * whole


def test_counting_up():
    assert count_up(np.array([3, 0, 1, 2])).tolist() == [0, 1, 2, 0, 0, 1]
