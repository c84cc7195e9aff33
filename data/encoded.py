"""Documents as one line of tokens, in memory or in files."""

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from common.files import digest
from data.shards import ShardedTokens
from data.subword_sampling import SubwordSampling, sample_all
from data.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class EncodedText:
    """Documents as one line of tokens.

    Attributes:
        tokens: uint16 or uint32 [1 + total]: end-of-text, then every document followed by end-of-text. So a document
            that starts at `starts[i]` has the inputs `tokens[start : start + length]` and, one further, its targets.
        starts: int64 [documents].
        num_bytes: of the documents' text in UTF-8, separators not counted.
        sizes: the same of each document, int64 [documents]; None where it is not known, as in shards.
        labels: what is to be learned of each document as a whole, such as the number of its class, int32 [documents] or
            numbers of another type or shape [documents, ...]; None: nothing.
        marks: what is to be learned at each of the tokens, as the form of the examples has it, int32 [1 + total]; None:
            nothing.
    """

    tokens: np.ndarray | ShardedTokens
    starts: np.ndarray
    num_bytes: int
    sizes: np.ndarray | None = None
    labels: np.ndarray | None = None
    marks: np.ndarray | None = None

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


def encode_texts(texts: Sequence[str], tokenizer: Tokenizer, sampling: SubwordSampling | None = None) -> EncodedText:
    """All `texts` as one line of tokens, see `EncodedText`; with `sampling`, each as often as it says, in other pieces.

    Raises:
        ConfigError: the tokenizer knows no other pieces.
    """
    pieces = tokenizer.encode_all(texts)
    copies = 1
    if sampling is not None:
        pieces, copies = list(sample_all(texts, pieces, tokenizer, sampling)), sampling.copies
    return join_pieces(pieces, np.repeat(document_sizes(texts), copies), tokenizer)


def join_pieces(
    pieces: Sequence[Sequence[int]],
    sizes: np.ndarray,
    tokenizer: Tokenizer,
    labels: np.ndarray | None = None,
    marks: Sequence[Sequence[int]] | None = None,
) -> EncodedText:
    """Documents that are tokens already, and the bytes of each, as one line; see `EncodedText`.

    Args:
        marks: of each document, those of its tokens and of the end of text behind them.
    """
    lengths = np.array([len(piece) + 1 for piece in pieces], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    tokens = np.full(1 + lengths.sum(), tokenizer.end_of_text, token_dtype(tokenizer.vocab_size))
    for start, piece in zip(starts, pieces, strict=True):
        tokens[start + 1 : start + 1 + len(piece)] = piece
    line_of_marks = None if marks is None else np.concatenate([[0], *marks]).astype(np.int32)
    return EncodedText(tokens, starts, int(sizes.sum()), sizes, labels, line_of_marks)


def document_sizes(texts: Sequence[str]) -> np.ndarray:
    """Bytes of each text in UTF-8, int64 [documents]."""
    return np.array([len(text.encode()) for text in texts], np.int64)


def decoded_sizes(text: EncodedText, tokenizer: Tokenizer) -> np.ndarray | None:
    """Bytes of each document, int64 [documents]: as they are known, or from what its tokens decode to.

    None where that is not the text, as with tokenizers that lose some of it: then the sum is another.
    """
    if text.sizes is not None:
        return text.sizes
    places = zip(text.starts.tolist(), text.lengths.tolist(), strict=True)
    sizes = document_sizes([tokenizer.decode(text.tokens[start + 1 : start + length]) for start, length in places])
    return sizes if sizes.sum() == text.num_bytes else None


def text_hashes(texts: Iterable[str]) -> bytes:
    """BLAKE2b, 128 bits, of each text, one after the other."""
    return b"".join(hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts)


def tokens_key(tokenizer: Tokenizer, sampling: SubwordSampling | None, hashes: bytes) -> str:
    """A hash of all that the tokens of texts depend on that have these `text_hashes`, in this order."""
    return digest("tokens", tokenizer.model, *([] if sampling is None else [repr(sampling)]), hashes)
