"""Sequence to sequence: a text is read, and another is written (Sutskever et al. 2014, arXiv:1409.3215).

A decoder goes on from the one to the other, and the loss is on the other alone; an encoder-decoder has a side for each.
"""

import numpy as np

from data.batches import PackedRows, PrepareRow, Row
from data.tokenizer import Tokenizer
from tasks.causal_lm import learn_marked
from tasks.cross_entropy import token_loss
from tasks.sides import fullest, round_up, two_sides
from tasks.task import CorruptionConfig, Task


def prepare(packed: PackedRows, tokenizer: Tokenizer, config: CorruptionConfig, network: str) -> PrepareRow:
    """What is to be written has the marks 1, the end of text included; what is read stands before it, with the marks 0."""
    return learn_marked if network == "decoder" else _two_sides(packed, tokenizer)


def _two_sides(packed: PackedRows, tokenizer: Tokenizer) -> PrepareRow:
    """The two lengths are those of the fullest row, so that nothing is ever cut."""
    widths = [0, 0]
    for text, layout in zip(packed.texts, packed.layouts, strict=True):
        starts, lengths, counts = layout.pieces(0, len(layout))
        marked = np.append(0, np.cumsum(text.marks))  # before each token
        written = marked[starts + lengths + 1] - marked[starts + 1]
        sides = lengths - written + 1, written
        widths = [max(width, fullest(side, counts)) for width, side in zip(widths, sides, strict=True)]
    widths = tuple(map(round_up, widths))

    def divide_row(row: Row, generator: np.random.Generator) -> Row:
        segments, marked = row["segment_ids"], row["marks"] == 1
        count = int(segments.max())
        read = (segments > 0) & ~marked
        ends = np.append(segments[1:], 0) != segments  # the end of text, which each side gets anew
        written = marked & ~ends

        def side(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return row["targets"][chosen], np.bincount(segments[chosen], minlength=count + 1)[1:]

        return two_sides(side(read), side(written), widths, tokenizer)

    return divide_row


SEQ2SEQ = Task(("decoder", "encoder-decoder"), prepare, token_loss, examples="pairs")
