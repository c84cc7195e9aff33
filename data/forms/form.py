"""What a row of a source holds, where that is more than a text."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common.errors import UserError
from data.document import Document
from data.readers import check_text
from data.tokenizer import Tokenizer

if TYPE_CHECKING:
    from data.config import DataConfig


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
        builtin: (source, settings) -> the document and the values of each example of `builtin:NAME`; None: there are none.
        key: (values) -> what decides the side of the split; None: the text does.
    """

    fields: tuple[str, ...]
    check: Callable[[Mapping[str, Any], "DataConfig"], Mapping[str, Any]]
    text: Callable[[Mapping[str, Any]], str]
    encode: Callable[[Sequence[Example], Tokenizer, Sequence[str], "DataConfig"], Pieces] | None = None
    classes: Callable[[Mapping[str, Any]], Sequence[str]] | None = None
    builtin: Callable[[str, "DataConfig"], Iterator[tuple[Document, Mapping[str, Any]]]] | None = None
    key: Callable[[Mapping[str, Any]], str] | None = None


def cut_to_rows(tokens: Sequence[Sequence[int]], sequence_length: int) -> tuple[list[Sequence[int]], int]:
    """Each text's first tokens, as many as a row holds beside the end of text; and how many texts had more."""
    return [each[: sequence_length - 1] for each in tokens], sum(len(each) >= sequence_length for each in tokens)


def filled(values: Mapping[str, Any], name: str, data: "DataConfig") -> str:
    """The text in the field of this name.

    Raises:
        UserError: it is no text, or only white space.
    """
    column = getattr(data, f"{name}_field")
    text = check_text(values[name], column)
    if not text.strip():
        raise UserError(f'"{column}" is empty; give each row its text')
    return text
