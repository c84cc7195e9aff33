"""How well a short answer agrees with those that are right: SQuAD's figures and, of Chinese answers, CMRC's."""

import collections
import re
import string
from collections.abc import Callable, Sequence
from typing import NamedTuple

from common.scripts import HAN

ARTICLES = re.compile(r"\b(a|an|the)\b")
IDEOGRAPH = re.compile(f"[{HAN}]")
# The characters that CMRC 2018 leaves out, and looks at one by one.
PUNCTUATION = "-:_*^/\\~`+=，。：？！“”；’《》…·、「」（）－～『』"
ENGLISH_OUT = str.maketrans("", "", string.punctuation)
CHINESE_OUT = str.maketrans("", "", PUNCTUATION)


def plain_english(text: str) -> str:
    """In lower case, without punctuation and articles, single spaces (Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1)."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(ENGLISH_OUT)).split())


def plain_chinese(text: str) -> str:
    """In lower case, without punctuation (Cui et al. 2019, arXiv:1810.07366, section 4)."""
    return text.lower().strip().translate(CHINESE_OUT)


def split_chinese(text: str) -> list[str]:
    """Chinese characters one by one, and between them words."""
    return IDEOGRAPH.sub(r" \g<0> ", text).split()


def answer_scores(prediction: str, answers: Sequence[str]) -> dict[str, float]:
    """ "exact_match" (0 or 1) and "f1", each against the answer that agrees best.

    A set of answers with a Chinese character in it is measured as CMRC does: the overlap is the longest run of units that
    both have, where in SQuAD it is a bag of words. No answers, or an empty prediction: only the same on both sides agrees.
    """
    kind = CHINESE if any(map(IDEOGRAPH.search, answers)) else ENGLISH
    found, right = kind.plain(prediction), [kind.plain(answer) for answer in answers or [""]]
    return {"exact_match": float(found in right), "f1": max(_f1(found, answer, kind) for answer in right)}


def _f1(found: str, right: str, kind: "Kind") -> float:
    found, right = kind.split(found), kind.split(right)
    if not (found and right):
        return float(found == right)
    return 2 * kind.overlap(found, right) / (len(found) + len(right))


def common_words(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words both have, each as often as it is in both."""
    return (collections.Counter(one) & collections.Counter(other)).total()


def longest_run(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest stretch that stands in both."""
    longest, before = 0, [0] * (len(other) + 1)  # of stretches that end at each unit of `other`
    for unit in one:
        before = [0] + [before[at] + 1 if unit == each else 0 for at, each in enumerate(other)]
        longest = max(longest, *before)
    return longest


class Kind(NamedTuple):
    plain: Callable[[str], str]  # what must be the same of two answers that match
    split: Callable[[str], list[str]]  # its units
    overlap: Callable[[Sequence[str], Sequence[str]], int]  # how many of these two answers share


ENGLISH = Kind(plain_english, str.split, common_words)
CHINESE = Kind(plain_chinese, split_chinese, longest_run)
