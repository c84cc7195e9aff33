"""Where a network that learns labels reads a text."""

import numpy as np

from data.batches import PackedRows, PrepareRow, Row
from data.tokenizer import Tokenizer
from tasks.task import CorruptionConfig


def before_text(row: Row, tokenizer: Tokenizer, network: str) -> Row:
    """`inputs`, `positions` and `segment_ids` [T] of a row, each text behind what stands before it.

    In an encoder's row that is the tokenizer's own ([CLS]), where it has one.
    """
    before = tokenizer.prefix[0] if network == "encoder" and tokenizer.prefix else tokenizer.end_of_text
    first = (row["positions"] == 0) & (row["segment_ids"] > 0)
    inputs = np.where(first, before, row["inputs"]).astype(np.int32)
    return {"inputs": inputs, "positions": row["positions"], "segment_ids": row["segment_ids"]}


def whole_text(packed: PackedRows, tokenizer: Tokenizer, config: CorruptionConfig, network: str) -> PrepareRow:
    """The label of a text is the target of the one place that sees all of it; no other has a weight.

    That is the first of an encoder (BERT's [CLS]), and the last of a decoder (GPT).
    """

    def label_row(row: Row, generator: np.random.Generator) -> Row:
        segments = row["segment_ids"]
        first = (row["positions"] == 0) & (segments > 0)
        last = (segments > 0) & (np.append(segments[1:], 0) != segments)
        weights = (first if network == "encoder" else last).astype(np.float32)
        return before_text(row, tokenizer, network) | {"targets": row["labels"], "weights": weights}

    return label_row
