"""Rules of quality, on cases worked by hand and against n-grams counted in plain Python."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import quality
from data.builtin import read_builtin
from data.cleaning import STEPS, make_step
from data.scripts import words

ENGLISH = (
    "The quick brown fox jumps over the lazy dog, and that is the end of it. He was not sure.\nDid we have one? Yes!"
)
CHINESE = "我们今天去公园看花，天气很好。他说这是他最喜欢的地方，我也觉得不错！你想不想一起来？"

# Of each measure: texts and what it is of them.
MEASURES = {
    quality.num_units: [("Two words, 3 units", 4), ("你好 world", 3), ("……", 0)],
    quality.letters: [("ab 12", 0.5), ("你好，。", 0.5), ("", 0), ("नमस्ते!", 6 / 7)],
    quality.alphabetic: [("one 2 three3 4", 0.5), ("你好2020", 2 / 3), ("--", 0)],
    quality.han: [("你好ab", 0.5), ("hello 123", 0), ("123", 0), ("你好，123", 1)],
    quality.symbols: [("#a b... c… d", 3 / 4), ("你好……吗", 1 / 3), ("###", 3), ("a. b", 0)],
    quality.stop_words: [("The THE of and x", 3), ("The的", 1), ("我的是的", 3), ("", 0)],
    quality.bullets: [("• a\n - b\n\nc\n·d", 3 / 4), ("a\nb - c", 0), ("", 0)],
    quality.ellipses: [("a...\nb…\n好……\nc.", 3 / 4), ("a... b", 0)],
    quality.sentences: [("One. Two! 3.5 is it?\n“好。”他说。真的！！", 6), ("no end", 0), ("He said “go.” e.g", 1)],
    quality.repeated(quality.lines_of): [("a\nb\n a \n\na", 0.5), ("a", 0), ("", 0)],
    quality.repeated(quality.paragraphs_of): [("a\nb\n\nc\n \na\nb", 1 / 3), ("a\na", 0)],
    quality.repeated(quality.lines_of, len): [("aaa\nb\naaa\ncc", 3 / 9), ("\n", 0)],
    quality.repeated(quality.paragraphs_of, len): [("你好\n\n世界和平\n\n你好", 2 / 8)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("measure", "text", "expected"), [(measure, *case) for measure, cases in MEASURES.items() for case in cases]
)
def test_measures_by_hand(measure, text, expected):
    assert measure(text) == pytest.approx(expected)


def test_top_ngram_by_hand():
    assert quality.top_ngram("aa b aa b cccc", 2) == pytest.approx(6 / 10)
    assert quality.top_ngram("a b c d e", 2) == 0
    assert quality.top_ngram("a b", 2) == quality.top_ngram("", 2) == 0
    assert quality.top_ngram("天下太平国泰民安天下太平", 2) == pytest.approx(8 / 12)  # four characters are as two words


def test_repeated_ngrams_by_hand():
    assert quality.repeated_ngrams("a b c x a b c", 2) == pytest.approx(3 / 7)  # the second "a b c", once
    assert quality.repeated_ngrams("aa bb cc dd", 2) == 0
    assert quality.repeated_ngrams("我们去公园了我们去公园吗", 2) == pytest.approx(5 / 12)


def by_counting(text: str, n: int) -> tuple[float, float]:
    """top_ngram and repeated_ngrams without NumPy or hashes."""
    units = list(words(text))
    n *= 2 if 2 * sum(unit.isascii() for unit in units) < len(units) else 1
    grams = [tuple(units[at : at + n]) for at in range(len(units) - n + 1)] if len(units) > n else []
    total = sum(map(len, units))
    counts = Counter(grams)
    # The first of the commonest ones in the order of their hashes is not ours to know: all of them are candidates.
    most = max((count * sum(map(len, gram)) for gram, count in counts.items() if count > 1), default=0)
    covered, seen = set(), set()
    for at, gram in enumerate(grams):
        if gram in seen:
            covered.update(range(at, at + n))
        seen.add(gram)
    return most / total if total else 0, sum(len(units[at]) for at in covered) / total if total else 0


@given(
    st.lists(st.sampled_from(["a", "bb", "c", "的", "是", "ddd", "好"]), max_size=30).map(" ".join), st.integers(1, 3)
)
@settings(deadline=None)
def test_ngrams_are_those_counted_by_hand(text, n):
    top, repeated = by_counting(text, n)
    assert quality.top_ngram(text, n) == pytest.approx(top)
    assert quality.repeated_ngrams(text, n) == pytest.approx(repeated)


@given(
    st.lists(st.sampled_from(["a", "b", "的", "ddd"]), max_size=20).map(" ".join),
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from([0, 0.2, 0.5, 0.8])), min_size=1, max_size=3),
)
@settings(deadline=None)
def test_every_n_has_its_bound(text, bounds):
    value = "+".join(f"{n}:{bound}" for n, bound in bounds)
    for name, place in (("top_ngrams", 0), ("repeated_ngrams", 1)):
        too_many = any(by_counting(text, n)[place] > bound + 1e-9 for n, bound in dict(bounds).items())
        assert make_step(f"{name}={value}")(text) == (None if too_many or not text else text)


@pytest.mark.parametrize(
    ("spec", "text", "stays"),
    [
        ("min_words=4", "one two three", False),
        ("min_words=4", "一二三四", True),
        ("max_words=3", "one two three", True),
        ("max_words=3", "一二三四", False),
        ("word_length", "a b c d", False),
        ("word_length", "the fox jumps", True),
        ("word_length", "https aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", False),
        ("word_length", "我 a 是", True),
        ("word_length=1+1.5", "a bb c", True),
        ("symbols", "# a", False),
        ("letters", "-- || 12 a", False),
        ("han", "Only English", False),
        ("stop_words", "Buy cheap now", False),
        ("bullets", "- a\n- b", False),
        ("ellipses", "read more...\nand", False),
        ("min_sentences", "One. Two.", False),
        ("min_sentences", "一。二！三？", True),
        ("braces", "if (a) { b }", False),
        ("lorem_ipsum", "Lorem Ipsum dolor", False),
        ("repeated_lines", "a\na\nb", False),
        ("repeated_lines=0.4", "a\na\nb", True),
        ("top_ngrams=1:0.5", "a a b", False),
        ("repeated_ngrams=1:0.2", "a b a", False),
        ("language=en", CHINESE, False),
        ("language=zh", CHINESE, True),
        ("language=en+zh", ENGLISH, True),
        ("language=en", "Questo non è un testo inglese, ma italiano, e si vede.", False),
        ("language=en", "12:30, 5 + 5 = 10", True),
    ],
)
def test_what_stays_and_what_does_not(spec, text, stays):
    assert make_step(spec)(text) == (text if stays else None)


LINES = {
    "terminal_lines": (
        "Home | About\nThis is one.\n\n“Is it?”\n(It is!)\n你好。\n他说：“好！”\n更多\nRead",
        "This is one.\n\n“Is it?”\n(It is!)\n你好。\n他说：“好！”",
    ),
    "line_words=3": ("one two\none two three\n\n你好\n你好吗", "one two three\n\n你好吗"),
    "boilerplate": (
        "Please enable JavaScript.\nA text.\n© 2020 All rights reserved\n版权所有\n京ICP备1号\n正文。",
        "A text.\n正文。",
    ),
}


@pytest.mark.parametrize("spec", LINES)
def test_lines_that_stay(spec):
    text, expected = LINES[spec]
    step = make_step(spec)
    assert step(text) == expected == step(expected)
    assert step(f"{text.splitlines()[0]}\n\n") is None


GOPHER_AND_C4 = [name for name, step in STEPS.items() if "Gopher" in step.summary or "(C4)" in step.summary]


@pytest.mark.parametrize("name", [name for name in GOPHER_AND_C4 if name not in ("min_words", "line_words")])
@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_written_text_stays_by_default(name, text):
    assert make_step(name)(text) == text


def test_of_long_built_in_texts_in_two_languages_few_are_dropped():
    pairs = [document.text.removeprefix("zh: ").split("\nen: ") for document in read_builtin("builtin:hsk")][::2]
    for side in (0, 1):
        sentences = [pair[side] for pair in pairs]
        texts = ["\n".join(sentences[at : at + 100]) for at in range(0, len(sentences) - 99, 100)]
        for name in GOPHER_AND_C4:
            step = make_step("line_words=1" if name == "line_words" else name)
            assert sum(step(text) is None for text in texts) <= 0.05 * len(texts), name
