"""A corpus ready to train on: split, tokenized, cached by content."""

import dataclasses
import hashlib
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.errors import ConfigError, UserError, require
from common.files import digest, write_whole
from data.document import Document
from data.sources import read_documents, split_sources
from data.tokenizer import Tokenizer, TokenizerConfig, train

# Where a line and a sentence begin.
LINE = re.compile(r"(?<=\n)")
SENTENCE = re.compile(r"(?<=[。！？])(?=[^。！？”’」』）])|(?<=[.!?] )")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which text, and how it is cut; `configs/base.py` says what each field means."""

    train: tuple[str, ...]
    valid: tuple[str, ...]
    valid_fraction: float
    sequence_length: int
    cache_dir: str

    def __post_init__(self):
        object.__setattr__(self, "train", split_sources(self.train))
        object.__setattr__(self, "valid", split_sources(self.valid))
        require(len(self.train) > 0, "train is empty; give a file, a glob, or builtin:hsk")
        require(0 < self.valid_fraction < 1, f"valid_fraction={self.valid_fraction} must be between 0 and 1")
        require(self.sequence_length >= 2, f"sequence_length={self.sequence_length} must be at least 2")


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
    """

    tokenizer: Tokenizer
    train: EncodedText
    valid: dict[str, EncodedText]
    fingerprint: str


def load_corpus(data: DataConfig, tokenizer: TokenizerConfig | Tokenizer) -> Corpus:
    """Reads, splits and tokenizes the sources; a tokenizer is trained on the training side if none is given.

    The trained tokenizer and the tokens are cached under a hash of all that they depend on, so that a stale cache is
    never used.

    Raises:
        ConfigError, UserError: sources that cannot be read, or too little text.
    """
    cache = Cache(Path(os.path.expanduser(data.cache_dir)))
    documents = list(read_documents(data.train))
    if data.valid:
        train_documents, valid_documents = documents, list(read_documents(data.valid))
    else:
        train_documents, valid_documents = split_documents(documents, data.valid_fraction)

    if isinstance(tokenizer, TokenizerConfig):
        texts = [document.text for document in train_documents]
        key = digest("tokenizer", repr(tokenizer), *texts)
        model = cache.get(key) or cache.put(key, train(texts, tokenizer).model)
        tokenizer = Tokenizer(model)

    def encode(documents: Sequence[Document]) -> EncodedText:
        texts = [document.text for document in documents]
        key = digest("tokens", tokenizer.model, *texts)
        fingerprints.append(key)
        blob = cache.get(key) or cache.put(key, _to_blob(encode_texts(texts, tokenizer)))
        return _from_blob(blob)

    fingerprints: list[str] = []
    by_source: dict[str, list[Document]] = {}
    for document in valid_documents:
        by_source.setdefault(document.source, []).append(document)
    encoded = encode(train_documents)
    valid = {source: encode(documents) for source, documents in by_source.items()}
    if encoded.num_tokens <= data.sequence_length:
        raise UserError(
            f"the training text is {encoded.num_tokens} tokens, less than one sequence of data.sequence_length="
            f"{data.sequence_length}; give more text or a shorter sequence"
        )
    return Corpus(tokenizer, encoded, valid, digest(*fingerprints))


def split_documents(documents: Sequence[Document], valid_fraction: float) -> tuple[list[Document], list[Document]]:
    """Training and validation documents, chosen by a hash of each document's key.

    So a document stays on its side when others are added. Where a side comes out empty, the last lines of the documents
    are held out instead (of one long text, say), or, if there are none to spare, the document whose hash is lowest, or
    the last sentences of the only one.

    Raises:
        UserError: the text is one line without sentences.
    """

    def split(bound: float) -> tuple[list[Document], list[Document]]:
        train, valid = [], []
        for document, value in zip(documents, hashes, strict=True):
            (valid if value < bound else train).append(document)
        return train, valid

    hashes = [_hash(document) for document in documents]
    train, valid = split(valid_fraction * 2**64)
    if not (train and valid):
        train, valid = _hold_out_ends(documents, valid_fraction, LINE)
    if not valid:
        train, valid = split(min(hashes) + 1)
    if not train:
        train, valid = _hold_out_ends(documents, valid_fraction, SENTENCE)
    if not valid:
        raise UserError(
            f"the text of {', '.join(sorted({document.source for document in documents}))} has no second document, line or "
            "sentence to hold out for validation; put documents between blank lines, or give --config.data.valid=FILE"
        )
    return train, valid


def _hash(document: Document) -> int:
    key = document.text if document.key is None else document.key
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def _hold_out_ends(
    documents: Sequence[Document], valid_fraction: float, start: re.Pattern
) -> tuple[list[Document], list[Document]]:
    """The documents without their last parts, and these; one that has a key or a single part stays whole.

    `start` matches where a part begins.
    """
    train, valid = [], []
    for document in documents:
        parts = start.split(document.text.strip())
        held_out = min(max(1, round(valid_fraction * len(parts))), len(parts) - 1)
        if document.key is None and held_out:
            train.append(dataclasses.replace(document, text="".join(parts[:-held_out]).rstrip()))
            valid.append(dataclasses.replace(document, text="".join(parts[-held_out:])))
        else:
            train.append(document)
    return train, valid


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


class Cache:
    """Blobs by key in a folder; each carries its own hash, so one that was damaged counts as absent."""

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, key: str) -> bytes | None:
        try:
            stored = (self.folder / key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        return stored[32:] if hashlib.sha256(stored[32:]).digest() == stored[:32] else None

    def put(self, key: str, blob: bytes) -> bytes:
        try:
            write_whole(self.folder / key, hashlib.sha256(blob).digest() + blob)
        except OSError as error:
            raise self._unusable(error) from error
        return blob

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"data.cache_dir={str(self.folder)!r} cannot be used ({error.strerror}); "
            "give a folder that can be written: --config.data.cache_dir=DIR"
        )


def _to_blob(encoded: EncodedText) -> bytes:
    file = io.BytesIO()
    np.savez(file, tokens=encoded.tokens, starts=encoded.starts, num_bytes=encoded.num_bytes)
    return file.getvalue()


def _from_blob(blob: bytes) -> EncodedText:
    with np.load(io.BytesIO(blob)) as arrays:
        return EncodedText(arrays["tokens"], arrays["starts"], int(arrays["num_bytes"]))
