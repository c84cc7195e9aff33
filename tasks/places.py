"""Where a network that learns labels reads a text."""

import numpy as np

from data.batches import PackedRows, PrepareRow, Row
from data.tokenizer import Tokenizer
from tasks.task import CorruptionConfig


def opening_token(tokenizer: Tokenizer, network: str) -> int:
    """What stands before a text: of an encoder the tokenizer's own ([CLS]), where it has one; else an end of text."""
    return tokenizer.prefix[0] if network == "encoder" and tokenizer.prefix else tokenizer.end_of_text


def first_places(row: Row) -> np.ndarray:
    """Where a text begins, bool [T]."""
    return (row["positions"] == 0) & (row["segment_ids"] > 0)


def marks_of_inputs(row: Row, none: int) -> np.ndarray:
    """The marks of what is read, int32 [T]: `none` where a text begins and in padding. A row has them a place earlier."""
    inside = (row["positions"] > 0) & (row["segment_ids"] > 0)
    return np.where(inside, np.append(none, row["marks"][:-1]), none)


def before_text(row: Row, tokenizer: Tokenizer, network: str) -> Row:
    """`inputs`, `positions` and `segment_ids` [T] of a row, each text behind its `opening_token`."""
    inputs = np.where(first_places(row), opening_token(tokenizer, network), row["inputs"]).astype(np.int32)
    return {"inputs": inputs, "positions": row["positions"], "segment_ids": row["segment_ids"]}


def whole_text(packed: PackedRows, tokenizer: Tokenizer, config: CorruptionConfig, network: str) -> PrepareRow:
    """The label of a text is the target of the one place that sees all of it; no other has a weight.

    That is the first of an encoder (BERT's [CLS]), and the last of a decoder (GPT).
    """

    def label_row(row: Row, generator: np.random.Generator) -> Row:
        segments = row["segment_ids"]
        last = (segments > 0) & (np.append(segments[1:], 0) != segments)
        weights = (first_places(row) if network == "encoder" else last).astype(np.float32)
        return before_text(row, tokenizer, network) | {"targets": row["labels"], "weights": weights}

    return label_row
