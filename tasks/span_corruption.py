"""Span corruption (T5): spans of the text are cut out, a sentinel in the place of each, and the network writes them.

Raffel et al. 2020 (arXiv:1910.10683, sections 3.1.4 and 3.3.4).
"""

from collections.abc import Sequence

import numpy as np

from common.errors import require
from data.batches import PackedRows, PrepareRow, Row, lay_out
from data.tokenizer import Tokenizer
from tasks.cross_entropy import token_loss
from tasks.task import CorruptionConfig, Task


def count_noise(length: int, config: CorruptionConfig) -> tuple[int, int]:
    """How many of `length` tokens are cut out, and in how many spans; a single token is left alone."""
    noise = min(max(round(length * config.rate), 1), length - 1)
    if noise < 1:
        return 0, 0
    return noise, min(max(round(noise / config.mean_span_length), 1), length - noise)


def corrupted_lengths(length: int, config: CorruptionConfig) -> tuple[int, int]:
    """What `length` tokens of text become: tokens that the encoder reads and that the decoder writes, ends of text included."""
    noise, spans = count_noise(length, config)
    return length - noise + spans + 1, noise + spans + 1


def row_length(sequence_length: int, config: CorruptionConfig) -> int:
    """The longest text of which `sequence_length` tokens are left to read: 568 for 512 with the published settings."""
    length = sequence_length - 1
    while corrupted_lengths(length + 1, config)[0] <= sequence_length:
        length += 1
    return length


def noise_mask(length: int, config: CorruptionConfig, generator: np.random.Generator) -> np.ndarray:
    """Which tokens are cut out, bool [length]: text and spans take turns, from text to a span at the end.

    Every way to cut `noise` tokens into so many spans, and the others into as many stretches of text, is as likely.
    """
    noise, spans = count_noise(length, config)
    if spans == 0:
        return np.zeros(length, bool)

    def cut(total: int) -> np.ndarray:
        ends = np.sort(generator.choice(total - 1, spans - 1, replace=False)) + 1
        return np.diff(ends, prepend=0, append=total)

    lengths = np.stack([cut(length - noise), cut(noise)], axis=1).ravel()
    return np.repeat(np.arange(2 * spans) % 2 == 1, lengths)


def corrupt(tokens: np.ndarray, noise: np.ndarray, sentinels: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """What is read and what is to be written: of each, the spans that the other has are one sentinel, counted from 0."""

    def without(hidden: np.ndarray) -> np.ndarray:
        first = hidden & ~np.concatenate([[False], hidden[:-1]])
        marked = np.where(first, np.asarray(sentinels)[np.minimum(np.cumsum(first) - 1, len(sentinels) - 1)], tokens)
        return marked[first | ~hidden]

    return without(noise), without(~noise)


def prepare(packed: PackedRows, tokenizer: Tokenizer, config: CorruptionConfig) -> PrepareRow:
    """Every text of a row is corrupted by itself, and its two sides have the same segment number, so they see no other.

    The two lengths are those of the fullest row, so that nothing is ever cut.

    Raises:
        ConfigError: the tokenizer has fewer sentinels than a text may have spans.
    """
    lengths = [[corrupted_lengths(length, config) for _, length in row] for row in packed.rows]
    widths = [_round_up(max(sum(pair[side] for pair in row) for row in lengths)) for side in (0, 1)]
    most = max(count_noise(length, config)[1] for row in packed.rows for _, length in row)
    require(
        len(tokenizer.sentinels) >= most,
        f"task='span_corruption' needs {most} sentinels for these texts, and the vocabulary has {len(tokenizer.sentinels)}; "
        "start the config from configs/t5_small.py, whose tokenizer.special_tokens has them",
    )
    start, end = tokenizer.decoder_start, tokenizer.end_of_text

    def corrupt_row(row: Row, generator: np.random.Generator) -> Row:
        sides = ([], [])
        for segment in range(1, row["segment_ids"].max(initial=0) + 1):
            tokens = row["targets"][row["segment_ids"] == segment]
            tokens = tokens[: len(tokens) - (tokens[-1] == end)]
            for side, part in zip(
                sides, corrupt(tokens, noise_mask(len(tokens), config, generator), tokenizer.sentinels), strict=True
            ):
                side.append(np.append(part, end))
        source, target = (lay_out(texts, width) for texts, width in zip(sides, widths, strict=True))
        inputs = lay_out([np.append(start, text[:-1]) for text in sides[1]], widths[1])["tokens"]
        return {
            "encoder_inputs": source["tokens"],
            "encoder_positions": source["positions"],
            "encoder_segment_ids": source["segment_ids"],
            "inputs": inputs,
            "targets": target["tokens"],
            "positions": target["positions"],
            "segment_ids": target["segment_ids"],
            "weights": (target["segment_ids"] > 0).astype(np.float32),
        }

    return corrupt_row


def _round_up(length: int) -> int:
    """To a multiple of 8, which devices like."""
    return -(-length // 8) * 8


SPAN_CORRUPTION = Task("encoder-decoder", prepare, token_loss, row_length)
