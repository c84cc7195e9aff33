"""Span corruption (T5): spans of the text are cut out, a sentinel in the place of each, and the network writes them.

Raffel et al. 2020 (arXiv:1910.10683, sections 3.1.4 and 3.3.4).
"""

import numpy as np

from common.errors import require
from data.batches import PackedRows, PrepareRow, Row, lay_out
from data.packing import count_up
from data.tokenizer import Tokenizer
from tasks.cross_entropy import token_loss
from tasks.task import CorruptionConfig, Task


def count_noise(lengths: np.ndarray, config: CorruptionConfig) -> tuple[np.ndarray, np.ndarray]:
    """How many of so many tokens are cut out, and in how many spans; a single token is left alone."""
    lengths = np.asarray(lengths)
    noise = np.minimum(np.maximum(np.rint(lengths * config.rate).astype(int), 1), lengths - 1)
    spans = np.minimum(np.maximum(np.rint(noise / config.mean_span_length).astype(int), 1), lengths - noise)
    return np.maximum(noise, 0), np.where(noise < 1, 0, spans)


def corrupted_lengths(lengths: np.ndarray, config: CorruptionConfig) -> tuple[np.ndarray, np.ndarray]:
    """What so many tokens of text become: tokens that the encoder reads and that the decoder writes, ends of text included.

    A text that is left alone is all one span to the decoder, whose sentinel it writes.
    """
    noise, spans = count_noise(lengths, config)
    return lengths - noise + spans + 1, noise + np.maximum(spans, 1) + 1


def row_length(sequence_length: int, config: CorruptionConfig) -> int:
    """The longest text of which `sequence_length` tokens are left to read: 568 for 512 with the published settings."""
    length = sequence_length - 1
    while corrupted_lengths(length + 1, config)[0] <= sequence_length:
        length += 1
    return length


def noise_mask(lengths: np.ndarray, config: CorruptionConfig, generator: np.random.Generator) -> np.ndarray:
    """Which tokens are cut out of texts of these lengths, bool [sum of lengths]: text and spans take turns, from text to a
    span at the end of each.

    Every way to cut `noise` tokens into so many spans, and the others into as many stretches of text, is as likely.
    """
    noise, spans = count_noise(lengths, config)
    cut = spans > 0

    def stretches(totals: np.ndarray) -> np.ndarray:
        """The lengths of `spans` stretches of each of `totals`: they end at its last token and others drawn at random."""
        owner = np.repeat(np.arange(len(totals)), totals)
        draws = generator.random(len(owner))
        draws[np.cumsum(totals) - 1] = -1
        order = np.lexsort((draws, owner))
        ends = np.sort(order[count_up(totals) < spans[cut][owner]])
        return np.diff(ends, prepend=-1)

    turns = np.stack([stretches((lengths - noise)[cut]), stretches(noise[cut])], axis=1).ravel()
    mask = np.zeros(lengths.sum(), bool)
    mask[np.repeat(cut, lengths)] = np.repeat(np.arange(len(turns)) % 2 == 1, turns)
    return mask


def corrupt(
    tokens: np.ndarray, hidden: np.ndarray, lengths: np.ndarray, sentinels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Texts of these lengths, one after the other, in which each span that is `hidden` has become one sentinel.

    Returns:
        the tokens, and the new lengths of the texts. The sentinels of a text are counted from 0.
    """
    text = np.repeat(np.arange(len(lengths)), lengths)
    first = hidden & ~(np.append(False, hidden[:-1]) & (np.diff(text, prepend=-1) == 0))
    spans = np.bincount(text[first], minlength=len(lengths))
    tokens = tokens.copy()
    tokens[first] = sentinels[count_up(spans)]
    kept = first | ~hidden
    return tokens[kept], np.bincount(text[kept], minlength=len(lengths))


def prepare(packed: PackedRows, tokenizer: Tokenizer, config: CorruptionConfig, network: str) -> PrepareRow:
    """Every text of a row is corrupted by itself, and its two sides have the same segment number, so they see no other.

    The two lengths are those of the fullest row, so that nothing is ever cut.

    Raises:
        ConfigError: the tokenizer has fewer sentinels than a text may have spans.
    """
    read, written = corrupted_lengths(np.arange(packed.sequence_length + 1), config)
    widths, longest = [0, 0], 0
    for _, lengths, counts in packed.pieces():
        ends = np.cumsum(counts)
        widths = [
            max(width, np.add.reduceat(new_length[lengths], ends - counts).max())
            for width, new_length in zip(widths, (read, written), strict=True)
        ]
        longest = max(longest, lengths.max())
    widths = [_round_up(int(width)) for width in widths]
    most = max(1, int(count_noise(longest, config)[1]))
    require(
        len(tokenizer.sentinels) >= most,
        f"task='span_corruption' needs {most} sentinels for these texts, and the vocabulary has {len(tokenizer.sentinels)}; "
        "start the config from configs/t5_small.py, whose tokenizer.special_tokens has them",
    )
    start, end, sentinels = tokenizer.decoder_start, tokenizer.end_of_text, np.array(tokenizer.sentinels, np.int32)

    def corrupt_row(row: Row, generator: np.random.Generator) -> Row:
        tokens, lengths = row["targets"][row["segment_ids"] > 0], np.bincount(row["segment_ids"])[1:]
        last = np.cumsum(lengths) - 1
        cut = tokens[last] != end  # pieces of a document that goes on in another row
        tokens, lengths = np.insert(tokens, last[cut] + 1, end), lengths + cut
        is_end = np.zeros(len(tokens), bool)
        is_end[np.cumsum(lengths) - 1] = True
        noise = np.zeros(len(tokens), bool)
        noise[~is_end] = noise_mask(lengths - 1, config, generator)
        source, target = (
            lay_out(*corrupt(tokens, hidden, lengths, sentinels), width)
            for hidden, width in zip((noise, ~noise & ~is_end), widths, strict=True)
        )
        inputs = np.where(target["positions"] > 0, np.append(start, target["tokens"][:-1]), start)
        inputs = np.where(target["segment_ids"] > 0, inputs, 0).astype(np.int32)
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


SPAN_CORRUPTION = Task(("encoder-decoder",), prepare, token_loss, row_length)
