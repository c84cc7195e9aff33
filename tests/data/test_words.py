"""Words, against jieba's own way, worked cases, and the property that they lie in the text from left to right."""

import itertools
import subprocess
import sys

import jieba
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from data import words
from data.words import frequency, is_chinese, split_words
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The dog's bone, isn't it?", ["The", "dog's", "bone", "isn't", "it"]),
        ("'quoted' words' end", ["quoted", "words", "end"]),
        ("a well-known fact", ["a", "well", "known", "fact"]),
        ("room B2B, file_name, 3rd of 1984", ["room", "of"]),
        ("你OK吗", ["你", "OK", "吗"]),
        ("我们今天去公园。", ["我们", "今天", "去", "公园"]),
        ("a〇b 时时々", ["a", "〇", "b", "时时", "々"]),
        ("naïve Größe мир", ["naïve", "Größe", "мир"]),
        ("en: an end\n zh：结束; or: so", ["an", "end", "结束", "or", "so"]),
        (" 。, 12 \n", []),
        ("", []),
    ],
)
def test_words_of_a_text(text, expected):
    assert [text[start:end] for start, end in split_words(text)] == expected


def test_chinese_words_are_those_that_jieba_finds_with_its_own_dictionary():
    sentence = "小明硕士毕业于中国科学院计算所后在日本京都大学深造"
    jieba.setLogLevel("WARNING")
    assert [sentence[start:end] for start, end in split_words(sentence)] == list(jieba.cut(sentence))


@given(st.text(st.sampled_from("ab'’ _1é我们今天\n.，")))
@settings(max_examples=200, deadline=None)
def test_words_lie_in_the_text_one_after_the_other(text):
    found = split_words(text)
    assert all(start < end for start, end in found)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(found))
    letters = "".join(text[start:end] for start, end in found)
    assert not set(letters) & set("_1 \n.，")
    assert all(is_chinese(text[start:end]) or not set(text[start:end]) & set("我们今天") for start, end in found)


def test_frequent_words_are_told_from_rare_ones():
    assert frequency("我们") > frequency("咱们") > frequency("吾侪") >= 0
    assert frequency("没有这个词的") == 0


def test_jieba_says_nothing_and_leaves_no_file(tmp_path):
    code = "from data.words import split_words; print(split_words('我们今天'))"
    environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[(0, 2), (2, 4)]\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    words._segmenter.cache_clear()
    monkeypatch.setitem(sys.modules, "jieba", None)
    assert split_words("no Chinese here")
    with pytest.raises(UserError, match=r"needs the package jieba.*pip install -r requirements-data\.txt"):
        split_words("我们")
