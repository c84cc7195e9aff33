import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs import base
from data.batches import PackedRows, TrainBatches, ValidBatches, _permutation, make_batch
from data.corpus import DataConfig, EncodedText, load_corpus
from data.tokenizer import TokenizerConfig

END = 1


def encoded(lengths: list[int]) -> EncodedText:
    """Documents of `lengths` tokens, end-of-text included; no token but this occurs twice."""
    tokens, starts = [END], []
    for length in lengths:
        starts.append(len(tokens) - 1)
        tokens += [len(tokens) + 1 + place for place in range(length - 1)] + [END]
    return EncodedText(np.array(tokens, np.int32), np.array(starts), 0)


LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=40)
SEQUENCE_LENGTHS = st.integers(2, 24)


def as_is(row, generator):
    return row


def stamped(row, generator):
    """A row with a number of its own, which tells what randomness it was given."""
    return row | {"stamp": generator.integers(1 << 60, size=1)}


def rows_of(packed: PackedRows, indices) -> dict[str, np.ndarray]:
    return make_batch(packed, np.array(indices), as_is, [(0,)] * len(indices))


def whole(packed: PackedRows) -> dict[str, np.ndarray]:
    return rows_of(packed, range(len(packed.rows)))


def segments(batch: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Each run of one segment in a row, as its inputs, targets and positions."""
    found = []
    for row, ids in enumerate(batch["segment_ids"]):
        for segment in range(1, ids.max() + 1):
            (places,) = np.nonzero(ids == segment)
            assert (np.diff(places) == 1).all()
            found.append({name: batch[name][row, places] for name in ("inputs", "targets", "positions")})
    return found


@given(LENGTHS, SEQUENCE_LENGTHS)
@settings(max_examples=100, deadline=None)
def test_every_token_is_a_target_once_and_nothing_else_is(lengths, sequence_length):
    text = encoded(lengths)
    batch = whole(PackedRows.pack(text, sequence_length))
    targets = batch["targets"][batch["weights"] > 0]
    assert sorted(targets) == sorted(text.tokens[1:])
    assert set(np.unique(batch["weights"])) <= {0.0, 1.0}
    padding = batch["weights"] == 0
    assert all((batch[name][padding] == 0).all() for name in ("inputs", "targets", "positions", "segment_ids"))
    assert (batch["segment_ids"][~padding] > 0).all()


@given(LENGTHS, SEQUENCE_LENGTHS)
@settings(max_examples=100, deadline=None)
def test_the_segments_are_the_documents_cut_only_where_they_do_not_fit(lengths, sequence_length):
    text = encoded(lengths)
    expected = []
    for start, length in zip(text.starts, lengths, strict=True):
        for cut in range(start, start + length, sequence_length):
            end = min(cut + sequence_length, start + length)
            expected.append((text.tokens[cut:end].tolist(), text.tokens[cut + 1 : end + 1].tolist()))
    found = segments(whole(PackedRows.pack(text, sequence_length)))
    assert sorted((piece["inputs"].tolist(), piece["targets"].tolist()) for piece in found) == sorted(expected)
    for piece in found:
        assert piece["positions"].tolist() == list(range(len(piece["inputs"])))
    assert sum(piece["inputs"][0] == END for piece in found) >= len(lengths)


@given(LENGTHS, SEQUENCE_LENGTHS)
@settings(max_examples=100, deadline=None)
def test_rows_are_packed_so_that_no_two_would_fit_in_one(lengths, sequence_length):
    packed = PackedRows.pack(encoded(lengths), sequence_length)
    used = sorted(sum(length for _, length in row) for row in packed.rows)
    assert used[0] >= 1 and used[-1] <= sequence_length
    assert len(used) == 1 or used[0] + used[1] > sequence_length
    assert packed.efficiency == sum(lengths) / (len(used) * sequence_length)


def test_a_worked_example():
    packed = PackedRows.pack(encoded([2, 5, 1, 3]), 4)  # 1 2 | 1 4 5 6 . 7 | 1 | 1 10 11, where `.` is the cut
    batch = whole(packed)
    assert batch["inputs"].tolist() == [[END, 4, 5, 6], [END, 10, 11, 7], [END, 2, END, 0]]
    assert batch["targets"].tolist() == [[4, 5, 6, 7], [10, 11, END, END], [2, END, END, 0]]
    assert batch["positions"].tolist() == [[0, 1, 2, 3], [0, 1, 2, 0], [0, 1, 0, 0]]
    assert batch["segment_ids"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 2], [1, 1, 2, 0]]
    assert batch["weights"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]]


def test_a_batch_has_the_types_that_the_network_takes():
    batch = rows_of(PackedRows.pack(encoded([3, 9]), 8), [0, -1, 1, 0])
    assert {name: array.dtype for name, array in batch.items()} == {
        "inputs": np.int32,
        "targets": np.int32,
        "positions": np.int32,
        "segment_ids": np.int32,
        "weights": np.float32,
    }
    assert {array.shape for array in batch.values()} == {(4, 8)}


def test_row_minus_one_is_padding():
    packed = PackedRows.pack(encoded([4, 4, 4]), 4)
    batch = rows_of(packed, [2, -1, 0])
    assert all((array[1] == 0).all() for array in batch.values())
    for name, array in whole(packed).items():
        np.testing.assert_array_equal(batch[name][[0, 2]], array[[2, 0]])


def test_the_built_in_corpus_fills_its_rows(cache_dir):
    config = base.get_config()
    options = DataConfig(**config.data.to_dict() | {"cache_dir": cache_dir})
    corpus = load_corpus(options, TokenizerConfig(**config.tokenizer))
    packed = PackedRows.pack(corpus.train, 128)
    assert packed.efficiency >= 0.95
    assert sum(length for row in packed.rows for _, length in row) == corpus.train.num_tokens


# The order of training.


def packed_rows(count: int) -> PackedRows:
    return PackedRows.pack(encoded([4] * count), 4)


@given(st.integers(1, 20), st.integers(1, 25), st.integers(0, 3), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_each_epoch_is_a_permutation_of_all_rows(rows, batch_size, epoch, seed):
    batches = TrainBatches(packed_rows(rows), batch_size, seed, as_is)
    steps = range((epoch + 1) * rows // batch_size + 1)
    order = np.concatenate([batches.indices(step) for step in steps])
    assert all(len(batches.indices(step)) == batch_size for step in steps)
    for start in range(0, (epoch + 1) * rows, rows):
        assert sorted(order[start : start + rows]) == list(range(rows))


def test_a_batch_is_a_function_of_seed_and_step():
    batches = TrainBatches(packed_rows(50), 8, seed=3, prepare=as_is)
    forward = [batches.indices(step).tolist() for step in range(20)]
    fresh = TrainBatches(packed_rows(50), 8, seed=3, prepare=as_is)
    assert [fresh.indices(step).tolist() for step in reversed(range(20))] == forward[::-1]
    assert [dataclasses.replace(fresh, seed=4).indices(step).tolist() for step in range(20)] != forward
    for name, array in batches(7).items():
        np.testing.assert_array_equal(array, rows_of(batches.packed, forward[7])[name])


def test_epochs_differ():
    batches = TrainBatches(packed_rows(50), 50, seed=0, prepare=as_is)
    orders = {tuple(batches.indices(step)) for step in range(5)}
    assert len(orders) == 5


def test_an_epoch_is_shuffled_once():
    """A permutation of millions of rows takes longer than a small step."""
    _permutation.cache_clear()
    batches = TrainBatches(packed_rows(50), 8, seed=7, prepare=as_is)
    for step in range(25):  # 200 rows: four epochs
        batches(step)
    assert _permutation.cache_info().misses == 4


def test_a_batch_larger_than_the_corpus_goes_through_it_again():
    assert sorted(TrainBatches(packed_rows(3), 7, seed=0, prepare=as_is).indices(0))[:6] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_each_process_gets_its_part_of_the_same_batch(processes):
    batches = TrainBatches(packed_rows(21), 8, seed=1, prepare=stamped)
    part = 8 // processes
    for step in range(6):
        parts = [batches(step, slice(start, start + part)) for start in range(0, 8, part)]
        for name, array in batches(step).items():
            np.testing.assert_array_equal(np.concatenate([batch[name] for batch in parts]), array)


@given(st.integers(1, 30), st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_validation_sees_every_row_once(rows, batch_size):
    batches = ValidBatches(packed_rows(rows), batch_size, stamped)
    seen = [batches(number) for number in range(len(batches))]
    assert {len(batch["inputs"]) for batch in seen} == {batch_size}
    inputs = np.concatenate([batch["inputs"] for batch in seen])
    np.testing.assert_array_equal(inputs[:rows], whole(batches.packed)["inputs"])
    assert (inputs[rows:] == 0).all() and len(inputs) - rows < batch_size
    stamps = np.concatenate([batch["stamp"] for batch in seen])
    assert len(np.unique(stamps)) == len(stamps), "each row has randomness of its own"
    np.testing.assert_array_equal(stamps, np.concatenate([batches(number)["stamp"] for number in range(len(batches))]))


def test_the_randomness_of_a_row_is_new_at_every_step_and_the_same_when_it_comes_again():
    batches = TrainBatches(packed_rows(4), 8, seed=1, prepare=stamped)
    stamps = np.concatenate([batches(step)["stamp"] for step in range(5)])
    assert len(np.unique(stamps)) == 40
    np.testing.assert_array_equal(batches(3)["stamp"], stamps[24:32])
