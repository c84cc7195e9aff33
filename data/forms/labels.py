"""A text and its class."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import UserError
from data.builtin import read_builtin_labels
from data.config import DataConfig
from data.document import Document
from data.forms.form import Example, Form, Pieces, encode_whole, filled
from data.readers import kind_of
from data.tokenizer import Tokenizer


def check(values: Mapping[str, Any], data: DataConfig) -> Mapping[str, Any]:
    """The label as text: of a string, a whole number or a truth value."""
    text, label = filled(values, "text", data), values["label"]
    if not isinstance(label, str | int):
        raise UserError(f'"{data.label_field}" is {kind_of(label)}; a label is text or a whole number')
    if not str(label).strip():
        raise UserError(f'"{data.label_field}" is empty; give each row its label')
    return {"text": text, "label": str(label).strip()}


def encode(examples: Sequence[Example], tokenizer: Tokenizer, classes: Sequence[str], data: DataConfig) -> Pieces:
    """Tokens, and the number of the class, int32 [examples]."""
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[example.values["label"]] for example in examples], np.int32)
    return encode_whole(examples, tokenizer, data, labels)


def builtin(source: str, data: DataConfig) -> Iterator[tuple[Document, Mapping[str, Any]]]:
    for document, label in read_builtin_labels(source, data.label_field):
        yield document, {"text": document.text, "label": label}


LABELS = Form(
    ("text", "label"),
    check,
    lambda values: values["text"],
    encode,
    classes=lambda values: [values["label"]],
    cleaned=True,
    builtin=builtin,
    unlabelled=lambda text, classes: {"text": text, "label": classes[0]},
)
