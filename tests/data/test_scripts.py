"""Units and their hashes, against plain Python."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.scripts import SCRIPTS, code_points, is_in, ngram_hashes, unit_hashes, units, words
from tests.data.texts import TEXTS

MIXED = st.text("ab1 你好,。\n") | st.text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, world! It's 3rd.", ["Hello", "world", "It", "s", "3rd"]),
        ("我们学AI。", ["我", "们", "学", "AI"]),
        ("カナとかな", list("カナとかな")),
        ("สวัสดี", list("สวัสดี")),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("안녕 하세요", ["안녕", "하세요"]),
        ("𠀀a\u0301b", ["𠀀", "a\u0301b"]),
        ("……！？ --- 😀", []),
        ("", []),
    ],
)
def test_a_unit_is_a_word_or_a_character_of_a_script_without_spaces(text, expected):
    assert list(words(text)) == expected


def test_units_of_english_are_what_a_regular_expression_finds():
    for text in TEXTS:
        latin = re.sub(r"[^\x00-\x7f]", " ", text)
        assert list(words(latin)) == re.findall(r"[A-Za-z0-9]+", latin)


@given(MIXED)
def test_units_are_in_order_and_apart(text):
    found = units(text)
    assert (found.lengths > 0).all() and (found.ends[:-1] <= found.starts[1:]).all()
    assert (found.lengths[~found.spaced] == 1).all()


@given(st.lists(MIXED, max_size=6), st.integers(1, 4))
def test_equal_ngrams_have_equal_hashes_and_no_others(texts, n):
    hashes, bounds = ngram_hashes(*unit_hashes(texts), n)
    of_gram: dict[tuple, int] = {}
    for number, text in enumerate(texts):
        in_text = list(words(text))
        grams = [tuple(in_text[at : at + n]) for at in range(max(len(in_text) - n + 1, min(len(in_text), 1)))]
        found = hashes[bounds[number] : bounds[number + 1]].tolist()
        assert len(found) == len(grams)
        for gram, value in zip(grams, found, strict=True):
            assert of_gram.setdefault(gram, value) == value
    assert len(set(of_gram.values())) == len(of_gram)


def test_hashes_are_the_same_in_every_run():
    hashes, bounds = unit_hashes(["the cat", "猫 the"])
    assert bounds.tolist() == [0, 2, 4]
    assert hashes[0] == hashes[3]
    assert hashes.tolist()[:2] == [HASH_OF_THE, HASH_OF_CAT]


def splitmix(value: int) -> int:
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> shift)) * factor % 2**64
    return value ^ (value >> 31)


def by_hand(word: str) -> int:
    return splitmix(sum((ord(letter) + 1) * 0x9E3779B97F4A7C15**place for place, letter in enumerate(word)) % 2**64)


HASH_OF_THE, HASH_OF_CAT = by_hand("the"), by_hand("cat")


@pytest.mark.parametrize(("script", "letters"), [("han", "汉漢々〇𠀀"), ("kana", "あアーｱ"), ("thai", "กำ")])
def test_scripts_have_their_letters(script, letters):
    assert is_in(script, code_points(letters)).all()
    assert not is_in(script, code_points("aé한。、")).any()


def test_scripts_do_not_overlap():
    spans = sorted(span for spans in SCRIPTS.values() for span in spans)
    flat = np.array(spans).ravel()
    assert (np.diff(flat)[::2] >= 0).all() and (np.diff(flat)[1::2] > 0).all()
