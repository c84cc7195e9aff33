from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from data.batches import PackedRows
from data.encoded import encode_texts
from data.tokenizer import TokenizerConfig, train
from tasks import TASKS, CorruptionConfig
from tasks.masked_lm import choose, continues_word
from tests.tasks.conftest import TEXTS


@pytest.fixture(scope="module")
def packed(tokenizer):
    return PackedRows.pack([encode_texts(TEXTS, tokenizer)], 96)


def masked(packed, tokenizer, seed, **options):
    prepare = TASKS["masked_lm"].prepare(packed, tokenizer, CorruptionConfig(**options), "encoder")
    return packed.row(0), prepare(packed.row(0), np.random.default_rng(seed))


def test_the_targets_are_the_text_and_only_what_was_chosen_counts(packed, tokenizer):
    row, fed = masked(packed, tokenizer, seed=0)
    np.testing.assert_array_equal(fed["targets"], row["inputs"])
    chosen = fed["weights"] > 0
    np.testing.assert_array_equal(fed["inputs"][~chosen], row["inputs"][~chosen])
    assert {name: (array.shape, array.dtype) for name, array in fed.items()} == {
        name: (array.shape, array.dtype) for name, array in row.items()
    }


def test_no_special_token_and_no_padding_is_ever_chosen(packed, tokenizer):
    for seed in range(200):
        row, fed = masked(packed, tokenizer, seed, rate=0.9)
        chosen = row["inputs"][fed["weights"] > 0]
        assert tokenizer.is_text[chosen].all()
        assert (row["segment_ids"][fed["weights"] > 0] > 0).all()
        replaced = fed["inputs"][fed["inputs"] != row["inputs"]]
        assert (tokenizer.is_text[replaced] | (replaced == tokenizer.mask)).all()


def test_fifteen_percent_are_chosen_of_which_80_10_10_are_hidden_replaced_and_kept(packed, tokenizer):
    hidden = replaced = kept = 0
    for seed in range(2000):
        row, fed = masked(packed, tokenizer, seed)
        chosen = fed["weights"] > 0
        maskable = (row["segment_ids"] > 0) & tokenizer.is_text[row["inputs"]]
        assert chosen.sum() == round(0.15 * maskable.sum())
        hidden += (fed["inputs"][chosen] == tokenizer.mask).sum()
        kept += (fed["inputs"][chosen] == row["inputs"][chosen]).sum()
        replaced += ((fed["inputs"] != row["inputs"]) & (fed["inputs"] != tokenizer.mask)).sum()
    total = hidden + replaced + kept
    # A random token is the right one once in some 300 draws: far below the tolerance of five deviations.
    for count, share in ((hidden, 0.8), (replaced, 0.1), (kept, 0.1)):
        assert abs(count / total - share) < 5 * np.sqrt(share * (1 - share) / total) + 0.001


def test_each_draw_hides_other_tokens(packed, tokenizer):
    draws = {tuple(masked(packed, tokenizer, seed)[1]["weights"]) for seed in range(20)}
    assert len(draws) == 20
    np.testing.assert_array_equal(masked(packed, tokenizer, 3)[1]["inputs"], masked(packed, tokenizer, 3)[1]["inputs"])


def test_words_are_hidden_whole(tokenizer):
    text = "unbelievable 天气 they're walking"
    tokens = np.array(tokenizer.encode(text))
    continues = continues_word(tokenizer)
    for seed in range(100):
        chosen = choose(
            tokens, np.ones_like(tokens), np.ones(len(tokens), bool), 0.4, continues, np.random.default_rng(seed)
        )
        shown = "".join(
            "_" * len(tokenizer.decode([t])) if c else tokenizer.decode([t])
            for t, c in zip(tokens, chosen, strict=True)
        )
        for word in ("unbelievable", "walking"):
            start = text.index(word)
            assert shown[start : start + len(word)] in (word, "_" * len(word)), shown
    assert len(tokenizer.encode("unbelievable")) > 1, "the word is more than one piece"


def test_scripts_without_spaces_have_no_words_to_hide_whole():
    """Kana and Thai, as Chinese; a vowel sign of Devanagari belongs to its word."""
    pieces = ["a", "か", "ไ", "天", "क", "ि", "7", "。"]
    ends, begins = continues_word(SimpleNamespace(vocab_size=len(pieces), piece=pieces.__getitem__))
    assert ends.tolist() == begins.tolist() == [True, False, False, False, True, True, False, False]


def test_the_bytes_of_a_character_belong_together(tokenizer):
    tokens = np.array(tokenizer.encode("🙂🙂"))
    assert len(tokens) == 8
    everywhere = np.ones(8, bool)
    for seed in range(20):
        chosen = choose(tokens, everywhere, everywhere, 0.5, continues_word(tokenizer), np.random.default_rng(seed))
        assert chosen.tolist() in ([True] * 4 + [False] * 4, [False] * 4 + [True] * 4, [True] * 8)


@given(st.integers(1, 60), st.floats(0.01, 0.99), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_at_least_one_is_chosen_and_the_share_is_kept(size, rate, seed):
    tokens = np.zeros(size, int)
    everywhere = np.ones(size, bool)
    chosen = choose(tokens, everywhere, everywhere, rate, None, np.random.default_rng(seed))
    assert chosen.sum() == max(1, round(rate * size))


def test_a_tokenizer_without_a_mask_is_refused(packed):
    plain = train(TEXTS, TokenizerConfig(300, "bpe", 0.99, True, True))
    with pytest.raises(ConfigError, match=r"special_tokens=\[MASK\]"):
        TASKS["masked_lm"].prepare(packed, plain, CorruptionConfig(), "encoder")
