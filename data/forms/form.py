"""What a row of a source holds, where that is more than a text."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import UserError
from data.config import DataConfig
from data.document import Document
from data.readers import check_text
from data.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class Example(Document):
    """A row: its text, and all that its form holds.

    Attributes:
        values: what was read, by the names of the form's fields.
        place: where it was read, for messages: a file with line or row, or a source.
    """

    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    place: str = ""


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Examples as tokens.

    Attributes:
        tokens: of each example, without the end of text behind it.
        labels: what is to be learned of each example as a whole, [examples] or [examples, ...]; None: nothing.
        marks: of each example, what is to be learned at each of its tokens and at the end of text behind them; None: nothing.
        cut: how many examples lost tokens, since a row is too short for them.
        owners: of each, the number of the example that it is a part of, where one makes several; None: one each.
    """

    tokens: Sequence[Sequence[int]]
    labels: np.ndarray | None = None
    marks: Sequence[Sequence[int]] | None = None
    cut: int = 0
    owners: Sequence[int] | None = None


def natural(label: str) -> tuple[bool, int, str]:
    """Numbers in their order, and before words."""
    return (not label.isdecimal(), int(label) if label.isdecimal() else 0, label)


@dataclasses.dataclass(frozen=True)
class Form:
    """How examples are read, and how they become tokens.

    Attributes:
        fields: the names of what is read of a row; each stands in the column that the setting `data.NAME_field` names.
        check: (values as they were read, settings) -> the same as the form has them. Raises UserError, without the place.
        text: (values) -> the example as one text.
        encode: (examples, tokenizer, classes, settings) -> their tokens, each shorter than `data.sequence_length`; None: none
            is trained on.
        classes: (values) -> the classes that an example names; None: there are none to be told apart.
        order: the key by which the classes are sorted.
        cleaned: whether what is learned is of the whole text, so that `data.clean` may change it.
        builtin: (source, settings) -> the document of each example of `builtin:NAME`, and its values as they are read; None:
            there are none.
        key: (values) -> what decides the side of the split; None: the text does.
        unlabelled: (a text, classes) -> the values of an example of it whose label is not known: one stands there that counts
            for nothing. None: a text alone makes none.
    """

    fields: tuple[str, ...]
    check: Callable[[Mapping[str, Any], DataConfig], Mapping[str, Any]]
    text: Callable[[Mapping[str, Any]], str]
    encode: Callable[[Sequence[Example], Tokenizer, Sequence[str], DataConfig], Pieces] | None = None
    classes: Callable[[Mapping[str, Any]], Sequence[str]] | None = None
    order: Callable[[str], Any] = natural
    cleaned: bool = False
    builtin: Callable[[str, DataConfig], Iterator[tuple[Document, Mapping[str, Any]]]] | None = None
    key: Callable[[Mapping[str, Any]], str] | None = None
    unlabelled: Callable[[str, Sequence[str]], Mapping[str, Any]] | None = None


def cut_to_rows(
    tokens: Sequence[Sequence[int]], sequence_length: int, suffix: Sequence[int] = ()
) -> tuple[list[list[int]], int]:
    """Each text's first tokens, as many as a row holds beside the end of text; and how many texts had more.

    Args:
        suffix: what the tokenizer puts behind a text that is read alone ([SEP]), which is kept.
    """
    most = sequence_length - 1 - len(suffix)
    return [[*each[:most], *suffix] for each in tokens], sum(len(each) > most for each in tokens)


def encode_whole(examples: Sequence[Example], tokenizer: Tokenizer, data: DataConfig, labels: np.ndarray) -> Pieces:
    """The examples' texts as tokens, each with its label as a whole; one that is too long is cut."""
    texts = tokenizer.encode_all([example.text for example in examples])
    tokens, cut = cut_to_rows(texts, data.sequence_length, tokenizer.suffix)
    return Pieces(tokens, labels, cut=cut)


def filled(values: Mapping[str, Any], name: str, data: DataConfig) -> str:
    """The text in the field of this name.

    Raises:
        UserError: it is no text, or only white space.
    """
    column = getattr(data, f"{name}_field")
    text = check_text(values[name], column)
    if not text.strip():
        raise UserError(f'"{column}" is empty; give each row its text')
    return text
