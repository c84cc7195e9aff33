import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs import base
from data.batches import PackedRows, TrainBatches, ValidBatches, make_batch
from data.config import DataConfig
from data.corpus import load_corpus
from data.encoded import EncodedText
from data.mapped import join
from data.order import BLOCK
from data.packing import PACKINGS
from data.tokenizer import TokenizerConfig
from tests.data.texts import END, encoded

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
    return rows_of(packed, range(len(packed)))


def segments(batch: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Each run of one segment in a row, as its inputs, targets and positions."""
    found = []
    for row, ids in enumerate(batch["segment_ids"]):
        for segment in range(1, ids.max() + 1):
            (places,) = np.nonzero(ids == segment)
            assert (np.diff(places) == 1).all()
            found.append({name: batch[name][row, places] for name in ("inputs", "targets", "positions")})
    return found


@pytest.mark.parametrize("packing", PACKINGS)
@given(texts=st.lists(LENGTHS, min_size=1, max_size=3), sequence_length=SEQUENCE_LENGTHS)
@settings(max_examples=100, deadline=None)
def test_every_token_is_a_target_once_and_nothing_else_is(packing, texts, sequence_length):
    texts = [encoded(lengths) for lengths in texts]
    batch = whole(PackedRows.pack(texts, sequence_length, packing))
    assert batch["inputs"].shape[1] == sequence_length
    targets = batch["targets"][batch["weights"] > 0]
    assert sorted(targets) == sorted(np.concatenate([text.tokens[1:] for text in texts]))
    assert set(np.unique(batch["weights"])) <= {0.0, 1.0}
    padding = batch["weights"] == 0
    assert all((batch[name][padding] == 0).all() for name in ("inputs", "targets", "positions", "segment_ids"))
    assert (batch["segment_ids"][~padding] > 0).all()


@pytest.mark.parametrize("packing", PACKINGS)
@given(lengths=LENGTHS, sequence_length=SEQUENCE_LENGTHS)
@settings(max_examples=100, deadline=None)
def test_the_segments_are_parts_of_documents_whose_targets_are_one_further(packing, lengths, sequence_length):
    text = encoded(lengths)
    packed = PackedRows.pack([text], sequence_length, packing)
    expected = []
    for starts, sizes, _ in packed.pieces():
        for start, size in zip(starts, sizes, strict=True):
            expected.append((text.tokens[start : start + size].tolist(), text.tokens[start + 1 :][:size].tolist()))
    found = segments(whole(packed))
    assert sorted((piece["inputs"].tolist(), piece["targets"].tolist()) for piece in found) == sorted(expected)
    for piece in found:
        assert piece["positions"].tolist() == list(range(len(piece["inputs"])))
        assert (piece["inputs"][1:] != END).all(), "no segment goes on behind an end of text"
    assert sum(piece["inputs"][0] == END for piece in found) == len(lengths)
    assert packed.efficiency == sum(lengths) / (len(packed) * sequence_length)


@given(LENGTHS, SEQUENCE_LENGTHS)
@settings(max_examples=100, deadline=None)
def test_rows_are_packed_so_that_no_two_would_fit_in_one(lengths, sequence_length):
    batch = whole(PackedRows.pack([encoded(lengths)], sequence_length))
    used = sorted(batch["weights"].sum(1))
    assert used[0] >= 1 and used[-1] <= sequence_length
    assert len(used) == 1 or used[0] + used[1] > sequence_length


def test_a_worked_example():
    packed = PackedRows.pack([encoded([2, 5, 1, 3])], 4)  # 1 2 | 1 4 5 6 . 7 | 1 | 1 10 11, where `.` is the cut
    batch = whole(packed)
    assert batch["inputs"].tolist() == [[END, 4, 5, 6], [END, 10, 11, 7], [END, 2, END, 0]]
    assert batch["targets"].tolist() == [[4, 5, 6, 7], [10, 11, END, END], [2, END, END, 0]]
    assert batch["positions"].tolist() == [[0, 1, 2, 3], [0, 1, 2, 0], [0, 1, 0, 0]]
    assert batch["segment_ids"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 2], [1, 1, 2, 0]]
    assert batch["weights"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]]


def test_a_worked_example_of_a_stream():
    batch = whole(PackedRows.pack([encoded([2, 5, 1, 3])], 4, "contiguous"))
    assert batch["inputs"].tolist() == [[END, 2, END, 4], [5, 6, 7, END], [END, 10, 11, 0]]
    assert batch["targets"].tolist() == [[2, END, 4, 5], [6, 7, END, END], [10, 11, END, 0]]
    assert batch["positions"].tolist() == [[0, 1, 0, 1], [0, 1, 2, 0], [0, 1, 2, 0]]
    assert batch["segment_ids"].tolist() == [[1, 1, 2, 2], [1, 1, 1, 2], [1, 1, 1, 0]]


def test_the_rows_of_texts_stand_together_and_have_tokens_of_no_other():
    texts = [encoded([3, 9]), encoded([2]), encoded([4, 4, 4])]
    packed = PackedRows.pack(texts, 8)
    alone = [whole(PackedRows.pack([text], 8)) for text in texts]
    for name, array in whole(packed).items():
        np.testing.assert_array_equal(array, np.concatenate([batch[name] for batch in alone]))
    assert packed.first == (0, *np.cumsum([len(batch["inputs"]) for batch in alone]))


class OnlySlices:
    """Tokens that are read a slice at a time, as shards in files are."""

    def __init__(self, tokens):
        self._tokens, self.most = tokens, 0

    def __len__(self):
        return len(self._tokens)

    def __getitem__(self, at):
        assert at.step is None
        self.most = max(self.most, at.stop - at.start)
        return self._tokens[at]


@pytest.mark.parametrize("packing", PACKINGS)
def test_tokens_in_files_are_read_a_row_at_a_time(packing, tmp_path):
    text = encoded([7, 3, 20, 1, 5] * 20)
    np.save(tmp_path / "starts.npy", text.starts)
    starts = np.load(tmp_path / "starts.npy", mmap_mode="r")
    tokens = OnlySlices(text.tokens.astype(np.uint16))
    packed = PackedRows.pack([EncodedText(tokens, starts, 0)], 8, packing)
    assert tokens.most == 0, "packing reads no token"
    for name, array in whole(PackedRows.pack([text], 8, packing)).items():
        np.testing.assert_array_equal(whole(packed)[name], array)
    assert tokens.most <= 8 + 1


def test_a_batch_has_the_types_that_the_network_takes():
    batch = rows_of(PackedRows.pack([encoded([3, 9])], 8), [0, -1, 1, 0])
    assert {name: array.dtype for name, array in batch.items()} == {
        "inputs": np.int32,
        "targets": np.int32,
        "positions": np.int32,
        "segment_ids": np.int32,
        "weights": np.float32,
    }
    assert {array.shape for array in batch.values()} == {(4, 8)}


def test_row_minus_one_is_padding():
    packed = PackedRows.pack([encoded([4, 4, 4])], 4)
    batch = rows_of(packed, [2, -1, 0])
    assert all((array[1] == 0).all() for array in batch.values())
    for name, array in whole(packed).items():
        np.testing.assert_array_equal(batch[name][[0, 2]], array[[2, 0]])


def test_the_built_in_corpus_fills_its_rows(cache_dir):
    config = base.get_config()
    options = DataConfig(**config.data.to_dict() | {"cache_dir": cache_dir})
    corpus = load_corpus(options, TokenizerConfig(**config.tokenizer))
    packed = PackedRows.pack([join([*corpus.train.values()])], 128)
    assert packed.efficiency >= 0.97
    assert packed.num_tokens == sum(text.num_tokens for text in corpus.train.values())
    assert PackedRows.pack([join([*corpus.train.values()])], 128, "contiguous").efficiency > 0.999


# The order of training.


def packed_rows(count: int) -> PackedRows:
    return PackedRows.pack([encoded([4] * count)], 4)


@given(st.integers(1, 20), st.integers(1, 25), st.integers(0, 3), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_each_epoch_is_a_permutation_of_all_rows(rows, batch_size, epoch, seed):
    batches = TrainBatches(packed_rows(rows), batch_size, seed, as_is)
    steps = range((epoch + 1) * rows // batch_size + 1)
    order = np.concatenate([batches.indices(step) for step in steps])
    assert all(len(batches.indices(step)) == batch_size for step in steps)
    for start in range(0, (epoch + 1) * rows, rows):
        assert sorted(order[start : start + rows]) == list(range(rows))


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 2**32 - 1), st.sampled_from([(1, 1), (3, 1)]))
@settings(max_examples=100, deadline=None)
def test_a_batch_is_a_function_of_seed_and_step(rows, batch_size, seed, weights):
    packed = PackedRows.pack([encoded([4] * rows), encoded([4] * 5)], 4)
    batches = TrainBatches(packed, batch_size, seed, as_is, weights)
    forward = [batches.indices(step).tolist() for step in range(20)]
    fresh = TrainBatches(packed, batch_size, seed, as_is, weights)
    assert [fresh.indices(step).tolist() for step in reversed(range(20))] == forward[::-1]
    other = TrainBatches(packed, batch_size, seed + 1, as_is, weights)
    assert [other.indices(step).tolist() for step in range(20)] != forward
    for name, array in batches(7).items():
        np.testing.assert_array_equal(array, rows_of(packed, forward[7])[name])


def test_epochs_differ():
    batches = TrainBatches(packed_rows(50), 50, seed=0, prepare=as_is)
    orders = {tuple(batches.indices(step)) for step in range(5)}
    assert len(orders) == 5


def test_a_step_far_away_is_found_at_once():
    """Of a stream of 10 ** 12 rows, of which nothing but the rows asked for is ever there."""

    class Rows(PackedRows):
        def row(self, index):
            return {"index": np.array(index)}

    text = encoded([4])
    text = EncodedText(OnlySlices(text.tokens), text.starts, 0)
    packed = Rows((text,), 4, (None,), (0, 10**12))
    batches = TrainBatches(packed, 8, seed=0, prepare=as_is)
    seen = np.concatenate([batches(step)["index"] for step in (0, 10**10, 10**12)])
    assert len(set(seen)) == 24 and seen.max() > 10**11


def test_a_batch_larger_than_the_corpus_goes_through_it_again():
    assert sorted(TrainBatches(packed_rows(3), 7, seed=0, prepare=as_is).indices(0)[:6]) == [0, 0, 1, 1, 2, 2]


@given(
    processes=st.sampled_from([1, 2, 4, 8]),
    step=st.integers(0, 10**6),
    packing=st.sampled_from(sorted(PACKINGS)),
    weights=st.sampled_from([(1.0, 1.0), (2.0, 1.0)]),
)
@settings(max_examples=60, deadline=None)
def test_each_process_gets_its_part_of_the_same_batch(processes, step, packing, weights):
    texts = [encoded([5, 3, 11, 2] * 5), encoded([4] * 9)]
    batches = TrainBatches(PackedRows.pack(texts, 8, packing), 8, 1, stamped, weights)
    part = 8 // processes
    parts = [batches(step, slice(start, start + part)) for start in range(0, 8, part)]
    for name, array in batches(step).items():
        np.testing.assert_array_equal(np.concatenate([batch[name] for batch in parts]), array)


# Mixtures.


@given(st.integers(1, 12), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_every_token_is_seen_once_an_epoch_of_its_source(batch_size, seed):
    texts = [encoded([4] * 30), encoded([2, 4, 3] * 10)]
    packed = PackedRows.pack(texts, 4)
    batches = TrainBatches(packed, batch_size, seed, as_is, (3, 1))
    order = np.concatenate([batches.indices(step) for step in range(600 // batch_size)])
    for first, last in zip(packed.first[:-1], packed.first[1:], strict=True):
        rows = order[(order >= first) & (order < last)]
        assert len(rows) > 3 * (last - first)
        epochs = rows[: len(rows) // (last - first) * (last - first)].reshape(-1, last - first)
        assert (np.sort(epochs) == np.arange(first, last)).all()
        assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


def test_shares_and_epochs_are_as_the_weights_say():
    packed = PackedRows.pack([encoded([4] * 100), encoded([4] * 10)], 4)
    batches = TrainBatches(packed, 8, 0, as_is, (0.25, 0.75))
    steps = 5 * BLOCK // 8
    np.testing.assert_allclose(batches.epochs(steps), [5 * BLOCK * 0.25 / 100, 5 * BLOCK * 0.75 / 10])
    order = np.concatenate([batches.indices(step) for step in range(steps)])
    assert (order < 100).mean() == 0.25
    for step in (0, 1, 33, 2000):
        rows = np.concatenate([batches.indices(number) for number in range(step)] or [np.zeros(0)])
        assert batches.epochs(step).tolist() == [(rows < 100).sum() / 100, (rows >= 100).sum() / 10]
    assert batches.tokens(steps) == 5 * BLOCK * 4


@given(st.integers(1, 60), st.integers(1, 12), st.sampled_from([(1, 1), (3, 1), (1, 5)]))
@settings(max_examples=50, deadline=None)
def test_one_epoch_ends_before_any_row_is_seen_again(rows, batch_size, weights):
    packed = PackedRows.pack([encoded([4] * rows), encoded([4] * 9)], 4)
    batches = TrainBatches(packed, batch_size, 0, as_is, weights)
    steps = batches.steps_of_one_epoch(1000)
    seen = [row for step in range(steps) for row in batches.indices(step)]
    assert len(set(seen)) == len(seen) == steps * batch_size
    more = seen + batches.indices(steps).tolist()
    assert len(set(more)) < len(more)
    assert batches.steps_of_one_epoch(2) == min(2, steps)


# Validation.


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


# Whose a place in a row is.


@pytest.mark.parametrize("packing", PACKINGS)
def test_each_place_of_a_batch_belongs_to_its_document(packing):
    lengths = [7, 3, 20, 1, 5, 8, 2]
    text = encoded(lengths)
    batches = ValidBatches(PackedRows.pack([text], 8, packing), 3, as_is)
    owner = np.append(np.repeat(np.arange(len(lengths)), lengths), 0)  # of each input token
    seen = np.zeros(len(lengths), int)
    for number in range(len(batches)):
        batch = batches(number)
        documents = batches.documents(number, batch["segment_ids"])
        real = batch["weights"] > 0
        counted = np.bincount(documents[real], minlength=len(lengths))
        begins = real & (batch["inputs"] != END)  # no other token occurs twice: it is at its number less one
        np.testing.assert_array_equal(documents[begins], owner[batch["inputs"][begins] - 1])
        seen += counted
    np.testing.assert_array_equal(seen, lengths)
