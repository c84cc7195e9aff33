"""Texts as arrays whose sizes are few, since each size is compiled once."""

from collections.abc import Sequence

import numpy as np

from model import Tokens, TransformerConfig

LEAST_SLOTS = 128  # of a cache; it doubles whenever it is full


def round_up(size: int, least: int = 16) -> int:
    """The next power of two, at least `least`: sizes fall into few classes, and each class is compiled once."""
    return max(least, 1 << (size - 1).bit_length())


def pad(texts: Sequence[Sequence[int]], longest: int) -> Tokens:
    """Token ids as one array, padded on the right to a common length that is one of few, at most `longest`."""
    lengths = np.array([len(text) for text in texts])
    width = min(round_up(int(lengths.max())), longest)
    ids = np.zeros((len(texts), width), np.int32)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
    positions = np.broadcast_to(np.arange(width, dtype=np.int32), ids.shape)
    return Tokens(ids, positions, (positions < lengths[:, None]).astype(np.int32))


def pad_batch(
    prompts: Sequence[Sequence[int]], sources: Sequence[Sequence[int]] | None, longest: int
) -> tuple[Tokens, Tokens | None, int]:
    """Prompts and sources as arrays of as many rows as a power of two, and the slots of the cache to begin with."""
    blank = [[0]] * (round_up(len(prompts), 1) - len(prompts))
    tokens = pad([*prompts, *blank], longest)
    source = None if sources is None else pad([*sources, *blank], longest)
    return tokens, source, round_up(tokens.ids.shape[1] + 1, LEAST_SLOTS)


def prompt_of_rows(prompts: int, samples: int) -> np.ndarray:
    """The prompt that each row continues, int32; -1: none, the row is there to fill the batch up to a power of two."""
    wanted = prompts * samples
    rows = np.full(round_up(wanted, 1), -1, np.int32)
    rows[:wanted] = np.repeat(np.arange(prompts), samples)
    return rows


def most_slots(config: TransformerConfig) -> int:
    """Of a cache: some rows may fill the context after a prompt that is padded to nearly all of it."""
    return round_up(2 * config.max_length, LEAST_SLOTS)
