"""The two sides of an encoder-decoder's row: what is read, and what is written."""

import numpy as np

from data.batches import Row, lay_out
from data.tokenizer import Tokenizer

# Texts one after the other: their tokens, and how many each has.
Side = tuple[np.ndarray, np.ndarray]


def two_sides(source: Side, target: Side, widths: tuple[int, int], tokenizer: Tokenizer) -> Row:
    """The row that feeds an encoder-decoder texts and what is to be written of each; both get ends of text.

    The two sides of a text have the same segment number, so they see no other. Every token of the target side counts.

    Args:
        widths: of the two sides.
    """

    def lay(side: Side, width: int) -> Row:
        tokens, lengths = side
        return lay_out(np.insert(tokens, np.cumsum(lengths), tokenizer.end_of_text), lengths + 1, width)

    read, written = (lay(side, width) for side, width in zip((source, target), widths, strict=True))
    start = tokenizer.decoder_start
    inputs = np.where(written["positions"] > 0, np.append(start, written["tokens"][:-1]), start)
    inputs = np.where(written["segment_ids"] > 0, inputs, 0).astype(np.int32)
    return {
        "encoder_inputs": read["tokens"],
        "encoder_positions": read["positions"],
        "encoder_segment_ids": read["segment_ids"],
        "inputs": inputs,
        "targets": written["tokens"],
        "positions": written["positions"],
        "segment_ids": written["segment_ids"],
        "weights": (written["segment_ids"] > 0).astype(np.float32),
    }


def fullest(sizes: np.ndarray, counts: np.ndarray) -> int:
    """The most tokens that a row has, of pieces of these `sizes`, so many of them in each row."""
    return int(np.add.reduceat(sizes, np.cumsum(counts) - counts).max())


def round_up(length: int) -> int:
    """To a multiple of 8, which devices like."""
    return -(-length // 8) * 8
