"""A text and all the classes that it is of: none, one or several."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import UserError
from data.config import DataConfig
from data.forms import labels
from data.forms.form import Example, Form, Pieces, encode_whole, filled
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
    marked = [[name in example.values["label"] for name in classes] for example in examples]
    return encode_whole(examples, tokenizer, data, np.array(marked, np.int32).reshape(len(examples), len(classes)))


LABEL_SETS = Form(
    ("text", "label"),
    check,
    lambda values: values["text"],
    encode,
    classes=lambda values: values["label"],
    cleaned=True,
    builtin=labels.builtin,
    unlabelled=lambda text, classes: {"text": text, "label": ()},
)
