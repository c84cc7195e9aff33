"""Cleaning steps that drop documents, or lines, which do not read like written text.

The rules are those of Gopher (Rae et al. 2021, arXiv:2112.11446, appendix A) and C4 (Raffel et al. 2020, JMLR 21:140, section
2.2; arXiv:1910.10683). Both count words. Here a unit counts: a word, or one character of a script without spaces (see
`data/scripts.py`); n-grams of these are twice as long, since a Chinese word has about two characters.
"""

import functools
import operator
import re
from collections.abc import Callable

import numpy as np

from data.scripts import (
    LETTER,
    character_classes,
    code_points,
    is_in,
    ngram_hashes,
    unit_hashes,
    units,
    words,
)
from data.values import Function, Make, number

Measure = Callable[[str], float]


def at_least(measure: Measure) -> Make:
    """The maker of a step that drops a text of which the measure is below the step's value."""
    return _keeping(measure, operator.ge)


def at_most(measure: Measure) -> Make:
    """The maker of a step that drops a text of which the measure is above the step's value."""
    return _keeping(measure, operator.le)


def _keeping(measure: Measure, holds: Callable[[float, float], bool]) -> Make:
    def make(value: str) -> Function:
        bound = number(value)
        return lambda text: text if holds(measure(text), bound) else None

    return make


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else 0.0


# Length.


def num_units(text: str) -> int:
    return len(units(text))


def word_length(value: str) -> Function:
    """From `SHORTEST+LONGEST`: bounds of the mean length of words. A text mostly of a script without spaces stays."""
    shortest, plus, longest = value.partition("+")
    low, high = number(shortest), number(longest) if plus else -1.0
    if low > high:
        raise ValueError(f"{value!r} must be SHORTEST+LONGEST, such as 3+10")

    def keep(text: str) -> str | None:
        found = units(text)
        if found.mostly_unspaced or not len(found):
            return text
        return text if low <= found.lengths[found.spaced].mean() <= high else None

    return keep


# Of what the text is made.


def letters(text: str) -> float:
    """The share of letters (Chinese characters are letters) in the characters that are not white space."""
    classes = character_classes(text)
    return _share(np.count_nonzero(classes >= LETTER), len("".join(text.split())))


def alphabetic(text: str) -> float:
    """The share of units with a letter in them; the others are numbers."""
    found = units(text)
    is_letter = np.concatenate([[0], np.cumsum(character_classes(text) >= LETTER)])
    return _share(np.count_nonzero(is_letter[found.ends] > is_letter[found.starts]), len(found))


def han(text: str) -> float:
    """The share of Chinese characters in the letters."""
    points = code_points(text)
    is_letter = character_classes(text) >= LETTER
    return _share(np.count_nonzero(is_in("han", points[is_letter])), np.count_nonzero(is_letter))


SYMBOL = re.compile(r"#|\.{3,}|…+")


def symbols(text: str) -> float:
    """Number signs and ellipses for each unit."""
    count = len(SYMBOL.findall(text))
    return count / len(units(text)) if len(units(text)) else float(count)


STOP_WORDS = {
    False: frozenset(("the", "be", "to", "of", "and", "that", "have", "with")),  # Gopher's
    True: frozenset("的是了在和有不这我们人他她你一个上也到说"),
}


def stop_words(text: str) -> int:
    """How many different ones there are of Gopher's eight English ones; or, in Chinese, of the commonest characters."""
    common = STOP_WORDS[units(text).mostly_unspaced]
    return len(common.intersection(word.lower() for word in words(text)))


# Lines.

ELLIPSIS = ("...", "…", "。。。")
BULLETS = tuple("•‣⁃◦●○■□▪▫◆◇►▶▸★☆·*-")
TERMINAL = re.compile(r"""[.!?。！？；…]["'”’»」』）)\]】]*$""")


def lines_of(text: str) -> list[str]:
    """The lines with something on them, without white space around it."""
    return [stripped for line in text.split("\n") if (stripped := line.strip())]


def paragraphs_of(text: str) -> list[str]:
    """What stands between empty lines."""
    return [paragraph.strip() for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]


def bullets(text: str) -> float:
    """The share of lines that begin with a bullet."""
    lines = lines_of(text)
    return _share(sum(line.startswith(BULLETS) for line in lines), len(lines))


def ellipses(text: str) -> float:
    """The share of lines that end with an ellipsis."""
    lines = lines_of(text)
    return _share(sum(line.endswith(ELLIPSIS) for line in lines), len(lines))


def repeated(parts_of: Callable[[str], list[str]], size: Callable[[str], int] = lambda part: 1) -> Measure:
    """The share of parts that came before in the same text, each counted by its size."""

    def measure(text: str) -> float:
        parts = parts_of(text)
        total = sum(map(size, parts))
        return _share(total - sum(map(size, set(parts))), total)

    return measure


def sentences(text: str) -> int:
    """How many ends of sentences there are; a line without one counts as none."""
    return len(re.findall(r"[.!?](?=[\s\"'”’)\]]|$)|[。！？]+", text))


def _kept_lines(keep: Callable[[str], bool]) -> Function:
    return lambda text: "\n".join(line for line in text.split("\n") if not line.strip() or keep(line.strip()))


terminal_lines = _kept_lines(lambda line: TERMINAL.search(line) is not None)


def line_units(value: str) -> Function:
    """Only lines of at least so many units."""
    least = number(value)
    return _kept_lines(lambda line: len(units(line)) >= least)


BOILERPLATE = re.compile(
    r"javascript|terms of use|terms of service|privacy policy|cookie policy|use of cookies|uses cookies|all rights reserved"
    r"|隐私政策|隱私權政策|隐私声明|服务条款|用户协议|版权所有|版權所有|保留所有权利|使用cookie|ICP备|公网安备|扫一扫|扫码关注|点击关注",
    re.IGNORECASE,
)
boilerplate = _kept_lines(lambda line: BOILERPLATE.search(line) is None)


def without(needle: str) -> Function:
    """Drops a text that has `needle` in it, whatever its case."""
    return lambda text: None if needle in text.lower() else text


# N-grams.


def _sizes(value: str) -> list[tuple[int, float]]:
    """N and its share, from `N:SHARE+N:SHARE…`, in the order of N."""
    sizes = {}
    for pair in value.split("+"):
        size, colon, share = pair.partition(":")
        if not (colon and size.isdecimal() and int(size) > 0):
            raise ValueError(f"{pair!r} must be N:SHARE, such as 5:0.15; several are joined by +")
        sizes[int(size)] = number(share)
    return sorted(sizes.items())


@functools.lru_cache(maxsize=1)  # asked for each N
def _unit_hashes(text: str) -> tuple[np.ndarray, np.ndarray]:
    return unit_hashes([text])


def _windows(text: str, n: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Hashes of the n-grams, the lengths of the units, and how many units an n-gram has."""
    found = units(text)
    n = 2 * n if found.mostly_unspaced else n
    if len(found) <= n:
        return np.zeros(0, np.uint64), found.lengths, n
    return ngram_hashes(*_unit_hashes(text), n)[0], found.lengths, n


def top_ngram(text: str, n: int) -> float:
    """The share of characters (those of units) that are in the commonest n-gram, if it comes twice."""
    hashes, lengths, n = _windows(text, n)
    if not len(hashes):
        return 0.0
    _, firsts, counts = np.unique(hashes, return_index=True, return_counts=True)
    sums = np.concatenate([[0], np.cumsum(lengths)])
    covered = counts * (sums[firsts + n] - sums[firsts])
    return _share(covered[counts > 1].max(initial=0), sums[-1])


def repeated_ngrams(text: str, n: int) -> float:
    """The share of characters (those of units) that are in n-grams that came before; none counts twice."""
    hashes, lengths, n = _windows(text, n)
    if not len(hashes):
        return 0.0
    again = np.ones(len(hashes), bool)
    again[np.unique(hashes, return_index=True)[1]] = False
    edges = np.zeros(len(lengths) + 1, np.int64)
    np.add.at(edges, np.flatnonzero(again), 1)
    np.subtract.at(edges, np.flatnonzero(again) + n, 1)
    return _share(lengths[np.cumsum(edges)[:-1] > 0].sum(), lengths.sum())


def top_ngrams(value: str) -> Function:
    """Drops a text of which `top_ngram`, for one N of `N:SHARE+N:SHARE…`, is above its share."""
    bounds = _sizes(value)
    return lambda text: text if all(top_ngram(text, n) <= bound for n, bound in bounds) else None


def repeated_ngrams_of(value: str) -> Function:
    """Drops a text of which `repeated_ngrams`, for one N of `N:SHARE+N:SHARE…`, is above its share."""
    bounds = _sizes(value)

    def keep(text: str) -> str | None:
        for place, (n, bound) in enumerate(bounds):
            share = repeated_ngrams(text, n)
            if share > bound:
                return None
            if share <= min(bound for _, bound in bounds[place:]):
                break  # longer ones are made of these, and cover no more
        return text

    return keep
