"""A text and a number, such as a grade."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import UserError
from data.config import DataConfig
from data.document import Document
from data.forms import labels
from data.forms.form import Example, Form, Pieces, cut_to_rows, filled
from data.tokenizer import Tokenizer

MOST = float(np.finfo(np.float32).max)


def check(values: Mapping[str, Any], data: DataConfig) -> Mapping[str, Any]:
    """The label as a finite number; a string is one where it is written as a number, as in CSV."""
    text, label = filled(values, "text", data), values["label"]
    try:
        number = math.nan if isinstance(label, bool) or not isinstance(label, str | int | float) else float(label)
    except (ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= MOST:  # nor is NaN
        raise UserError(f'"{data.label_field}" is {str(label)[:40]!r}; this task learns numbers, and finite ones')
    return {"text": text, "label": number}


def encode(examples: Sequence[Example], tokenizer: Tokenizer, classes: Sequence[str], data: DataConfig) -> Pieces:
    """Tokens, and the number, float32 [examples]."""
    texts = tokenizer.encode_all([example.text for example in examples])
    tokens, cut = cut_to_rows(texts, data.sequence_length, tokenizer.suffix)
    return Pieces(tokens, np.array([example.values["label"] for example in examples], np.float32), cut=cut)


def builtin(source: str, data: DataConfig) -> Iterator[tuple[Document, Mapping[str, Any]]]:
    """Of labels that are numbers."""
    for document, values in labels.builtin(source, data):
        yield document, check(values, data)


SCORES = Form(("text", "label"), check, lambda values: values["text"], encode, cleaned=True, builtin=builtin)
