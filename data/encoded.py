"""Documents as one line of tokens, in memory or in files."""

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from common.files import digest
from data.shards import ShardedTokens
from data.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class EncodedText:
    """Documents as one line of tokens.

    Attributes:
        tokens: uint16 or uint32 [1 + total]: end-of-text, then every document followed by end-of-text. So a document
            that starts at `starts[i]` has the inputs `tokens[start : start + length]` and, one further, its targets.
        starts: int64 [documents].
        num_bytes: of the documents' text in UTF-8, separators not counted.
    """

    tokens: np.ndarray | ShardedTokens
    starts: np.ndarray
    num_bytes: int

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each document, its end-of-text included."""
        return np.diff(self.starts, append=len(self.tokens) - 1)

    @property
    def num_tokens(self) -> int:
        return len(self.tokens) - 1


def token_dtype(vocab_size: int) -> np.dtype:
    """The smaller of uint16 and uint32 that holds every token id."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def encode_texts(texts: Sequence[str], tokenizer: Tokenizer) -> EncodedText:
    """All `texts` as one line of tokens; see `EncodedText`."""
    pieces = tokenizer.encode_all(texts)
    lengths = np.array([len(piece) + 1 for piece in pieces], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    tokens = np.full(1 + lengths.sum(), tokenizer.end_of_text, token_dtype(tokenizer.vocab_size))
    for start, piece in zip(starts, pieces, strict=True):
        tokens[start + 1 : start + 1 + len(piece)] = piece
    return EncodedText(tokens, starts, sum(len(text.encode()) for text in texts))


def text_hashes(texts: Iterable[str]) -> bytes:
    """BLAKE2b, 128 bits, of each text, one after the other."""
    return b"".join(hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts)


def tokens_key(tokenizer: Tokenizer, hashes: bytes) -> str:
    """What stands for the tokens of texts with these `text_hashes`, in this order."""
    return digest("tokens", tokenizer.model, hashes)
