"""Words of a text, and pairs of them as often as skip-gram's window gives them."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from common.errors import ConfigError, UserError
from data.config import DataConfig
from data.skipped import STOP, Skipped
from data.word_text import PairBatches, WordsConfig, WordText, read_words, texts_for_words

TEXTS = ["The cat and the dog.\nthe CAT", "我们今天 we\nonce"]


def batches(text: WordText, batch_size: int = 20_000, seed: int = 0, **changes) -> PairBatches:
    config = dataclasses.replace(WordsConfig(min_count=1, window=3, negatives=2, subsample=1.0), **changes)
    return PairBatches(text, config, batch_size, seed)


def numbered(*lines: list[int]) -> WordText:
    """A text of words 0, 1, …, whose counts are what they are."""
    ids = np.concatenate(lines).astype(np.int32)
    numbers = np.repeat(np.arange(len(lines)), [len(line) for line in lines]).astype(np.int32)
    counts = np.bincount(ids)
    return WordText(tuple(f"w{number}" for number in range(len(counts))), counts, ids, numbers)


def test_words_are_counted_and_sorted():
    text = read_words(TEXTS, 1)
    assert text.words == ("the", "cat", "and", "dog", "once", "we", "今天", "我们")  # equals in order
    assert text.counts.tolist() == [3, 2, 1, 1, 1, 1, 1, 1]
    assert " ".join(text.words[word] for word in text.ids) == "the cat and the dog the cat 我们 今天 we once"
    assert text.lines.tolist() == [1, 1, 1, 1, 1, 2, 2, 3, 3, 3, 4]
    assert text.files["vocabulary.txt"].decode().splitlines()[:2] == ["the 3", "cat 2"]


@pytest.fixture
def data(tmp_path) -> DataConfig:
    """Of a file whose texts are in a field `body`; of a bad line, too."""
    source = tmp_path / "text.jsonl"
    source.write_text('{"body": "<b>the  cat</b>"}\n{"id": 1}\n{"body": "once"}\n')
    clean = ("html", "whitespace", "min_words=2")
    return DataConfig((str(source),), (), 0.05, 16, "", text_field="body", skip_bad=True, clean=clean)


def test_text_is_read_and_cleaned_as_the_config_says(data):
    skipped = Skipped()
    assert list(texts_for_words(data, skipped)) == ["the cat"] and skipped.count == 1
    with pytest.raises(UserError, match=r'text\.jsonl, line 2: no "body" field'):
        list(texts_for_words(data, STOP))


def test_settings_that_would_do_nothing_are_refused(data, tmp_path):
    for changes, message in (
        ({"dedup": "exact"}, r"^data\.dedup='exact' does not change the text of word vectors; leave it at 'none'$"),
        ({"augment": ("swap=0.1",)}, r"^data\.augment=\('swap=0\.1',\) does not change .*; leave it at \(\)$"),
        ({"subword_sampling": 0.1}, r"^data\.subword_sampling=0\.1 does not change .*; leave it at 0\.0$"),
        ({"train": (str(tmp_path),)}, "holds tokens, not words; name the sources that it was prepared from$"),
    ):
        (tmp_path / "manifest.json").write_text('{"format": "zenformer tokens"}')
        with pytest.raises(ConfigError, match=message):
            texts_for_words(dataclasses.replace(data, **changes), STOP)


def test_rare_words_are_left_out():
    text = read_words(TEXTS, 2)
    assert (
        text.words == ("the", "cat") and text.ids.tolist() == [0, 1, 0, 0, 1] and text.lines.tolist() == [1, 1, 1, 2, 2]
    )
    with pytest.raises(UserError, match=r"1 of 8 words occur words\.min_count=3 times; give more text, or a lower"):
        read_words(TEXTS, 3)


def test_the_fingerprint_tells_texts_apart():
    prints = {read_words(texts, 1).fingerprint for texts in (["a b a b"], ["a b b a"], ["a b\na b"], ["a c a c"])}
    assert len(prints) == 4 and read_words(["a b a b"], 1).fingerprint in prints


def test_pairs_come_as_often_as_windows_of_random_size_give_them():
    """Against every window of every size counted one by one."""
    text = numbered([0, 1, 2, 3, 4, 5], [6, 7])
    expected = Counter()
    for size in (1, 2, 3):
        for at in range(8):
            for other in range(8):
                if 0 < abs(other - at) <= size and text.lines[at] == text.lines[other]:
                    expected[at, other] += 1
    total = sum(expected.values())
    batch = batches(text)(0)
    found = Counter(zip(batch["words"].tolist(), batch["contexts"].tolist(), strict=True))
    assert found.keys() == expected.keys()
    for pair, count in expected.items():
        assert found[pair] / 20_000 == pytest.approx(count / total, abs=0.01)


def test_negatives_come_by_their_count_to_the_power_of_three_quarters():
    text = numbered([0] * 16 + [1] * 81 + [2])
    negatives = batches(text, negatives=4)(0)["negatives"]
    assert negatives.shape == (20_000, 4) and negatives.dtype == np.int32
    shares = np.bincount(negatives.ravel(), minlength=3) / negatives.size
    np.testing.assert_allclose(shares, np.array([8, 27, 1]) / 36, atol=0.005)


def test_frequent_words_are_thinned_out_as_the_paper_says():
    text = numbered(*([0] * 90 + [1] * 10 for _ in range(200)))
    thinned = batches(text, subsample=0.1)
    np.testing.assert_allclose(thinned.keep, [np.sqrt(0.1 / 0.9), 1.0])
    share = np.mean(np.concatenate([thinned(step)["words"] for step in range(3)]) == 0)
    expected = 90 * np.sqrt(0.1 / 0.9) / (90 * np.sqrt(0.1 / 0.9) + 10)
    assert share == pytest.approx(expected, abs=0.02)


def test_a_batch_is_a_function_of_the_seed_and_the_step():
    text = numbered(list(range(50)), list(range(50)))
    one, other = batches(text, 256, subsample=0.005), batches(text, 256, subsample=0.005)
    for step in (3, 0, one.steps_per_epoch + 1):  # in any order, and in other epochs
        for name, array in one(step).items():
            np.testing.assert_array_equal(array, other(step)[name])
            np.testing.assert_array_equal(array[64:128], one(step, slice(64, 128))[name])
    assert (one(0)["words"] != one(1)["words"]).any()
    assert (one(0)["words"] != batches(text, 256, seed=1, subsample=0.005)(0)["words"]).any()


def test_a_text_of_single_words_is_refused():
    with pytest.raises(UserError, match="hardly any two words are in one line"):
        batches(numbered([0], [1], [0], [1]), 4)(0)


def test_a_text_of_which_subsampling_keeps_nothing_is_refused():
    with pytest.raises(UserError, match="hardly any two words are in one line"):
        batches(numbered([0, 1, 0, 1, 0, 1]), 4, subsample=1e-12)(0)


@pytest.mark.parametrize(
    "change", [{"min_count": 0}, {"window": 0}, {"negatives": 0}, {"subsample": 0.0}, {"subsample": 2.0}]
)
def test_settings_that_make_no_sense_are_refused(change):
    with pytest.raises(ConfigError, match=f"{next(iter(change))}="):
        WordsConfig(**change)
