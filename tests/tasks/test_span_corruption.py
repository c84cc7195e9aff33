import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from data.batches import PackedRows
from data.encoded import encode_texts
from data.packing import PACKINGS
from data.tokenizer import TokenizerConfig, train
from tasks import TASKS, CorruptionConfig
from tasks.span_corruption import corrupt, corrupted_lengths, count_noise, noise_mask, row_length, write_out
from tests.tasks.conftest import TEXTS

T5 = CorruptionConfig(rate=0.15, mean_span_length=3.0)


def test_the_example_of_the_paper():
    """Raffel et al. 2020, figure 2, where a last sentinel closes the targets; here the end of text does."""
    words = ["Thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week"]
    noise = np.isin(words, ["for", "inviting", "last"])
    names = [*words, "<X>", "<Y>", "<Z>"]
    sides = [side(np.arange(10), noise, np.array([10]), np.array([10, 11, 12])) for side in (corrupt, write_out)]
    inputs, targets = (" ".join(names[token] for token in tokens) for tokens, _ in sides)
    assert inputs == "Thank you <X> me to your party <Y> week"
    assert targets == "<X> for inviting <Y> last"
    assert [lengths.tolist() for _, lengths in sides] == [[9], [5]]


def test_the_lengths_of_the_published_models():
    assert count_noise(568, T5) == (85, 28)
    assert corrupted_lengths(568, T5) == (512, 114)
    assert row_length(512, T5) == 568


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=8),
    st.floats(0.05, 0.6),
    st.floats(1, 8),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=200, deadline=None)
def test_the_two_sides_have_the_lengths_foretold_and_hold_the_text_between_them(lengths, rate, mean, anywhere, seed):
    config, lengths = CorruptionConfig(rate, mean, spans_anywhere=anywhere), np.array(lengths)
    tokens = np.arange(1000, 1000 + lengths.sum())
    noise = noise_mask(lengths, config, np.random.default_rng(seed))
    sides = [side(tokens, noise, lengths, np.arange(300)) for side in (corrupt, write_out)]
    foretold = [part - 1 for part in corrupted_lengths(lengths, config)]  # without ends of text
    assert [lengths.tolist() for _, lengths in sides] == [part.tolist() for part in foretold]
    texts = [np.split(array, np.cumsum(lengths)[:-1]) for array in (tokens, noise)]
    read, written = (np.split(text, np.cumsum(new)[:-1]) for text, new in sides)
    for text, hidden, inputs, targets in zip(*texts, read, written, strict=True):
        counted = int(hidden.sum()), int((np.diff(hidden, prepend=False) & hidden).sum())
        assert counted == tuple(map(int, count_noise(len(text), config)))
        spans = np.split(targets, np.flatnonzero(targets < 300))[1:]
        assert [span[0] for span in spans] == list(range(len(spans)))
        whole = [part for token in inputs for part in (spans[token][1:] if token < 300 and hidden.any() else [token])]
        assert whole == text.tolist()
        if hidden.any() and not anywhere:
            assert not hidden[0] and hidden[-1]


def test_every_way_to_cut_is_as_likely():
    for anywhere, ways in ((False, 3), (True, 10)):
        config = CorruptionConfig(rate=0.5, mean_span_length=2.0, spans_anywhere=anywhere)
        masks = noise_mask(np.full(30000, 8), config, np.random.default_rng(0)).reshape(30000, 8)
        _, counts = np.unique(masks, axis=0, return_counts=True)
        assert len(counts) == 3 * ways  # 4 tokens in 2 spans; 4 of text in 2 stretches, or in 3 of which 2 may be none
        assert (abs(counts - 10000 / ways) < 5 * np.sqrt(10000 / ways)).all()


@pytest.fixture(scope="module")
def text(tokenizer):
    return encode_texts(TEXTS, tokenizer)


@pytest.fixture(scope="module")
def packed(text):
    return PackedRows.pack([text], row_length(64, T5))


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_row_is_two_rows_whose_segments_belong_together(text, tokenizer, packing):
    packed = PackedRows.pack([text], row_length(64, T5), packing)
    prepare = TASKS["span_corruption"].prepare(packed, tokenizer, T5, "encoder-decoder")
    shapes = set()
    for index in range(-1, len(packed)):
        fed = prepare(packed.row(index), np.random.default_rng(index + 1))
        shapes.add(tuple((name, array.shape, array.dtype) for name, array in sorted(fed.items())))
        segments = range(1, packed.row(index)["segment_ids"].max() + 1)
        assert set(fed["segment_ids"]) - {0} == set(fed["encoder_segment_ids"]) - {0} == set(segments)
        for segment in segments:
            text = packed.row(index)["targets"][packed.row(index)["segment_ids"] == segment]
            read = fed["encoder_inputs"][fed["encoder_segment_ids"] == segment]
            here = fed["segment_ids"] == segment
            written = fed["targets"][here]
            assert read[-1] == written[-1] == tokenizer.end_of_text
            assert fed["inputs"][here].tolist() == [tokenizer.decoder_start, *written[:-1]]
            assert fed["positions"][here].tolist() == list(range(here.sum()))
            filled = []
            for token in read[:-1]:
                if token in tokenizer.sentinels:
                    after = written.tolist().index(token) + 1
                    span = written[after:]
                    ends = np.flatnonzero(~tokenizer.is_text[span])
                    filled += span[: ends[0]].tolist()
                else:
                    filled.append(token)
            assert filled == text[text != tokenizer.end_of_text].tolist()
        assert ((fed["weights"] > 0) == (fed["segment_ids"] > 0)).all()
    assert len(shapes) == 1, "all rows have one shape, and none is cut"


def test_too_few_sentinels_are_refused(packed):
    few = train(TEXTS, TokenizerConfig(300, "bpe", 0.99, True, True, ("<extra_id_0>",)))
    with pytest.raises(ConfigError, match=r"needs \d+ sentinels for these texts, and the vocabulary has 1"):
        TASKS["span_corruption"].prepare(packed, few, T5, "encoder-decoder")
