"""Words of a text: letters between spaces and punctuation; of Chinese, what jieba takes for words."""

import functools
import re

from common.packages import import_package
from common.scripts import HAN

IDEOGRAPHS = re.compile(f"[{HAN}]+")
RUN = re.compile(f"[{HAN}]+|[^\\W{HAN}]+(?:['’][^\\W{HAN}]+)*")
LABEL = re.compile(r"^[^\S\n]*\w{1,20}[:：]", re.MULTILINE)  # at the beginning of a line, as `en:` or `答：`
NO_WORD = re.compile(r"[\d_]")  # a number or a name in a program


def split_words(text: str) -> list[tuple[int, int]]:
    """Where the words of `text` are, as (start, end) in characters, from left to right.

    What has a digit or an underscore is no word, nor is punctuation, nor a label that begins a line, as `en:`. An apostrophe
    within letters belongs to the word.

    Raises:
        UserError: there is Chinese in it, and jieba is not installed.
    """
    words = []
    for run in RUN.finditer(LABEL.sub(lambda label: " " * len(label[0]), text)):
        if is_chinese(run[0]):
            start = run.start()
            for word in _segmenter().cut(run[0]):
                words.append((start, start + len(word)))
                start += len(word)
        elif not NO_WORD.search(run[0]):
            words.append(run.span())
    return words


def is_chinese(word: str) -> bool:
    """Whether it is written in ideographs alone."""
    return IDEOGRAPHS.fullmatch(word) is not None


def frequency(word: str) -> int:
    """How often a Chinese word occurs in the text that jieba's dictionary was counted on (some 60 million words)."""
    return _segmenter().FREQ.get(word, 0)


@functools.cache
def _segmenter():
    """jieba's segmenter, its dictionary read here, since its own way keeps a copy in /tmp and reports on stderr."""
    segmenter = import_package("jieba", "cutting Chinese into words").Tokenizer()
    segmenter.FREQ, segmenter.total = segmenter.gen_pfdict(segmenter.get_dict_file())
    segmenter.initialized = True
    return segmenter
