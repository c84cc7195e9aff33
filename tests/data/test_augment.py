"""Variants of texts: what changes, what must not, and where spans go."""

import itertools
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError
from data.augment import AUGMENTATIONS, augment, augment_texts, augment_with_spans, parse_specs
from data.words import is_chinese, split_words

TEXT = "The quick brown fox (a RED one) jumps over 12 lazy dogs. Don't stop, 我们今天去公园！\nWhy? Nobody knows."
SYNONYMS = {"quick": ["fast"], "red": ["crimson"], "dogs": ["hounds"], "the": ["this"], "公园": ["花园"]}


def synonyms(word: str) -> list[str]:
    assert word == word.lower()
    return SYNONYMS.get(word, [])


def variant(text: str, *specs: str, seed: int = 0) -> str:
    return augment(text, specs, np.random.default_rng(seed), synonyms)


def words(text: str) -> list[str]:
    """Words, and Chinese in characters: cut into words, it is cut in another way once some are moved."""
    found = (text[start:end] for start, end in split_words(text))
    return [part for word in found for part in (word if is_chinese(word) else [word])]


def between(text: str) -> str:
    """All that is no word."""
    for start, end in reversed(split_words(text)):
        text = text[:start] + "\0" + text[end:]
    return re.sub("\0+", "\0", text)


# One augmentation at a time, in full.


def test_all_words_that_have_synonyms_are_replaced_in_their_case():
    expected = TEXT.replace("The", "This").replace("quick", "fast").replace("RED", "CRIMSON").replace("dogs", "hounds")
    assert variant(TEXT, "synonyms=1") == expected.replace("公园", "花园")


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("quick", {"quick fast"}),
        ("A quick!", {"A quick fast!", "A fast quick!"}),
        ("去公园。", {"去公园花园。", "去花园公园。"}),
        ("A quick 公园", {"A quick fast 公园花园", "A fast quick 公园花园"}),
    ],
)
def test_a_synonym_is_put_in_after_a_word_of_its_language(text, allowed):
    assert {variant(text, "insert=1", seed=seed) for seed in range(20)} == allowed


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("I like big cats.", {"I.", "like.", "big.", "cats."}),
        ("(big cats)", {"(big)", "(cats)"}),
        ("big, cats\nare", {"big,\n", ", cats\n", ",\nare"}),
        ("我们 公园", {"我们 ", " 公园"}),
    ],
)
def test_taking_words_out_leaves_one(text, kept):
    assert {variant(text, "delete=1", seed=seed) for seed in range(40)} == kept


def test_a_word_taken_out_leaves_no_double_space():
    for seed in range(50):
        assert "  " not in variant(TEXT, "delete=0.5", seed=seed)


def test_words_are_exchanged_with_others_of_their_language_in_their_line():
    for seed in range(20):
        for before, after in zip(TEXT.split("\n"), variant(TEXT, "swap=1", seed=seed).split("\n"), strict=True):
            assert Counter(words(before)) == Counter(words(after)) and between(before) == between(after)
            pairs = [pair for pair in zip(words(before), words(after), strict=True) if not is_chinese(pair[0])]
            assert sum(one == other for one, other in pairs) == len(pairs) % 2  # all but the odd one


# What holds for any text.

WORDS = st.sampled_from(["quick", "Red", "DOGS", "the", "fox", "don't", "公园", "我们今天", "12", "B2B"])
BETWEEN = st.sampled_from([" ", "", ", ", ".\n", " (", ") ", "。", "  ", "-"])
TEXTS = st.lists(st.tuples(WORDS, BETWEEN), max_size=12).map(lambda parts: "".join(itertools.chain(*parts)))
SEEDS = st.integers(0, 2**32 - 1)
SPECS = st.lists(
    st.tuples(st.sampled_from(sorted(AUGMENTATIONS)), st.floats(0, 1)).map(lambda spec: f"{spec[0]}={spec[1]}"),
    max_size=3,
)


@st.composite
def texts_with_spans(draw):
    text = draw(TEXTS.filter(bool))
    ends = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).filter(lambda ends: ends[0] < ends[1])
    return text, draw(st.lists(ends, max_size=4))


@given(texts_with_spans(), SPECS, SEEDS)
@settings(max_examples=300, deadline=None)
def test_spans_hold_what_they_held_in_the_same_order(given_text, specs, seed):
    text, spans = given_text
    changed, moved = augment_with_spans(text, spans, specs, np.random.default_rng(seed), synonyms)
    assert len(moved) == len(spans)
    for (start, end), (new_start, new_end) in zip(spans, moved, strict=True):
        assert 0 <= new_start < new_end <= len(changed)
        assert changed[new_start:new_end] == text[start:end]
    for one, other in itertools.combinations(range(len(spans)), 2):
        if spans[one][1] <= spans[other][0]:
            assert moved[one][1] <= moved[other][0]
    again = augment_with_spans(text, spans, specs, np.random.default_rng(seed), synonyms)
    assert again == (changed, moved)  # the generator decides, and it alone


@given(TEXTS, SEEDS)
@settings(max_examples=100, deadline=None)
def test_a_share_of_nothing_changes_nothing(text, seed):
    assert variant(text, *(f"{name}=0" for name in AUGMENTATIONS), seed=seed) == text == variant(text, seed=seed)


@given(TEXTS, st.floats(0, 1), SEEDS)
@settings(max_examples=100, deadline=None)
def test_each_does_only_what_its_name_says(text, share, seed):
    before = words(text)
    replaced, longer, shorter, moved = (variant(text, f"{name}={share}", seed=seed) for name in AUGMENTATIONS)
    assert between(replaced) == between(text)
    for old, new in zip(before, words(replaced), strict=True):
        assert old == new or new.lower() in synonyms(old.lower()) or (old, new) == ("公", "花")
    assert (
        not Counter(before) - Counter(words(longer))
        and len(words(longer)) <= len(before) * 2
        and len(longer) >= len(text)
    )
    assert not Counter(words(shorter)) - Counter(before)
    assert len(shorter) <= len(text) and (words(shorter) or not before)
    assert Counter(words(moved)) == Counter(before) and between(moved) == between(text)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_the_share_is_kept_on_average_in_short_texts_too(name):
    """Ten words of which all can be changed, many times: one in ten changes."""
    letters = "abcdefghij"
    text = " ".join(letters)
    changed = 0
    for seed in range(400):
        generator = np.random.default_rng(seed)
        after = words(augment(text, [f"{name}=0.13"], generator, lambda word: [word * 2]))
        changed += abs(len(after) - 10) if name in ("insert", "delete") else sum(map(str.__ne__, after, letters))
    assert changed / 4000 == pytest.approx(0.13, abs=0.02)


def test_labels_of_lines_are_no_words():
    text = "the: quick quick\n  red：quick"
    for name in AUGMENTATIONS:
        for seed in range(10):
            lines = variant(text, f"{name}=1", seed=seed).split("\n")
            assert lines[0].startswith("the:") and lines[1].startswith("  red：")


def test_words_in_spans_stay_where_they_are():
    text = "quick red dogs quick red dogs"
    start = len("quick red ")
    for name in AUGMENTATIONS:
        for seed in range(20):
            changed, [(new_start, new_end)] = augment_with_spans(
                text, [(start, start + 10)], [f"{name}=1"], np.random.default_rng(seed), synonyms
            )
            assert changed[new_start:new_end] == "dogs quick"
            assert changed != text or name == "swap"


@pytest.mark.parametrize("span", [(-1, 2), (3, 3), (4, 2), (0, 99)])
def test_a_span_outside_the_text_is_an_error(span):
    with pytest.raises(ValueError, match="no span of a text of 9 characters"):
        augment_with_spans("quick red", [span], ["swap=1"], np.random.default_rng(0), synonyms)


# Specs, and documents.


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("synonym=0.1", r"augment='synonym' is not known \(did you mean 'synonyms'\?\); choose from: delete, insert"),
        ("swap", r"augment='swap' has no share; write swap=0\.1"),
        ("swap=x", "augment='swap=x' has no share"),
        ("swap=1.5", r"augment='swap=1\.5': a share of the words must be in \[0, 1\]"),
        ("swap=nan", r"augment='swap=nan': a share"),
    ],
)
def test_a_spec_that_is_none_is_refused(spec, message):
    with pytest.raises(ConfigError, match=message):
        parse_specs([spec])


def test_each_text_is_followed_by_its_variants():
    texts = ["the quick red dogs", "quick dogs and more", "no word of it"]
    made = list(augment_texts(texts, ["synonyms=1", "swap=0.5"], 2, seed=0, synonyms=synonyms))
    assert made[::3] == texts and len(made) == 9
    assert Counter(words(made[1])) == Counter(["this", "fast", "crimson", "hounds"])


def test_a_variant_depends_on_its_text_alone():
    texts = ["the quick red dogs", "quick dogs and more", "some other words here"]
    several = list(augment_texts(texts, ["swap=1"], 3, seed=5))
    assert list(augment_texts(texts[1:2], ["swap=1"], 3, seed=5)) == several[4:8]
    assert list(augment_texts(texts[1:2], ["swap=1"], 3, seed=6)) != several[4:8]
    assert len(set(several[4:8])) > 2  # each copy is another


def test_without_specs_there_are_no_copies():
    assert list(augment_texts(["one", "two"], (), 3, seed=0)) == ["one", "two"]


def test_the_dictionary_gives_the_synonyms_by_default():
    assert augment("A movie!", ["synonyms=1"], np.random.default_rng(0)) in ("A film!", "A cinema!")
