"""Each pair of a packed row is fed to both kinds of networks; compared with what is written down pair by pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.batches import PackedRows
from data.encoded import join_pieces
from tasks import TASKS, CorruptionConfig

SEQ2SEQ = TASKS["seq2seq"]
CONFIG = CorruptionConfig()
TOKENS = st.lists(st.integers(10, 300), max_size=9)
PAIRS = st.lists(st.tuples(TOKENS, TOKENS), min_size=1, max_size=9)


def packed_rows(texts, tokenizer, packing):
    def encode(pairs):
        marks = [[0] * len(source) + [1] * (len(target) + 1) for source, target in pairs]
        return join_pieces([[*one, *two] for one, two in pairs], np.zeros(len(pairs)), tokenizer, marks=marks)

    return PackedRows.pack([encode(pairs) for pairs in texts], 20, packing)


def fed(packed, tokenizer, network):
    prepare = SEQ2SEQ.prepare(packed, tokenizer, CONFIG, network)
    rows = [prepare(packed.row(index), np.random.default_rng(0)) for index in range(-1, len(packed))]
    assert len({tuple((name, each.shape, each.dtype) for name, each in sorted(row.items())) for row in rows}) == 1
    assert rows[0]["weights"].sum() == 0, "a row of padding"
    return rows[1:]


def in_order(packed, texts):
    """The pairs of each row, as the rows' pieces say."""
    for number, layout in enumerate(packed.layouts):
        for row in range(len(layout)):
            index = packed.first[number] + row
            yield [texts[number][document] for document in packed.documents(index)]


@pytest.mark.parametrize("packing", ["best_fit", "pad"])
@given(st.lists(PAIRS, min_size=1, max_size=2))
@settings(max_examples=50, deadline=None)
def test_a_decoder_learns_what_it_is_to_write(tokenizer, packing, texts):
    packed, end = packed_rows(texts, tokenizer, packing), tokenizer.end_of_text
    for row, pairs in zip(fed(packed, tokenizer, "decoder"), in_order(packed, texts), strict=True):
        inputs = [token for source, target in pairs for token in (end, *source, *target)]
        targets = [token for source, target in pairs for token in (*source, *target, end)]
        weights = [weight for source, target in pairs for weight in [0] * len(source) + [1] * (len(target) + 1)]
        size = len(inputs)
        assert row["inputs"][:size].tolist() == inputs and row["targets"][:size].tolist() == targets
        assert row["weights"].tolist() == weights + [0] * (20 - size)
        assert "marks" not in row and row["weights"].dtype == np.float32


@pytest.mark.parametrize("packing", ["best_fit", "pad"])
@given(st.lists(PAIRS, min_size=1, max_size=2))
@settings(max_examples=50, deadline=None)
def test_an_encoder_decoder_has_a_side_for_each(tokenizer, packing, texts):
    packed, end, start = packed_rows(texts, tokenizer, packing), tokenizer.end_of_text, tokenizer.decoder_start
    longest = [0, 0]
    for row, pairs in zip(fed(packed, tokenizer, "encoder-decoder"), in_order(packed, texts), strict=True):
        for number, (source, target) in enumerate(pairs, 1):
            read, written = row["encoder_segment_ids"] == number, row["segment_ids"] == number
            assert row["encoder_inputs"][read].tolist() == [*source, end]
            assert row["targets"][written].tolist() == [*target, end]
            assert row["inputs"][written].tolist() == [start, *target]
            assert row["encoder_positions"][read].tolist() == list(range(len(source) + 1))
            assert row["positions"][written].tolist() == list(range(len(target) + 1))
        assert row["segment_ids"].max() == row["encoder_segment_ids"].max() == len(pairs)
        assert ((row["weights"] > 0) == (row["segment_ids"] > 0)).all()
        lengths = (row["encoder_segment_ids"] > 0).sum(), (row["segment_ids"] > 0).sum()
        longest = [max(pair) for pair in zip(longest, lengths, strict=True)]
    widths = len(row["encoder_inputs"]), len(row["inputs"])
    assert all(0 <= width - length < 8 for width, length in zip(widths, longest, strict=True)), "as wide as must be"
