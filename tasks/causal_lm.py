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
    segments, positions = row["segment_ids"], row["positions"]
    sizes = generator.integers(1, np.maximum(2, np.bincount(segments)))[segments]
    prefix = (segments > 0) & (positions < sizes)
    weights = np.where(positions < sizes - 1, np.float32(0), row["weights"])
    return row | {"prefix": prefix, "weights": weights}


def learn_marked(row: Row, generator: np.random.Generator) -> Row:
    """The row, of which only the targets count that have a mark."""
    marks = row["marks"] > 0
    return {name: array for name, array in row.items() if name != "marks"} | {"weights": row["weights"] * marks}


CAUSAL_LM = Task(
    ("decoder",), lambda packed, tokenizer, config, network: lambda row, generator: row, token_loss, every_token=True
)
PREFIX_LM = Task(("decoder",), lambda packed, tokenizer, config, network: add_prefix, token_loss)
