"""Shards hold the line of tokens that was written, whatever their size, and are read as one array."""

import hashlib
import itertools
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.shards import ShardedTokens, ShardWriter, read_shards

END = 7  # end-of-text


def write(folder, documents, size, together=2, dtype=np.uint16):
    """Writes documents (lists of tokens), a few at a time; gives the writer."""
    with closing(ShardWriter(folder, "train", np.dtype(dtype), END, size)) as writer:
        for start in range(0, len(documents), together):
            some = [[*document, END] for document in documents[start : start + together]]
            writer.add(np.array(list(itertools.chain(*some))), np.array(list(map(len, some))))
    return writer


DOCUMENTS = st.lists(st.lists(st.integers(0, 65535), max_size=9), min_size=1, max_size=12)


@given(DOCUMENTS, st.integers(1, 20), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_again(tmp_path_factory, documents, size, together):
    folder = tmp_path_factory.mktemp("shards")
    writer = write(folder, documents, size, together)
    line = [END, *itertools.chain(*([*document, END] for document in documents))]
    count = -(-len(line) // size)
    tokens, starts = read_shards(folder, "train", np.dtype(np.uint16), count)
    assert writer.num_tokens == len(line) - 1 and len(tokens) == len(line) and tokens.dtype == np.uint16
    np.testing.assert_array_equal(tokens[:], line)
    lengths = np.diff(starts, append=len(line) - 1)
    for document, start, length in zip(documents, starts, lengths, strict=True):
        assert tokens[start] == END  # what a document's inputs begin with
        assert tokens[start + 1 : start + 1 + length].tolist() == [*document, END]


def test_the_files_are_what_other_programs_expect(tmp_path):
    writer = write(tmp_path, [[1, 2, 3], [4], [5, 6]], size=4)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    # 7 1 2 3 | 7 4 7 5 | 6 7
    assert files["train-00000.bin"] == bytes([7, 0, 1, 0, 2, 0, 3, 0])
    assert files["train-00001.bin"] == bytes([7, 0, 4, 0, 7, 0, 5, 0])
    assert files["train-00002.bin"] == bytes([6, 0, 7, 0])
    assert np.frombuffer(files["train-00000.idx"], "<u8").tolist() == [0]
    assert np.frombuffer(files["train-00001.idx"], "<u8").tolist() == [0, 2]
    assert files["train-00002.idx"] == b""
    assert writer.files == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def test_large_vocabularies_take_four_bytes(tmp_path):
    write(tmp_path, [[70000]], size=100, dtype=np.uint32)
    tokens, _ = read_shards(tmp_path, "train", np.dtype(np.uint32), 1)
    assert tokens.tolist() == [END, 70000, END] and tokens.dtype == np.uint32


def test_nothing_is_overwritten(tmp_path):
    write(tmp_path, [[1]], size=4)
    with pytest.raises(FileExistsError):
        write(tmp_path, [[1]], size=4)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(-50, 50) | st.none(), st.integers(-50, 50) | st.none())
def test_slices_are_those_of_one_array(total, size, start, stop):
    line = np.arange(total, dtype=np.uint16)
    tokens = ShardedTokens([line[at : at + size] for at in range(0, total, size)])
    assert len(tokens) == total
    np.testing.assert_array_equal(tokens[start:stop], line[start:stop])
    assert tokens[start:stop].dtype == np.uint16
    assert [tokens[at] for at in range(-total, total)] == [line[at] for at in range(-total, total)]
    for at in (total, -total - 1):
        with pytest.raises(IndexError):
            tokens[at]


def test_tokens_are_not_read_before_they_are_needed(tmp_path):
    write(tmp_path, [[1, 2, 3]] * 10, size=16)
    tokens, _ = read_shards(tmp_path, "train", np.dtype(np.uint16), 3)
    assert all(isinstance(shard, np.memmap) for shard in tokens._shards)
