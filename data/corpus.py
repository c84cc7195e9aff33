"""A corpus ready to train on: split, tokenized, cached by content."""

import dataclasses
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.errors import UserError, require
from common.files import digest
from data.cache import Cache
from data.document import Document
from data.skipped import Skipped
from data.sources import read_documents, split_sources
from data.split import split_documents
from data.tokenizer import Tokenizer, TokenizerConfig, train


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which text, and how it is cut; `configs/base.py` says what each field means."""

    train: tuple[str, ...]
    valid: tuple[str, ...]
    valid_fraction: float
    sequence_length: int
    cache_dir: str
    text_field: str = "text"
    skip_bad: bool = False

    def __post_init__(self):
        object.__setattr__(self, "train", split_sources(self.train))
        object.__setattr__(self, "valid", split_sources(self.valid))
        require(len(self.train) > 0, "train is empty; give a file, a glob, or builtin:hsk")
        require(0 < self.valid_fraction < 1, f"valid_fraction={self.valid_fraction} must be between 0 and 1")
        require(self.sequence_length >= 2, f"sequence_length={self.sequence_length} must be at least 2")
        require(self.text_field != "", "text_field is empty; name the field that holds the text")


@dataclasses.dataclass(frozen=True)
class EncodedText:
    """Documents as one line of tokens.

    Attributes:
        tokens: uint16 or int32 [1 + total]: end-of-text, then every document followed by end-of-text. So a document
            that starts at `starts[i]` has the inputs `tokens[start : start + length]` and, one further, its targets.
        starts: int64 [documents].
        num_bytes: of the documents' text in UTF-8, separators not counted.
    """

    tokens: np.ndarray
    starts: np.ndarray
    num_bytes: int

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each document, its end-of-text included."""
        return np.diff(self.starts, append=len(self.tokens) - 1)

    @property
    def num_tokens(self) -> int:
        return len(self.tokens) - 1


@dataclasses.dataclass(frozen=True)
class Corpus:
    """What a run learns from.

    Attributes:
        valid: validation text by source.
        fingerprint: a hash of every document and of the tokenizer; equal fingerprints mean equal batches.
        skipped: what was left out as broken, to be told to the user; None: nothing may be.
    """

    tokenizer: Tokenizer
    train: EncodedText
    valid: dict[str, EncodedText]
    fingerprint: str
    skipped: Skipped | None = None


def load_corpus(data: DataConfig, tokenizer: TokenizerConfig | Tokenizer) -> Corpus:
    """Reads, splits and tokenizes the sources; a tokenizer is trained on the training side if none is given.

    The trained tokenizer and the tokens are cached under a hash of all that they depend on, so that a stale cache is
    never used.

    Raises:
        ConfigError, UserError: sources that cannot be read, or too little text.
    """
    cache = Cache(Path(os.path.expanduser(data.cache_dir)))
    skipped = Skipped() if data.skip_bad else None
    documents = list(read_documents(data.train, data.text_field, skipped))
    if data.valid:
        train_documents, valid_documents = documents, list(read_documents(data.valid, data.text_field, skipped))
    else:
        train_documents, valid_documents = split_documents(documents, data.valid_fraction)

    if isinstance(tokenizer, TokenizerConfig):
        texts = [document.text for document in train_documents]
        key = digest("tokenizer", repr(tokenizer), *texts)
        model = cache.get(key) or cache.put(key, train(texts, tokenizer).model)
        tokenizer = Tokenizer(model)

    def encode(documents: Sequence[Document]) -> tuple[str, EncodedText]:
        texts = [document.text for document in documents]
        key = digest("tokens", tokenizer.model, *texts)
        blob = cache.get(key) or cache.put(key, _to_blob(encode_texts(texts, tokenizer)))
        return key, _from_blob(blob)

    by_source: dict[str, list[Document]] = {}
    for document in valid_documents:
        by_source.setdefault(document.source, []).append(document)
    train_key, encoded = encode(train_documents)
    valid = {source: encode(documents) for source, documents in by_source.items()}
    if encoded.num_tokens <= data.sequence_length:
        raise UserError(
            f"the training text is {encoded.num_tokens} tokens, less than one sequence of data.sequence_length="
            f"{data.sequence_length}; give more text or a shorter sequence"
        )
    fingerprint = digest(train_key, *(key for key, _ in valid.values()))
    return Corpus(tokenizer, encoded, {source: text for source, (_, text) in valid.items()}, fingerprint, skipped)


def encode_texts(texts: Sequence[str], tokenizer: Tokenizer) -> EncodedText:
    """All `texts` as one line of tokens; see `EncodedText`."""
    pieces = tokenizer.encode_all(texts)
    lengths = np.array([len(piece) + 1 for piece in pieces], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    tokens = np.full(
        1 + lengths.sum(), tokenizer.end_of_text, np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.int32
    )
    for start, piece in zip(starts, pieces, strict=True):
        tokens[start + 1 : start + 1 + len(piece)] = piece
    return EncodedText(tokens, starts, sum(len(text.encode()) for text in texts))


def _to_blob(encoded: EncodedText) -> bytes:
    file = io.BytesIO()
    np.savez(file, tokens=encoded.tokens, starts=encoded.starts, num_bytes=encoded.num_bytes)
    return file.getvalue()


def _from_blob(blob: bytes) -> EncodedText:
    with np.load(io.BytesIO(blob)) as arrays:
        return EncodedText(arrays["tokens"], arrays["starts"], int(arrays["num_bytes"]))
