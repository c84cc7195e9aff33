"""Texts with labels: from rows that have both, to a corpus of one class a document."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import UserError, require
from common.files import digest
from data.builtin import attribution, read_builtin_labels
from data.config import DataConfig
from data.corpus import Corpus, load_corpus
from data.document import Document
from data.encoded import EncodedText, document_sizes, join_pieces
from data.files import endings
from data.prepared import is_prepared
from data.readers import FORMATS, check_texts
from data.skipped import stop
from data.sources import find_files, require_text
from data.split import split_documents
from data.tokenizer import Tokenizer, TokenizerConfig, train

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Example(Document):
    """A document with its label.

    Attributes:
        place: where it was read, for messages: a file with line or row, or a source.
    """

    label: str = ""
    place: str = ""


def load(data: DataConfig, tokenizer: TokenizerConfig | Tokenizer, classes: Sequence[str], say: Say) -> Corpus:
    """`load_labelled` where `data.label_field` names the labels, else `load_corpus`."""
    return load_labelled(data, tokenizer, classes, say) if data.label_field else load_corpus(data, tokenizer)


def load_labelled(data: DataConfig, tokenizer: TokenizerConfig | Tokenizer, classes: Sequence[str], say: Say) -> Corpus:
    """What `data.train` and `data.valid` name, as `load_corpus` gives it, with `classes` and a label for each document.

    Args:
        classes: the labels' names, where they are settled; else () for those of the training examples.
        say: told of texts that are cut.

    Raises:
        ConfigError, UserError: as `load_corpus`; a label that no training example has; a class without any; fewer than two.
    """
    examples = list(read_examples(data.train, data))
    held_out = list(read_examples(data.valid, data)) if data.valid else None
    if held_out is None:
        examples, held_out = split_documents(examples, data.valid_fraction)
    found = {example.label for example in examples}
    classes = tuple(classes) or tuple(sorted(found, key=_natural))
    for name in classes:
        if name not in found:
            raise UserError(
                f"the class {name!r} has no example to train on in {', '.join(data.train)}; give some, or leave it out"
            )
    require(len(classes) > 1, f"data.label_field={data.label_field!r} has the one label {classes[0]!r}; two are needed")
    if isinstance(tokenizer, TokenizerConfig):
        tokenizer = train([example.text for example in examples], tokenizer)
    sides = by_source(examples), by_source(held_out)
    train_texts, valid_texts = (encode_sources(side, tokenizer, classes, data.sequence_length, say) for side in sides)
    sources = {source: attribution(source) for source in (*data.train, *data.valid)}
    parts = (array.tobytes() for text in (*train_texts.values(), *valid_texts.values()) for array in _arrays(text))
    origin = {"sources": sources, "classes": classes, "fingerprint": digest(tokenizer.model, repr(classes), *parts)}
    return Corpus(tokenizer, train_texts, valid_texts, origin, data.train, None, classes, sides[1])


def _natural(label: str) -> tuple[bool, int, str]:
    """Numbers in their order, and before words."""
    return (not label.isdecimal(), int(label) if label.isdecimal() else 0, label)


def _arrays(text: EncodedText) -> tuple[np.ndarray, ...]:
    return text.tokens, text.starts, text.labels


def by_source(examples: Iterable[Example]) -> dict[str, list[Example]]:
    """The examples of each source, in the order of the sources."""
    parts: dict[str, list[Example]] = {}
    for example in examples:
        parts.setdefault(example.source, []).append(example)
    return parts


def encode_sources(
    sources: Mapping[str, Sequence[Example]],
    tokenizer: Tokenizer,
    classes: Sequence[str],
    sequence_length: int,
    say: Say,
) -> dict[str, EncodedText]:
    """`encode_examples` of each source."""
    return {
        source: encode_examples(examples, tokenizer, classes, sequence_length, say)
        for source, examples in sources.items()
    }


def encode_examples(
    examples: Sequence[Example], tokenizer: Tokenizer, classes: Sequence[str], sequence_length: int, say: Say
) -> EncodedText:
    """The examples as tokens, each with the number of its class; one that is longer than a row is cut, and `say` told.

    Raises:
        UserError: a label is not among the classes.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    for example in examples:
        if example.label not in numbers:
            raise UserError(
                f"{example.place}: the label {example.label!r} is none that was trained on: {', '.join(classes)}"
            )
    texts = [example.text for example in examples]
    pieces = tokenizer.encode_all(texts)
    if cut := sum(len(tokens) >= sequence_length for tokens in pieces):
        say(f"{examples[0].source}: {cut:,} of {len(texts):,} texts are cut to data.sequence_length={sequence_length}")
    pieces = [tokens[: sequence_length - 1] for tokens in pieces]
    labels = np.array([numbers[example.label] for example in examples], np.int32)
    return dataclasses.replace(join_pieces(pieces, document_sizes(texts), tokenizer), labels=labels)


def read_examples(sources: Sequence[str], data: DataConfig) -> Iterator[Example]:
    """The examples of every source, in order.

    Raises:
        ConfigError: a source that names nothing, or that holds no labels.
        UserError: what cannot be read, with file and row; a source without examples.
    """
    for source in sources:
        examples = _read_source(source, data.text_field, data.label_field)
        first = next(examples, None)
        require_text(source, 0 if first is None else 1, None)
        yield from itertools.chain([first], examples)


def _read_source(source: str, text_field: str, label_field: str) -> Iterator[Example]:
    require(not is_prepared(source), f"{source} is a prepared folder, which keeps no labels; name its sources")
    if source.startswith("builtin:"):
        for document, label in read_builtin_labels(source, label_field):
            yield Example(document.text, source, document.key, label, source)
        return
    require(
        not source.startswith("hf:"), f"{source}: labels are read from JSONL, CSV and Parquet; write it as one of these"
    )
    for name in find_files(source):
        yield from (
            dataclasses.replace(example, source=source) for example in read_example_file(name, text_field, label_field)
        )


def read_example_file(name: str, text_field: str, label_field: str) -> Iterator[Example]:
    """The examples of a file whose rows have both fields.

    Raises:
        UserError: it is of another format; a field is missing, or a label is neither text nor a whole number.
    """
    form, _ = endings(name)
    if form not in LABELLED:
        raise UserError(
            f"{name}: labels are read from {', '.join(LABELLED)}; give one of these, with a field {label_field!r}"
        )
    read, unit, _ = FORMATS[form]
    labels = (
        check_label(value, label_field, f"{name}, {unit} {number}") for number, value in read(name, label_field, stop)
    )
    for (number, text), label in zip(read(name, text_field, stop), labels, strict=True):
        for checked in check_texts([(number, text)], text_field, f"{name}, {unit}", stop):
            yield Example(checked, name, None, label, f"{name}, {unit} {number}")


LABELLED = (".jsonl", ".csv", ".parquet")


def check_label(value: Any, field: str, place: str) -> str:
    """A label as text: of a string, a whole number or a truth value."""
    if not isinstance(value, str | int):
        raise UserError(f'{place}: "{field}" is {type(value).__name__}; a label is text or a whole number')
    label = str(value).strip()
    if not label:
        raise UserError(f'{place}: "{field}" is empty; give each row its label, or take the row out')
    return label
