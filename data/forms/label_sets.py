"""A text and all the classes that it is of: none, one or several."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import UserError
from data.config import DataConfig
from data.document import Document
from data.forms import labels
from data.forms.form import Example, Form, Pieces, cut_to_rows, filled
from data.tokenizer import Tokenizer


def check(values: Mapping[str, Any], data: DataConfig) -> Mapping[str, Any]:
    """The labels as a tuple of names, sorted, each once: of a list, or of a string with commas."""
    text, given = filled(values, "text", data), values["label"]
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not all(isinstance(name, str | int) for name in names):
        raise UserError(f'"{data.label_field}" is {str(given)[:40]!r}, not a list of labels, or these with commas')
    names = {str(name).strip() for name in names}
    if "" in names and names != {""}:
        raise UserError(f'"{data.label_field}" holds an empty label')
    return {"text": text, "label": tuple(sorted(names - {""}))}


def encode(examples: Sequence[Example], tokenizer: Tokenizer, classes: Sequence[str], data: DataConfig) -> Pieces:
    """Tokens, and 1 for each class that a text is of, int32 [examples, C]."""
    texts = tokenizer.encode_all([example.text for example in examples])
    tokens, cut = cut_to_rows(texts, data.sequence_length, tokenizer.suffix)
    marked = [[name in example.values["label"] for name in classes] for example in examples]
    return Pieces(tokens, np.array(marked, np.int32).reshape(len(examples), len(classes)), cut=cut)


def builtin(source: str, data: DataConfig) -> Iterator[tuple[Document, Mapping[str, Any]]]:
    for document, values in labels.builtin(source, data):
        yield document, check(values, data)


LABEL_SETS = Form(
    ("text", "label"),
    check,
    lambda values: values["text"],
    encode,
    classes=lambda values: values["label"],
    cleaned=True,
    builtin=builtin,
)
