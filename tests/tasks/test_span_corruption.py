import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from data.batches import PackedRows
from data.corpus import encode_texts
from data.tokenizer import TokenizerConfig, train
from tasks import TASKS, CorruptionConfig
from tasks.span_corruption import corrupt, corrupted_lengths, count_noise, noise_mask, row_length
from tests.tasks.conftest import TEXTS

T5 = CorruptionConfig(rate=0.15, mean_span_length=3.0)


def test_the_example_of_the_paper():
    """Raffel et al. 2020, figure 2."""
    words = ["Thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week"]
    noise = np.isin(words, ["for", "inviting", "last"])
    names = [*words, "<X>", "<Y>", "<Z>"]
    inputs, targets = corrupt(np.arange(len(words)), noise, [10, 11, 12])
    assert " ".join(names[token] for token in inputs) == "Thank you <X> me to your party <Y> week"
    assert " ".join(names[token] for token in targets) == "<X> for inviting <Y> last <Z>"


def test_the_lengths_of_the_published_models():
    assert count_noise(568, T5) == (85, 28)
    assert corrupted_lengths(568, T5) == (512, 114)
    assert row_length(512, T5) == 568


@given(st.integers(1, 300), st.floats(0.05, 0.6), st.floats(1, 8), st.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_the_two_sides_have_the_lengths_foretold_and_hold_the_text_between_them(length, rate, mean, seed):
    config = CorruptionConfig(rate, mean)
    tokens = np.arange(1000, 1000 + length)
    noise = noise_mask(length, config, np.random.default_rng(seed))
    assert (noise.sum(), (np.diff(noise, prepend=False) & noise).sum()) == count_noise(length, config)
    inputs, targets = corrupt(tokens, noise, range(300))
    assert (len(inputs) + 1, len(targets) + 1) == corrupted_lengths(length, config) or not noise.any()
    spans = np.split(targets, np.flatnonzero(targets < 300))[1:]
    whole = [part for token in inputs for part in (spans[token][1:] if token < 300 and noise.any() else [token])]
    assert whole == tokens.tolist()


def test_every_way_to_cut_is_as_likely():
    config = CorruptionConfig(rate=0.5, mean_span_length=2.0)
    draw = np.random.default_rng(0)
    masks = [tuple(noise_mask(8, config, draw)) for _ in range(9000)]
    counts = {mask: masks.count(mask) for mask in set(masks)}
    assert len(counts) == 9  # 4 tokens in 2 spans, 3 ways; 4 of text in 2 stretches, 3 ways
    assert all(abs(count - 1000) < 5 * np.sqrt(1000) for count in counts.values())


@pytest.fixture(scope="module")
def packed(tokenizer):
    return PackedRows.pack(encode_texts(TEXTS, tokenizer), row_length(64, T5))


def test_a_row_is_two_rows_whose_segments_belong_together(packed, tokenizer):
    prepare = TASKS["span_corruption"].prepare(packed, tokenizer, T5)
    shapes = set()
    for index in range(-1, len(packed.rows)):
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
        TASKS["span_corruption"].prepare(packed, few, T5)
