import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from data import mapped
from data.batches import PackedRows
from data.mapped import join, write_mapped
from data.packing import PACKINGS
from tests.data.texts import encoded


def test_windows_become_arrays_that_are_not_in_memory():
    windows = [(np.arange(3), np.array([0.5])), (np.arange(3, 5), np.zeros(0)), (np.arange(5, 6), np.ones(2))]
    numbers, others = write_mapped(windows, [np.int64, np.float32])
    assert numbers.tolist() == list(range(6)) and others.tolist() == [0.5, 1, 1]
    assert (numbers.dtype, others.dtype) == (np.int64, np.float32)
    assert isinstance(numbers.base, np.memmap)


def test_a_disk_that_is_full_is_one_line(monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(UserError, match=r"cannot write .* \(No space left on device\); make room there, or set TMPDIR"):
        PACKINGS["best_fit"](encoded([2, 3]), 4)


@given(st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=9), min_size=1, max_size=4), st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_texts_that_are_joined_are_one_text(lengths, window):
    """As if all documents had been encoded together, whatever the packing."""
    whole = encoded([length for part in lengths for length in part])
    ends = np.cumsum([sum(part) for part in lengths])
    parts = [encoded(part) for part in lengths]
    for part, end in zip(parts, ends, strict=True):
        part.tokens[:] = whole.tokens[end - part.num_tokens : end + 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapped, "WINDOW", window)
        joined = join(parts)
    assert joined.num_tokens == whole.num_tokens
    assert joined.starts.tolist() == whole.starts.tolist() and joined.lengths.tolist() == whole.lengths.tolist()
    for packing in PACKINGS:
        rows, expected = (PackedRows.pack([text], 7, packing) for text in (joined, whole))
        assert len(rows) == len(expected)
        for index in range(len(expected)):
            for name, array in expected.row(index).items():
                np.testing.assert_array_equal(rows.row(index)[name], array)
