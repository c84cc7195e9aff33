"""A few lines of text, with what tokenizers meet: two scripts, digits, tabs, lines."""

import numpy as np

from data.encoded import EncodedText

TEXTS = [
    "The quick brown fox jumps over the lazy dog.\nThe dog sleeps, the fox does not.",
    "今天天气很好，我们去公园。\n你好！你好吗？我很好，谢谢。",
    "In 1984 there were 12 months, 365 days.\tWhy? Nobody knows.",
    "the cat and the dog and the fox and the bird see the tree and the house",
]

END = 1


def encoded(lengths: list[int]) -> EncodedText:
    """Documents of `lengths` tokens, end-of-text included; no token but this occurs twice."""
    starts = np.cumsum([0, *lengths])
    tokens = np.arange(1, starts[-1] + 2, dtype=np.int32)
    tokens[starts] = END
    return EncodedText(tokens, starts[:-1], 0)
