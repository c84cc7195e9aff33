"""The text that a tokenizer is trained on, or measured on, where all of it would be too much."""

from collections.abc import Mapping, Sequence

import numpy as np

from common.files import digest
from data.encoded import document_sizes

TOKENIZER_BYTES = 100_000_000  # of text that a tokenizer is trained on, where documents are in an order without meaning


def sample_texts(by_source: Mapping[str, Sequence[str]], most: int | None, keeps_order: bool) -> list[str]:
    """Texts of some `most` bytes, chosen by hash, each source with its share.

    None: TOKENIZER_BYTES, or all where they keep the order of the sources.
    """
    if keeps_order and most is not None:
        by_source = {source: sorted(texts, key=digest) for source, texts in by_source.items()}
    sizes = [document_sizes(texts) for texts in by_source.values()]
    counts = sample_counts(sizes, most or (None if keeps_order else TOKENIZER_BYTES))
    return [text for texts, count in zip(by_source.values(), counts, strict=True) for text in texts[:count]]


def sample_counts(sizes: Sequence[np.ndarray], most: int | None) -> list[int]:
    """How many texts of each source, from its first, make some `most` bytes together, where each source has its share.

    `sizes`: bytes of each text of each source. That is a random sample where texts are in the order of a hash. None: all.
    """
    share = 1 if most is None else min(1, most / sum(int(each.sum()) for each in sizes))
    return [
        min(len(each), 1 + int(np.searchsorted(np.cumsum(each), share * each.sum()))) if len(each) else 0
        for each in sizes
    ]
