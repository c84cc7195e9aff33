"""A text as words, and the pairs of words that skip-gram learns from (Mikolov et al. 2013, arXiv:1310.4546)."""

import dataclasses
import functools
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from common.errors import UserError, require
from common.files import digest
from data.cleaning import Cleaner
from data.config import DataConfig, require_defaults
from data.prepared import is_prepared
from data.skipped import Skipped
from data.sources import read_documents
from data.words import split_words

VOCABULARY = "vocabulary.txt"
NOISE_POWER = 0.75  # of the counts, for negatives (section 2.2)


@dataclasses.dataclass(frozen=True)
class WordsConfig:
    """Which words and pairs of them; `configs/base.py` says what each field means."""

    min_count: int = 5
    window: int = 5
    negatives: int = 5
    subsample: float = 1e-3

    def __post_init__(self):
        for name in ("min_count", "window", "negatives"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)} must be at least 1")
        require(0 < self.subsample <= 1, f"subsample={self.subsample} must be above 0, and at most 1, which keeps all")


@dataclasses.dataclass(frozen=True, eq=False)
class WordText:
    """The frequent words of a text, one after the other; the others are left out.

    Attributes:
        words: the vocabulary, the most frequent first.
        counts: int64 [V], how often each occurs.
        ids: int32 [N], the text.
        lines: int32 [N], the number of the line that each word is in: a window does not go beyond it.
    """

    words: tuple[str, ...]
    counts: np.ndarray
    ids: np.ndarray
    lines: np.ndarray

    @property
    def files(self) -> dict[str, bytes]:
        """What is kept of it in a run's folder: the vocabulary, `word count` on each line, as Word2Vec keeps it."""
        lines = (f"{word} {count}\n" for word, count in zip(self.words, self.counts, strict=True))
        return {VOCABULARY: "".join(lines).encode()}

    @property
    def fingerprint(self) -> str:
        """A hash of the words and of the text."""
        return digest(*self.words, self.ids.tobytes(), self.lines.tobytes())


def texts_for_words(data: DataConfig, skipped: Skipped) -> Iterator[str]:
    """The texts of `data.train`, read and cleaned as for a network, as a stream; a setting that has no say here is refused.

    Args:
        skipped: takes what is broken, which is then left out, if it may be.

    Raises:
        ConfigError: a prepared folder, which holds tokens; copies to leave out, or variants to add.
        UserError: what cannot be read, with file and line.
    """
    prepared = next(filter(is_prepared, data.train), None)
    require(
        prepared is None, f"data.train: {prepared} holds tokens, not words; name the sources that it was prepared from"
    )
    why = "does not change the text of word vectors; leave it at"
    require_defaults(data, ("dedup", "augment", "subword_sampling"), why)
    documents = read_documents(data.train, data.text_field, skipped)
    return (document.text for document in Cleaner(data.clean).clean(documents))


def read_words(texts: Iterable[str], min_count: int) -> WordText:
    """The words of `texts`, in lower case, that occur at least `min_count` times.

    Raises:
        UserError: fewer than two do; or there is Chinese, and jieba is not installed.
    """
    first_ids: dict[str, int] = {}  # in the order that they are met in
    ids, lines = array("i"), array("i")
    number = 0
    for text in texts:
        for line in text.split("\n"):
            number += 1
            for start, end in split_words(line):
                ids.append(first_ids.setdefault(line[start:end].lower(), len(first_ids)))
                lines.append(number)
    met = list(first_ids)
    counts = Counter(ids)
    kept = sorted(
        (first for first, count in counts.items() if count >= min_count), key=lambda first: (-counts[first], met[first])
    )
    if len(kept) < 2:
        raise UserError(
            f"{len(kept)} of {len(met)} words occur words.min_count={min_count} times; give more text, or a lower "
            "words.min_count"
        )
    new_ids = np.full(len(met), -1, np.int32)
    new_ids[kept] = np.arange(len(kept))
    all_ids = new_ids[np.frombuffer(ids, np.int32)]
    known = all_ids >= 0
    return WordText(
        tuple(met[first] for first in kept),
        np.array([counts[first] for first in kept]),
        all_ids[known],
        np.frombuffer(lines, np.int32)[known],
    )


@dataclasses.dataclass(frozen=True)
class PairBatches:
    """Pairs of words that stand near each other: what step n sees is a function of (seed, n), so resuming needs no more."""

    text: WordText
    config: WordsConfig
    batch_size: int
    seed: int

    @functools.cached_property
    def keep(self) -> np.ndarray:
        """The chance of each word to be kept, float64 [V] (equation 5): of the frequent ones, few are."""
        share = self.text.counts / self.text.counts.sum()
        return np.minimum(1, np.sqrt(self.config.subsample / share))

    @functools.cached_property
    def steps_per_epoch(self) -> int:
        """Steps after which the words that are kept are drawn anew: in them come about as many pairs as there are."""
        return max(1, round((self.keep * self.text.counts).sum() * (self.config.window + 1) / self.batch_size))

    @functools.cached_property
    def _noise(self) -> np.ndarray:
        return np.cumsum(self.text.counts**NOISE_POWER)

    def __call__(self, step: int, rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """The batch of `step`, or the `rows` of it that this process needs, int32.

        `words` and `contexts` [B], pairs of one line at most `words.window` kept words apart, the nearer the likelier, as from
        windows whose size is drawn from 1 to that; `negatives` [B, K], words drawn by their count to the power of 0.75.

        Raises:
            UserError: no two kept words are in one line.
        """
        ids, lines = _kept(self, step // self.steps_per_epoch)
        generator = np.random.default_rng([self.seed, 1, step])
        window = self.config.window
        nearer = np.cumsum(np.arange(window, 0, -1))  # distance d comes up in window - d + 1 of the window's sizes
        words, contexts = np.empty((2, 0), np.int32)
        for _ in range(1000 if len(ids) else 0):
            at = generator.integers(len(ids), size=self.batch_size)
            distance = 1 + np.searchsorted(nearer, generator.integers(nearer[-1], size=self.batch_size), side="right")
            other = at + distance * generator.choice((-1, 1), self.batch_size)
            inside = (other >= 0) & (other < len(ids))
            at, other = at[inside], other[inside]
            together = lines[at] == lines[other]
            words, contexts = np.append(words, ids[at[together]]), np.append(contexts, ids[other[together]])
            if len(words) >= self.batch_size:
                break
        else:
            raise UserError("hardly any two words are in one line; give longer lines, or a lower words.min_count")
        drawn = generator.random((self.batch_size, self.config.negatives)) * self._noise[-1]
        negatives = np.searchsorted(self._noise, drawn, side="right").astype(np.int32)
        batch = {"words": words[: self.batch_size], "contexts": contexts[: self.batch_size], "negatives": negatives}
        return {name: array[rows] for name, array in batch.items()}


@functools.lru_cache(maxsize=2)
def _kept(batches: PairBatches, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """The ids and lines of the words that are kept in an epoch."""
    text = batches.text
    kept = np.random.default_rng([batches.seed, 0, epoch]).random(len(text.ids)) < batches.keep[text.ids]
    return text.ids[kept], text.lines[kept]
