"""Next-token prediction (GPT), and with the first part of each text as a given (prefix language model)."""

import numpy as np

from data.batches import Row
from tasks.cross_entropy import token_loss
from tasks.task import Task


def add_prefix(row: Row, generator: np.random.Generator) -> Row:
    """The row with a `prefix` [T], bool: a random number of first tokens of each text, one at least and not all.

    They see each other both ways, and only what follows them is a target (Raffel et al. 2020, arXiv:1910.10683, section
    3.2.1).
    """
    prefix = np.zeros(row["inputs"].shape, bool)
    weights = row["weights"].copy()
    for segment in range(1, row["segment_ids"].max(initial=0) + 1):
        (places,) = np.nonzero(row["segment_ids"] == segment)
        size = generator.integers(1, max(2, len(places)))
        prefix[places[:size]] = True
        weights[places[: size - 1]] = 0
    return row | {"prefix": prefix, "weights": weights}


CAUSAL_LM = Task("decoder", lambda packed, tokenizer, config: lambda row, generator: row, token_loss, every_token=True)
PREFIX_LM = Task("decoder", lambda packed, tokenizer, config: add_prefix, token_loss)
