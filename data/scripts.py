"""The units that text is counted in: words, and single characters of scripts that are written without spaces."""

import dataclasses
import functools
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

from common.scripts import SCRIPTS

END_OF_LETTERS = 0x323B0  # no letter has a higher code point

# What a character can be to a unit. Marks count as letters, so that the words of Indic scripts stay whole.
OTHER, NUMBER, LETTER, UNSPACED = range(4)


@functools.cache
def _classes() -> np.ndarray:
    """The class of each code point: uint8 [0x110000]."""
    by_category = {"L": LETTER, "M": LETTER, "N": NUMBER}
    classes = np.zeros(0x110000, np.uint8)
    classes[:END_OF_LETTERS] = [
        by_category.get(unicodedata.category(chr(point))[0], OTHER) for point in range(END_OF_LETTERS)
    ]
    for first, last in (span for spans in SCRIPTS.values() for span in spans):
        classes[first : last + 1] = UNSPACED
    return classes


def code_points(text: str) -> np.ndarray:
    """uint32 [characters]."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def character_classes(text: str) -> np.ndarray:
    """OTHER, NUMBER, LETTER or UNSPACED for each character: uint8 [characters]."""
    return _classes()[code_points(text)]


def is_in(script: str, points: np.ndarray) -> np.ndarray:
    """Which code points belong to a script of SCRIPTS: bool, of the shape of `points`."""
    return np.logical_or.reduce([(points >= first) & (points <= last) for first, last in SCRIPTS[script]])


@dataclasses.dataclass(frozen=True)
class Units:
    """The words of a text, and its single characters where a script has no spaces, in order.

    Attributes:
        starts, ends: int64 [units]: positions in the text, in characters.
        spaced: bool [units]: a word of a script with spaces.
    """

    starts: np.ndarray
    ends: np.ndarray
    spaced: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> np.ndarray:
        """int64 [units]: in characters."""
        return self.ends - self.starts

    @property
    def mostly_unspaced(self) -> bool:
        return bool(2 * np.count_nonzero(self.spaced) < len(self))


def find_units(classes: np.ndarray) -> Units:
    """The units of a text of which the `character_classes` are given."""
    is_word = np.zeros(len(classes) + 2, bool)  # one further on either side
    is_word[1:-1] = (classes == NUMBER) | (classes == LETTER)
    begins, stops = is_word[1:] & ~is_word[:-1], is_word[:-1] & ~is_word[1:]
    starts = np.flatnonzero(begins[:-1] | (classes == UNSPACED))
    spaced = begins[starts]
    ends = starts + 1
    ends[spaced] = np.flatnonzero(stops)
    return Units(starts, ends, spaced)


@functools.lru_cache(maxsize=2)
def units(text: str) -> Units:
    """The units of a text; several questions about one text find them once."""
    return find_units(character_classes(text))


# Hashing: a polynomial in an odd number, modulo 2**64, over any window of a sequence at once.
BASE = 0x9E3779B97F4A7C15
INVERSE = pow(BASE, -1, 1 << 64)


def mix(values: np.ndarray) -> np.ndarray:
    """Scrambles uint64 one to one: the finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@functools.lru_cache(maxsize=4)
def _powers(base: int, bits: int) -> np.ndarray:
    """`base` to the power of 0, 1, … 2**bits - 1, modulo 2**64."""
    factors = np.full(1 << bits, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)


def window_hashes(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """A hash of each `values[start:end]` that depends on nothing else; the same on every machine and in every run.

    Args:
        values: unsigned [values], none of them 0.
        starts, ends: int64 [windows].

    Returns:
        uint64 [windows].
    """
    bits = max(12, len(values).bit_length())
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * _powers(BASE, bits)[: len(values)], out=sums[1:])
    return mix((sums[ends] - sums[starts]) * _powers(INVERSE, bits)[starts])


def unit_hashes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """A hash of each unit of the texts, one text after the other.

    Returns:
        uint64 [units], and int64 [texts + 1]: where each text's units begin, and the end.
    """
    joined = "\n".join(texts)
    points = code_points(joined)
    found = find_units(_classes()[points])
    lengths = np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts))
    bounds = np.searchsorted(found.starts, np.concatenate([[0], np.cumsum(lengths)]))
    return window_hashes(points + np.uint32(1), found.starts, found.ends), bounds


def ngram_hashes(hashes: np.ndarray, bounds: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A hash of every `n` neighbours in each text; of a text with fewer units, of all that it has.

    Args:
        hashes, bounds: as `unit_hashes` gives them.

    Returns:
        uint64 [n-grams], and int64 [texts + 1]: where each text's begin, and the end.
    """
    units_of = np.diff(bounds)
    counts = np.where(units_of == 0, 0, np.maximum(units_of - n + 1, 1))
    gram_bounds = np.concatenate([[0], np.cumsum(counts)])
    starts = np.arange(gram_bounds[-1]) + np.repeat(bounds[:-1] - gram_bounds[:-1], counts)
    ends = np.minimum(starts + n, np.repeat(bounds[1:], counts))
    return window_hashes(hashes | np.uint64(1), starts, ends), gram_bounds


def words(text: str) -> Iterable[str]:
    """The units as strings."""
    found = units(text)
    return (text[start:end] for start, end in zip(found.starts.tolist(), found.ends.tolist(), strict=True))
