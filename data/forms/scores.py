"""A text and a number, such as a grade."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import UserError
from data.config import DataConfig
from data.forms import labels
from data.forms.form import Example, Form, Pieces, encode_whole, filled
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
    return encode_whole(examples, tokenizer, data, np.array([each.values["label"] for each in examples], np.float32))


SCORES = Form(
    ("text", "label"),
    check,
    lambda values: values["text"],
    encode,
    cleaned=True,
    builtin=labels.builtin,
    unlabelled=lambda text, classes: {"text": text, "label": 0.0},
)
