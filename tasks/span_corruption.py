"""Span corruption (T5): spans of the text are cut out, a sentinel in the place of each, and the network writes them.

Raffel et al. 2020 (arXiv:1910.10683, sections 3.1.4 and 3.3.4).
"""

import numpy as np

from common.errors import require
from data.batches import PackedRows, PrepareRow, Row
from data.packing import count_up
from data.tokenizer import Tokenizer
from tasks.cross_entropy import token_loss
from tasks.sides import fullest, round_up, two_sides
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
    """Which tokens are cut out of texts of these lengths, bool [sum of lengths]: text and spans take turns.

    They begin with text and end with a span, as published; with `spans_anywhere` a span may be first, and text last. Every
    way to cut `noise` tokens into so many spans, and the others into the stretches of text about them, is as likely.
    """
    noise, spans = count_noise(lengths, config)
    cut = spans > 0
    kept, noise, spans = (lengths - noise)[cut], noise[cut], spans[cut]

    def stretches(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The lengths of `counts` stretches of each of `totals`: they end at its last token and others drawn at random."""
        owner = np.repeat(np.arange(len(totals)), totals)
        draws = generator.random(len(owner))
        draws[np.cumsum(totals) - 1] = -1
        order = np.lexsort((draws, owner))
        ends = np.sort(order[count_up(totals) < counts[owner]])
        return np.diff(ends, prepend=-1)

    place = count_up(2 * spans + 1)  # in each text: its stretches are at the even places
    is_span = place % 2 == 1
    turns = np.zeros(len(place), int)
    if config.spans_anywhere:
        at_an_end = (place == 0) | (place == np.repeat(2 * spans, 2 * spans + 1))
        turns[~is_span] = stretches(kept + 2, spans + 1)
        turns[at_an_end] -= 1  # there may be none
    else:
        turns[~is_span & (place < np.repeat(2 * spans, 2 * spans + 1))] = stretches(kept, spans)
    turns[is_span] = stretches(noise, spans)
    mask = np.zeros(lengths.sum(), bool)
    mask[np.repeat(cut, lengths)] = np.repeat(is_span, turns)
    return mask


def corrupt(
    tokens: np.ndarray, hidden: np.ndarray, lengths: np.ndarray, sentinels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Texts of these lengths, one after the other, in which each span that is `hidden` has become one sentinel.

    Returns:
        the tokens, and the new lengths of the texts. The sentinels of a text are counted from 0.
    """
    text = np.repeat(np.arange(len(lengths)), lengths)
    first = _first_of_spans(hidden, text)
    spans = np.bincount(text[first], minlength=len(lengths))
    tokens = tokens.copy()
    tokens[first] = sentinels[count_up(spans)]
    kept = first | ~hidden
    return tokens[kept], np.bincount(text[kept], minlength=len(lengths))


def write_out(
    tokens: np.ndarray, hidden: np.ndarray, lengths: np.ndarray, sentinels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What `corrupt` takes out of the same texts: each span that is `hidden`, behind its sentinel.

    Of a text of which nothing is hidden this is the first sentinel alone. Returns the tokens, and how many each text has.
    """
    text = np.repeat(np.arange(len(lengths)), lengths)
    first = _first_of_spans(hidden, text)
    untouched = np.bincount(text[hidden], minlength=len(lengths)) == 0
    first |= (np.diff(text, prepend=-1) > 0) & untouched[text]
    spans = np.bincount(text[first], minlength=len(lengths))
    places = np.flatnonzero(first)
    written, text = np.insert(tokens, places, sentinels[count_up(spans)]), np.insert(text, places, text[places])
    kept = np.insert(hidden, places, True)
    return written[kept], np.bincount(text[kept], minlength=len(lengths))


def _first_of_spans(hidden: np.ndarray, text: np.ndarray) -> np.ndarray:
    """The tokens that are hidden and do not follow another such of the same `text`, bool."""
    return hidden & ~(np.append(False, hidden[:-1]) & (np.diff(text, prepend=-1) == 0))


def prepare(packed: PackedRows, tokenizer: Tokenizer, config: CorruptionConfig, network: str) -> PrepareRow:
    """Every text of a row is corrupted by itself. The two lengths are those of the fullest row, so that nothing is ever cut.

    Raises:
        ConfigError: the tokenizer has fewer sentinels than a text may have spans.
    """
    read, written = corrupted_lengths(np.arange(packed.sequence_length + 1), config)
    widths, longest = [0, 0], 0
    for _, lengths, counts in packed.pieces():
        sides = read[lengths], written[lengths]
        widths = [max(width, fullest(side, counts)) for width, side in zip(widths, sides, strict=True)]
        longest = max(longest, lengths.max())
    widths = tuple(map(round_up, widths))
    most = max(1, int(count_noise(longest, config)[1]))
    require(
        len(tokenizer.sentinels) >= most,
        f"task='span_corruption' needs {most} sentinels for these texts, and the vocabulary has {len(tokenizer.sentinels)}; "
        "start the config from configs/t5_small.py, whose tokenizer.special_tokens has them",
    )
    end, sentinels = tokenizer.end_of_text, np.array(tokenizer.sentinels, np.int32)

    def corrupt_row(row: Row, generator: np.random.Generator) -> Row:
        tokens, lengths = row["targets"][row["segment_ids"] > 0], np.bincount(row["segment_ids"])[1:]
        last = np.cumsum(lengths) - 1
        ended = tokens[last] == end  # a piece of a document may go on in another row
        tokens, lengths = np.delete(tokens, last[ended]), lengths - ended
        noise = noise_mask(lengths, config, generator)
        source, target = (make(tokens, noise, lengths, sentinels) for make in (corrupt, write_out))
        return two_sides(source, target, widths, tokenizer)

    return corrupt_row


SPAN_CORRUPTION = Task(("encoder-decoder",), prepare, token_loss, row_length)
