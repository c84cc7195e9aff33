"""Subword regularisation: the same text in other pieces of its tokenizer, drawn at random, for training.

From a unigram model by its probabilities (Kudo 2018, arXiv:1804.10959, section 3), from a BPE by leaving merges out
(BPE-dropout, Provilkov et al. 2020, arXiv:1910.13267). SentencePiece's `enable_sampling` draws from the same distributions,
but a seed does not bring the same pieces back (in version 0.2.3 each process draws others); here they are a function of the
seed, the number and the text.
"""

import dataclasses
import hashlib
import heapq
import itertools
import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from common.errors import ConfigError
from data.model_proto import NORMAL, read_model_type, read_pieces
from data.tokenizer import SPACE_MARK, Tokenizer

WORD = re.compile(f"{SPACE_MARK}*[^{SPACE_MARK}]+|{SPACE_MARK}+")  # with the spaces before it
LEAST, MOST = 1e-100, 1e100  # beyond them sums of probabilities are scaled


@dataclasses.dataclass(frozen=True)
class SubwordSampling:
    """How text to train on is cut: each text `copies` times, with `alpha` as `make_draw` says."""

    alpha: float
    copies: int
    seed: int


def sample_all(
    texts: Sequence[str], encoded: Iterable[Sequence[int]], tokenizer: Tokenizer, sampling: SubwordSampling
) -> Iterator[list[int]]:
    """Token ids of each text, `copies` times in turn; `encoded` are its ids as the tokenizer gives them.

    Raises:
        ConfigError: the tokenizer has but one way to write a text.
    """
    draw = make_draw(tokenizer, sampling.alpha)
    for text, tokens in zip(texts, encoded, strict=True):
        for number in range(sampling.copies):
            key = hashlib.blake2b(f"{sampling.seed} {number} {text}".encode(), digest_size=16)
            yield draw(tokens, random.Random(key.digest()))  # its `random` is the same in all versions of Python


Draw = Callable[[Sequence[int], random.Random], list[int]]


def make_draw(tokenizer: Tokenizer, alpha: float) -> Draw:
    """(token ids, generator) -> ids of the same text in other pieces.

    Of a unigram model a text's pieces are drawn with a probability in proportion to their product to the power of `alpha`: the
    lower, the more unusual. Of a BPE `alpha` is the share of the merges that are left out: the higher, the more unusual.
    Special tokens, bytes and what else is no plain piece stay as they are.

    Raises:
        ConfigError: it is neither of the two.
    """
    kind = read_model_type(tokenizer.model) if isinstance(tokenizer, Tokenizer) else "published"
    pieces = read_pieces(tokenizer.model) if kind in KINDS else []
    plain = {piece.name: token for token, piece in enumerate(pieces) if piece.kind == NORMAL}
    if max(map(len, plain), default=1) == 1:
        raise ConfigError(
            "data.subword_sampling cuts text in other ways, and this tokenizer knows only one; "
            "it takes tokenizer.model_type=unigram or bpe, or a published SentencePiece model: set data.subword_sampling=0.0"
        )
    cut = KINDS[kind]({name: pieces[token].score for name, token in plain.items()}, alpha)
    has_words = not any(re.search(f"[^{SPACE_MARK}]{SPACE_MARK}", name) for name in plain)  # no piece is of two words

    def draw(tokens: Sequence[int], generator: random.Random) -> list[int]:
        result = []
        for is_plain, run in itertools.groupby(tokens, lambda token: pieces[token].kind == NORMAL):
            if not is_plain:
                result += run
                continue
            text = "".join(pieces[token].name for token in run)
            for word in WORD.findall(text) if has_words else [text]:
                result += [plain[name] for name in cut(word, generator)]
        return result

    return draw


Cut = Callable[[str, random.Random], list[str]]  # a word in pieces


def unigram(scores: Mapping[str, float], alpha: float) -> Cut:
    """Forward filtering and backward sampling (Kudo's l = infinity), from log-probabilities of pieces."""
    weights = {name: math.exp(alpha * score) for name, score in scores.items()}
    by_last: dict[str, set[int]] = {}
    for name in scores:
        by_last.setdefault(name[-1], set()).add(len(name))
    lengths = {last: sorted(found) for last, found in by_last.items()}
    longest = max(map(len, scores))

    def cut(word: str, generator: random.Random) -> list[str]:
        sums, starts = [1.0], [0]  # of all ways to cut what is before each place; where the last piece before it starts
        for end in range(1, len(word) + 1):
            total, ways = 0.0, [(0.0, 0)]
            for length in lengths.get(word[end - 1], ()):
                if length > end:
                    break
                weight = weights.get(word[end - length : end])
                if weight is not None:
                    total += sums[end - length] * weight
                    ways.append((total, end - length))
            drawn = generator.random() * total
            starts.append(next((start for below, start in ways if drawn < below), ways[-1][1]))
            sums.append(total)
            if total and not LEAST < total < MOST:
                for place in range(max(0, end - longest), end + 1):
                    sums[place] /= total
        pieces, end = [], len(word)
        while end:
            pieces.append(word[starts[end] : end])
            end = starts[end]
        return pieces[::-1]

    return cut


def bpe(scores: Mapping[str, float], alpha: float) -> Cut:
    """The pair with the best score is joined first; each that comes up is left out with the probability `alpha`."""
    if not all(character in scores for name in scores for character in name):
        raise ConfigError(
            "data.subword_sampling: characters of this BPE are no pieces of it; set data.subword_sampling=0.0"
        )

    def cut(word: str, generator: random.Random) -> list[str]:
        parts = [*word]  # each where it begins; nothing where one was joined to what is before it
        size = len(parts)
        after, before = list(range(1, size + 1)), list(range(-1, size - 1))
        pairs: list[tuple[float, int, int, str]] = []

        def offer(left: int, right: int) -> None:
            if left >= 0 and right < size:
                joined = parts[left] + parts[right]
                if joined in scores:
                    heapq.heappush(pairs, (-scores[joined], left, right, joined))

        for left in range(size - 1):
            offer(left, left + 1)
        while pairs:
            _, left, right, joined = heapq.heappop(pairs)
            is_there = parts[left] and parts[right] and len(parts[left]) + len(parts[right]) == len(joined)
            if not is_there or generator.random() < alpha:
                continue
            parts[left], parts[right] = joined, ""
            after[left] = after[right]
            if after[left] < size:
                before[after[left]] = left
            offer(before[left], left)
            offer(left, after[left])
        return [part for part in parts if part]

    return cut


KINDS = {"unigram": unigram, "bpe": bpe}
