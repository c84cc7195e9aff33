"""Exact and near copies: one document of each cluster stays.

`sign` looks at each text alone, so it runs in any partition; `find_duplicates` looks at what it gave for all of them. Near
copies are found by MinHash (Broder 1997) of n-grams, with bands of rows as the hash table (Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3), of which only 8 bits each are kept (b-bit minwise hashing; Li and König 2010).
"""

import dataclasses
import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from common.errors import require
from data.groups import in_groups
from data.scripts import mix, ngram_hashes, unit_hashes

NUM_HASHES = 128
NGRAM = 5  # words, or characters of scripts without spaces
RECALL = 0.99  # at least this share of the pairs at the threshold shares a band

PIECE = 1 << 17  # characters: a longer text is looked at in pieces of this length, so that a huge one fits in memory
BATCH = 1 << 17  # characters that are hashed at a time
PAIRS = 1 << 16  # pairs that are compared at a time


@dataclasses.dataclass(frozen=True)
class Signatures:
    """What is known of each of N documents: 152 bytes for each.

    Attributes:
        content: uint64 [N, 2]: BLAKE2b, 128 bits, of the normalised text. Equal ones are exact copies.
        text: uint64 [N]: BLAKE2b, 64 bits, of the text as it is.
        minhash: uint8 [N, NUM_HASHES].
    """

    content: np.ndarray
    text: np.ndarray
    minhash: np.ndarray

    def __len__(self) -> int:
        return len(self.text)


def sign(texts: Iterable[str], ngram: int = NGRAM, with_minhash: bool = True) -> Signatures:
    """The signatures of texts; each depends on its text and `ngram` alone.

    Case, width of characters (NFKC) and white space make no difference; to MinHash, punctuation does not either. Without
    it, `minhash` is [N, 0], which is enough to find exact copies, and several times as fast.
    """
    require(ngram >= 1, f"ngram={ngram} must be at least 1")
    contents, hashes = [], []
    minhash = [np.zeros((0, NUM_HASHES if with_minhash else 0), np.uint8)]
    for batch in in_groups(texts, lambda text: len(text) + 1, BATCH):
        normalised = [normalise(text) for text in batch]
        content = np.array([_blake2b(text, 16) for text in normalised], "V16").view(np.uint64).reshape(-1, 2)
        contents.append(content)
        hashes.append(np.array([_blake2b(text, 8) for text in batch], "V8").view(np.uint64))
        if with_minhash:
            minhash.append(_minhash(normalised, content[:, 0], ngram))
        else:
            minhash.append(np.zeros((len(batch), 0), np.uint8))
    return Signatures(
        np.concatenate([np.zeros((0, 2), np.uint64), *contents]),
        np.concatenate([np.zeros(0, np.uint64), *hashes]),
        np.concatenate(minhash),
    )


def normalise(text: str) -> str:
    """What exact copies have in common: NFKC, without case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _blake2b(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


def _minhash(texts: Sequence[str], fallbacks: np.ndarray, ngram: int) -> np.ndarray:
    """uint8 [texts, NUM_HASHES]; `fallbacks`, uint64 [texts], stand for the n-gram of a text that has no units."""
    smallest = np.full((len(texts), NUM_HASHES), 0xFFFFFFFF, np.uint32)
    for numbers, pieces in _pieces(texts):
        grams, bounds = ngram_hashes(*unit_hashes(pieces), ngram)
        filled = np.flatnonzero(np.diff(bounds))  # reduceat has no empty segments
        if len(filled):
            owners, starts = numbers[filled], bounds[filled]
            smallest[owners] = np.minimum(smallest[owners], _smallest(grams, starts))  # each owner is there once
    empty = np.flatnonzero((smallest == 0xFFFFFFFF).all(axis=1))
    if len(empty):
        smallest[empty] = _smallest(mix(fallbacks[empty]), np.arange(len(empty)))
    return _top_byte(smallest)


def _pieces(texts: Sequence[str]) -> Iterator[tuple[np.ndarray, list[str]]]:
    """The texts cut into pieces, and the number of the text that each is from: a batch of short ones, or one piece."""
    short = [number for number, text in enumerate(texts) if len(text) <= PIECE]
    yield np.array(short, np.int64), [texts[number] for number in short]
    for number, text in enumerate(texts):
        if len(text) > PIECE:
            for start in range(0, len(text), PIECE):
                yield np.array([number]), [text[start : start + PIECE]]


# Hash number k of an n-gram x is `x * MULTIPLIERS[k] + OFFSETS[k]` modulo 2**32.
_RANDOM = (mix(np.arange(1, 2 * NUM_HASHES + 1, dtype=np.uint64)) >> np.uint64(32)).astype(np.uint32)
MULTIPLIERS, OFFSETS = _RANDOM[:NUM_HASHES] | np.uint32(1), _RANDOM[NUM_HASHES:]


def _smallest(grams: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The least value of each hash in each segment of n-grams: uint32 [segments, NUM_HASHES]."""
    grams = (grams >> np.uint64(32)).astype(np.uint32)
    smallest = np.empty((NUM_HASHES, len(starts)), np.uint32)
    values = np.empty_like(grams)
    for row, multiplier, offset in zip(smallest, MULTIPLIERS, OFFSETS, strict=True):
        np.multiply(grams, multiplier, out=values)
        np.add(values, offset, out=values)
        np.minimum.reduceat(values, starts, out=row)
    return smallest.T


def _top_byte(values: np.ndarray) -> np.ndarray:
    """8 bits of each uint32 that depend on all of them (the finalizer of MurmurHash3)."""
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return (values >> np.uint32(24)).astype(np.uint8)


def similarity(minhash_a: np.ndarray, minhash_b: np.ndarray) -> np.ndarray:
    """The estimated Jaccard similarity of n-grams: float64 [...] from uint8 [..., NUM_HASHES].

    Two different values agree in 8 bits once in 256 times, which is taken off. The standard error at similarity J is
    about sqrt(J (1 - J) / NUM_HASHES), 0.035 at 0.8.
    """
    agreeing = np.count_nonzero(minhash_a == minhash_b, axis=-1) / NUM_HASHES
    return (agreeing - 1 / 256) / (1 - 1 / 256)


def find_duplicates(
    signatures: Signatures, threshold: float | None = 0.8, held_out: np.ndarray | None = None
) -> np.ndarray:
    """Which document stays for each, int64 [N]: itself, or a copy of it.

    Of a cluster that is the one that is held out, if any, and then the one with the lowest `content`.
    A cluster is what similar pairs connect, so two of its ends may be less similar than the threshold. Which text
    stays does not depend on the order of the documents; of documents equal to the letter, the first does. Many documents
    that are alike, but not enough, cost time: pairs in one bucket are all compared.

    Args:
        threshold: the estimated Jaccard similarity of n-grams from which documents are near copies, above 0 and at
            most 1; None leaves near copies in.
        held_out: bool [N]: documents of validation, say. Of a cluster with one, no other document stays.

    Raises:
        ConfigError: a threshold that is none.
    """
    require(threshold is None or 0 < threshold <= 1, f"threshold={threshold} must be above 0 and at most 1")
    total = len(signatures)
    in_training = np.zeros(total, bool) if held_out is None else ~np.asarray(held_out, bool)
    by_content = np.lexsort((signatures.text, in_training, signatures.content[:, 1], signatures.content[:, 0]))
    content = signatures.content[by_content]
    is_first = np.ones(total, bool)
    is_first[1:] = (content[1:] != content[:-1]).any(axis=1)
    firsts, kept_copy = by_content[is_first], np.empty(total, np.int64)
    kept_copy[by_content] = firsts[np.cumsum(is_first) - 1]
    if threshold is not None:
        distinct = firsts[np.argsort(in_training[firsts], kind="stable")]  # of a cluster, the first in here stays
        stays = np.arange(total)
        stays[distinct] = distinct[_clusters(signatures.minhash, distinct, threshold)]
        kept_copy = stays[kept_copy]
    return kept_copy


def rows_for(threshold: float) -> int:
    """How many rows a band has: the most (each makes for fewer pairs to compare) that miss at most 1 - RECALL of the
    pairs at the threshold; with b bands of r rows a pair of similarity s is missed with probability (1 - s^r)^b."""
    missed = {rows: (1 - threshold**rows) ** (NUM_HASHES // rows) for rows in range(1, 9)}
    return max((rows for rows in missed if missed[rows] <= 1 - RECALL), default=1)


def _clusters(minhash: np.ndarray, documents: np.ndarray, threshold: float) -> np.ndarray:
    """The lowest position in `documents` that similar pairs connect to each position: int64 [documents]."""
    labels = np.arange(len(documents))
    rows = rows_for(threshold)
    for start in range(0, NUM_HASHES - rows + 1, rows):
        band = np.zeros((len(documents), 8), np.uint8)
        band[:, :rows] = minhash[documents, start : start + rows]
        keys = band.view(np.uint64)[:, 0]
        members = np.argsort(keys, kind="stable")
        keys = keys[members]
        distance = 1  # between the two of a pair, in a bucket of equal keys
        while len(members):
            # Buckets of which the documents are connected, or that have no two so far apart, are done with.
            starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
            sizes = np.diff(starts, append=len(keys))
            found = labels[members]
            mixed = np.minimum.reduceat(found, starts) != np.maximum.reduceat(found, starts)
            open_ones = np.repeat(mixed & (sizes > distance), sizes)
            members, keys = members[open_ones], keys[open_ones]
            first = np.flatnonzero(keys[distance:] == keys[:-distance])
            a, b = members[first], members[first + distance]
            apart = labels[a] != labels[b]
            a, b = a[apart], b[apart]
            for at in range(0, len(a), PAIRS):
                left, right = a[at : at + PAIRS], b[at : at + PAIRS]
                near = similarity(minhash[documents[left]], minhash[documents[right]]) >= threshold
                _connect(labels, left[near], right[near])
            distance += 1
    return labels


def _connect(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """Gives all that the pairs (a, b) connect the lowest label among them, in place.

    A label is the position of a document with the same label, so that the labels are a forest of pointers.
    """
    while True:
        low, high = np.minimum(labels[a], labels[b]), np.maximum(labels[a], labels[b])
        if np.array_equal(low, high):
            return
        np.minimum.at(labels, high, low)
        while not np.array_equal(labels, further := labels[labels]):
            labels[:] = further
