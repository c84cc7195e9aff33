"""Cleaning of documents, a step after the other, with a count of what each one did.

A step is written `name` or `name=value`; a value holds no comma, what is several is joined by `+`.
"""

import dataclasses
import functools
import hashlib
import heapq
import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence

from common.errors import ConfigError, choose
from data import language, normalize, privacy, quality
from data.document import Document
from data.values import Function, Make, without_value


@dataclasses.dataclass(frozen=True)
class Step:
    """A row of the table.

    Attributes:
        make: from the step's value to its function, text to text, where None drops the document. ValueError if the
            value is none that it knows; UserError if it needs a package that is missing.
        default: the value where none is given.
        summary: one line for the documentation.
    """

    make: Make
    default: str
    summary: str


# Names and defaults; thresholds are Gopher's and C4's (see `data/quality.py`).
STEPS: dict[str, Step] = {
    # How it is written.
    "unicode": Step(normalize.repair, "", "repairs text that was decoded with the wrong table, such as schÃ¶n"),
    "nfc": Step(normalize.unicode_form("NFC"), "", "composes characters with their marks (Unicode NFC)"),
    "nfkc": Step(normalize.unicode_form("NFKC"), "", "NFC, and plain forms of full-width and other variants (NFKC)"),
    "html": Step(normalize.html_to_text, "", "the text of a page: no tags, scripts and styles, entities decoded"),
    "control": Step(without_value(normalize.remove_control), "", "removes control, zero-width and direction marks"),
    "whitespace": Step(
        without_value(normalize.collapse_whitespace), "", "trims lines, single spaces, at most one empty line"
    ),
    "punctuation": Step(normalize.punctuation, "fold", "fold (full-width and typographic to ASCII) or remove"),
    "lowercase": Step(without_value(str.casefold), "", "no capital letters (case folding)"),
    "chinese": Step(normalize.chinese, "simplified", "simplified or traditional characters"),
    # What is private: mask (with <url> and the like), remove, or drop the document.
    "urls": Step(privacy.private(privacy.URL), "mask", "web addresses: mask, remove or drop"),
    "emails": Step(privacy.private(privacy.EMAIL), "mask", "email addresses: mask, remove or drop"),
    "phones": Step(privacy.private(privacy.PHONE), "mask", "telephone numbers: mask, remove or drop"),
    "ids": Step(
        privacy.private(*privacy.IDS),
        "mask",
        "Chinese identity numbers, payment cards, US social security numbers, IP addresses: mask, remove or drop",
    ),
    # Lines that stay.
    "terminal_lines": Step(without_value(quality.terminal_lines), "", "only lines that end as a sentence does (C4)"),
    "line_words": Step(quality.line_units, "5", "only lines of at least so many words or Chinese characters (C4)"),
    "boilerplate": Step(without_value(quality.boilerplate), "", "no lines on JavaScript, cookies, terms, rights (C4)"),
    # Documents that stay.
    "language": Step(language.language, "zh+en", "the languages to keep"),
    "min_words": Step(quality.at_least(quality.num_units), "50", "fewest words or Chinese characters (Gopher)"),
    "max_words": Step(quality.at_most(quality.num_units), "100000", "most words or Chinese characters (Gopher)"),
    "word_length": Step(quality.word_length, "3+10", "bounds of the mean length of words, where they have spaces (Gopher)"),
    "symbols": Step(quality.at_most(quality.symbols), "0.1", "most # and … for each word (Gopher)"),
    "letters": Step(quality.at_least(quality.letters), "0.5", "least share of letters in characters, spaces left out"),
    "alphabetic": Step(quality.at_least(quality.alphabetic), "0.8", "least share of words with a letter (Gopher)"),
    "han": Step(quality.at_least(quality.han), "0.3", "least share of Chinese characters in letters"),
    "stop_words": Step(quality.at_least(quality.stop_words), "2", "fewest different function words (Gopher)"),
    "bullets": Step(quality.at_most(quality.bullets), "0.9", "largest share of lines with a bullet (Gopher)"),
    "ellipses": Step(quality.at_most(quality.ellipses), "0.3", "largest share of lines that end in … (Gopher)"),
    "min_sentences": Step(quality.at_least(quality.sentences), "3", "fewest ends of sentences (C4)"),
    "braces": Step(without_value(quality.without("{")), "", "drops what has a curly bracket, as code does (C4)"),
    "lorem_ipsum": Step(without_value(quality.without("lorem ipsum")), "", "drops filler text (C4)"),
    "repeated_lines": Step(
        quality.at_most(quality.repeated(quality.lines_of)), "0.3", "largest share of repeated lines (Gopher)"
    ),
    "repeated_line_chars": Step(
        quality.at_most(quality.repeated(quality.lines_of, len)),
        "0.2",
        "largest share of characters in repeated lines (Gopher)",
    ),
    "repeated_paragraphs": Step(
        quality.at_most(quality.repeated(quality.paragraphs_of)), "0.3", "largest share of repeated paragraphs (Gopher)"
    ),
    "repeated_paragraph_chars": Step(
        quality.at_most(quality.repeated(quality.paragraphs_of, len)),
        "0.2",
        "largest share of characters in repeated paragraphs (Gopher)",
    ),
    "top_ngrams": Step(
        quality.top_ngrams,
        "2:0.2+3:0.18+4:0.16",
        "largest share of characters in the commonest n-gram (Gopher)",
    ),
    "repeated_ngrams": Step(
        quality.repeated_ngrams_of,
        "5:0.15+6:0.14+7:0.13+8:0.12+9:0.11+10:0.1",
        "largest share of characters in repeated n-grams (Gopher)",
    ),
}  # fmt: skip


def make_step(spec: str) -> Function:
    """The function of a step: text to text, None where the document is dropped, also if only white space is left.

    Args:
        spec: `name` or `name=value`.

    Raises:
        ConfigError: no such step, or a value that it does not know.
        UserError: a package that is missing.
    """
    name, equals, value = (part.strip() for part in spec.partition("="))
    step = choose(STEPS, name, "data.clean")
    try:
        function = step.make(value if equals else step.default)
    except ValueError as error:
        raise ConfigError(f"data.clean={spec!r}: {error}") from error

    def run(text: str) -> str | None:
        cleaned = function(text)
        return cleaned if cleaned and not cleaned.isspace() else None

    return run


SAMPLES = 3  # of what a step changed or dropped
BEFORE, AFTER = 20, 60  # characters of an excerpt before and after the first difference


@dataclasses.dataclass(frozen=True, order=True)
class Sample:
    """An excerpt of a document before a step and after it.

    Attributes:
        rank: a hash of the document; the samples with the lowest are shown, whatever the order of the documents.
        before, after: from where the two begin to differ, with … where text is left out; `after` is empty for a document that
            was dropped, and of a copy it is the one that stays.
        dropped: whether it was.
    """

    rank: int
    before: str
    after: str
    dropped: bool


@dataclasses.dataclass(frozen=True)
class Stage:
    """What a step did to the documents that came to it. Stages of partitions add up.

    Attributes:
        name: the step as the config has it.
        documents_in, documents_out: how many came, and how many stayed.
        bytes_in, bytes_out: their text in UTF-8.
        changed: how many stayed with another text.
        samples: a few of the changed and dropped ones, always the same few of the same documents.
    """

    name: str
    documents_in: int = 0
    documents_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    changed: int = 0
    samples: tuple[Sample, ...] = ()

    def __add__(self, other: "Stage") -> "Stage":
        if self.name != other.name:
            raise ValueError(f"stages of two steps, {self.name} and {other.name}, do not add up")
        counts = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in dataclasses.fields(self)
            if field.type is int
        }
        return Stage(self.name, **counts, samples=_lowest(self.samples + other.samples))


def _lowest(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    return tuple(heapq.nsmallest(SAMPLES, set(samples)))


def add_stages(parts: Iterable[Sequence[Stage]]) -> tuple[Stage, ...]:
    """The stages of all partitions together, from those of each, in any order."""
    return tuple(functools.reduce(operator.add, stages) for stages in zip(*parts, strict=True))


class Cleaner:
    """Runs documents through steps and counts.

    Attributes:
        stages: what each step did so far.

    Raises:
        ConfigError, UserError: see `make_step`.
    """

    def __init__(self, specs: Sequence[str]):
        self._functions = [make_step(spec) for spec in specs]
        self.stages: list[Stage] = [Stage(spec) for spec in specs]

    def clean(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The documents that stay, as they come; their `source` and a `key` of their own stay too."""
        for document in documents:
            text = self.clean_text(document.text)
            if text is not None:
                key = text if document.key == document.text else document.key
                yield document if text == document.text else dataclasses.replace(document, text=text, key=key)

    def clean_text(self, text: str) -> str | None:
        """One text through all steps; None where one of them drops it."""
        size = len(text.encode())
        for number, function in enumerate(self._functions):
            cleaned = function(text)
            new_size = size if cleaned == text else len((cleaned or "").encode())
            self.stages[number] = _counted(self.stages[number], text, cleaned, size, new_size)
            if cleaned is None:
                return None
            text, size = cleaned, new_size
        return text


def _counted(stage: Stage, before: str, after: str | None, size: int, new_size: int) -> Stage:
    samples = stage.samples
    if after != before:
        rank = int.from_bytes(hashlib.blake2b(before.encode(), digest_size=8).digest(), "big")
        if len(samples) < SAMPLES or rank < samples[-1].rank:
            samples = _lowest((*samples, make_sample(rank, before, after)))
    return Stage(
        stage.name,
        stage.documents_in + 1,
        stage.documents_out + (after is not None),
        stage.bytes_in + size,
        stage.bytes_out + new_size,
        stage.changed + (after is not None and after != before),
        samples,
    )


def make_sample(rank: int, before: str, after: str | None) -> Sample:
    """A sample of a document's text before and after a step."""
    same = itertools.takewhile(bool, map(operator.eq, before, after or ""))
    start = 0 if before == after else max(0, sum(same) - BEFORE)
    stop = start + BEFORE + AFTER

    def excerpt(text: str) -> str:
        return ("…" if start else "") + text[start:stop] + ("…" if len(text) > stop else "")

    return Sample(rank, excerpt(before), excerpt(after) if after else "", after is None)
