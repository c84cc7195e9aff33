"""Variants of a text: words replaced by synonyms, put in, taken out, exchanged (EDA, Wei and Zou 2019, arXiv:1901.11196).

A spec names an augmentation and the share of the words that it changes, as "synonyms=0.1". What stands between words stays:
spaces, punctuation, numbers; and so does a label that begins a line, as `en:`. Words within a span (an answer, an entity) are
left alone, and the spans move along with the text.
"""

import bisect
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from common.errors import ConfigError, choose, require
from data.synonyms import synonyms_of
from data.words import is_chinese, split_words

Span = tuple[int, int]  # start and end of a part of a text, in characters
Synonyms = Callable[[str], Sequence[str]]  # of a word in lower case; none where there is none


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a text: a word that may be changed, the rest that may not, or, of no length, where a span starts or ends."""

    text: str
    kind: str  # word | rest | start | end
    span: int = -1


Edit = Callable[[list[Piece], float, np.random.Generator, Synonyms], list[Piece]]


def augment(text: str, specs: Sequence[str], generator: np.random.Generator, synonyms: Synonyms = synonyms_of) -> str:
    """A variant of `text`, by each of `specs` in turn; the same text, specs and state of the generator give the same one.

    Raises:
        ConfigError: a spec that is none.
        UserError: a package that this needs is not installed.
    """
    return augment_with_spans(text, (), specs, generator, synonyms)[0]


def augment_with_spans(
    text: str,
    spans: Sequence[Span],
    specs: Sequence[str],
    generator: np.random.Generator,
    synonyms: Synonyms = synonyms_of,
) -> tuple[str, list[Span]]:
    """`augment`, and where `spans` are in the variant, in their order: each holds the same characters as before.

    Spans may touch, overlap, and lie in one another.

    Raises:
        ValueError: a span is empty, or not within the text.
    """
    edits = parse_specs(specs)
    pieces = cut(text, spans)
    for edit, share in edits:
        pieces = edit(pieces, share, generator, synonyms)
    return join(pieces, len(spans))


def augment_texts(
    texts: Iterable[str], specs: Sequence[str], copies: int, seed: int, synonyms: Synonyms = synonyms_of
) -> Iterator[str]:
    """Each text, followed by `copies` variants of it; without specs, the texts alone.

    A variant is a function of the seed, its number and the text: it does not change when other texts come or go. Only for
    text to train on: what validates must be as it is.
    """
    for text in texts:
        yield text
        for number in range(copies if specs else 0):
            words = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), np.uint32)
            generator = np.random.default_rng([seed, number, *words])
            yield augment(text, specs, generator, synonyms)


def parse_specs(specs: Sequence[str]) -> list[tuple[Edit, float]]:
    """What each spec names, and its share.

    Raises:
        ConfigError: a spec that is none; its message begins with the name of the field, `augment`.
    """
    edits = []
    for spec in specs:
        name, _, share = spec.partition("=")
        edit = choose(AUGMENTATIONS, name.strip(), "augment")
        try:
            value = float(share)
        except ValueError:
            raise ConfigError(f"augment={spec!r} has no share; write {name}=0.1 for one word in ten") from None
        require(0 <= value <= 1, f"augment={spec!r}: a share of the words must be in [0, 1]")
        edits.append((edit, value))
    return edits


def cut(text: str, spans: Sequence[Span]) -> list[Piece]:
    """`text` in pieces; a word that a span touches is no word here."""
    for start, end in spans:
        if not 0 <= start < end <= len(text):
            raise ValueError(f"({start}, {end}) is no span of a text of {len(text)} characters")
    words = {
        (start, end)
        for start, end in split_words(text)
        if not any(start < span_end and span_start < end for span_start, span_end in spans)
    }
    places = sorted({0, len(text)}.union(*words, *spans))
    pieces = []
    for place, following in zip(places, [*places[1:], len(text)], strict=True):
        pieces += [Piece("", "end", number) for number, (_, end) in enumerate(spans) if end == place]
        pieces += [Piece("", "start", number) for number, (start, _) in enumerate(spans) if start == place]
        pieces.append(Piece(text[place:following], "word" if (place, following) in words else "rest"))
    return pieces


def join(pieces: Sequence[Piece], spans: int) -> tuple[str, list[Span]]:
    """The text of `pieces`, and where its spans are, of which there are `spans`."""
    places: dict[str, list[int]] = {"start": [0] * spans, "end": [0] * spans}
    length = 0
    for piece in pieces:
        length += len(piece.text)
        if piece.kind in places:
            places[piece.kind][piece.span] = length
    return "".join(piece.text for piece in pieces), list(zip(places["start"], places["end"], strict=True))


def replace_synonyms(
    pieces: list[Piece], share: float, generator: np.random.Generator, synonyms: Synonyms
) -> list[Piece]:
    """A share of the words, of those that have synonyms, replaced by one of them, in the case of the word."""
    words = _words(pieces)
    changed = dict(_with_synonyms(pieces, _draw_count(share * len(words), generator), generator, synonyms))
    return [
        dataclasses.replace(piece, text=_in_case_of(changed[at], piece.text)) if at in changed else piece
        for at, piece in enumerate(pieces)
    ]


def insert_synonyms(
    pieces: list[Piece], share: float, generator: np.random.Generator, synonyms: Synonyms
) -> list[Piece]:
    """Synonyms of a share of the words put in, each after any word of its language."""
    words = _words(pieces)
    after: dict[int, list[str]] = {}
    count = _draw_count(share * len(words), generator)
    for source, synonym in _with_synonyms(pieces, count, generator, synonyms):
        chinese = is_chinese(pieces[source].text)
        place = generator.choice([at for at in words if is_chinese(pieces[at].text) == chinese])
        after.setdefault(int(place), []).append(synonym)
    result = []
    for at, piece in enumerate(pieces):
        result.append(piece)
        for word in after.get(at, ()):
            result += [] if is_chinese(word) else [Piece(" ", "rest")]
            result.append(Piece(word, "word"))
    return result


def delete_words(pieces: list[Piece], share: float, generator: np.random.Generator, synonyms: Synonyms) -> list[Piece]:
    """A share of the words taken out, each with a space beside it unless it is Chinese; one word always stays."""
    words = _words(pieces)
    count = min(_draw_count(share * len(words), generator), len(words) - 1)
    if count < 1:
        return pieces
    pieces = list(pieces)
    for at in sorted(generator.choice(words, count, replace=False), reverse=True):
        start = at - 1 if at and pieces[at - 1].kind == "rest" else at
        end = at + 2 if pieces[at + 1 : at + 2] and pieces[at + 1].kind == "rest" else at + 1
        before, after = ("".join(piece.text for piece in part) for part in (pieces[start:at], pieces[at + 1 : end]))
        if not is_chinese(pieces[at].text):
            before, after = (before[:-1], after) if before.endswith(" ") else (before, after.removeprefix(" "))
        pieces[start:end] = [Piece(before + after, "rest")]
    return pieces


def swap_words(pieces: list[Piece], share: float, generator: np.random.Generator, synonyms: Synonyms) -> list[Piece]:
    """A share of the words exchanged in pairs, each with another word of its language in its line."""
    words = _words(pieces)
    breaks = [at for at, piece in enumerate(pieces) if "\n" in piece.text]
    group = {at: (bisect.bisect(breaks, at), is_chinese(pieces[at].text)) for at in words}
    left = _draw_count(share * len(words) / 2, generator)
    pieces, free = list(pieces), set(words)
    for first in generator.permutation(words).tolist():
        others = [at for at in free if group[at] == group[first] and pieces[at].text != pieces[first].text]
        if left and first in free and others:
            second = int(generator.choice(sorted(others)))
            pieces[first], pieces[second] = pieces[second], pieces[first]
            free -= {first, second}
            left -= 1
    return pieces


AUGMENTATIONS: dict[str, Edit] = {
    "synonyms": replace_synonyms,
    "insert": insert_synonyms,
    "delete": delete_words,
    "swap": swap_words,
}


def _words(pieces: Sequence[Piece]) -> list[int]:
    return [at for at, piece in enumerate(pieces) if piece.kind == "word"]


def _draw_count(expected: float, generator: np.random.Generator) -> int:
    """A whole number whose mean is `expected`, next to it: so short texts are changed in their share, too."""
    return int(expected + generator.random())


def _with_synonyms(
    pieces: Sequence[Piece], count: int, generator: np.random.Generator, synonyms: Synonyms
) -> Iterator[tuple[int, str]]:
    """`count` words at random, fewer where fewer have synonyms: where each stands, and a synonym of it."""
    for at in generator.permutation(_words(pieces)).tolist():
        if count < 1:
            return
        choices = synonyms(pieces[at].text.lower())
        if choices:
            count -= 1
            yield at, str(generator.choice(choices))


def _in_case_of(word: str, old: str) -> str:
    """`word` in capitals, or with one in front, where `old` is so."""
    if len(old) > 1 and old.isupper():
        return word.upper()
    return word[0].upper() + word[1:] if old[0].isupper() else word
