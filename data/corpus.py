"""A corpus ready to train on: split, tokenized, cached by content."""

import dataclasses
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from common.errors import UserError, choose, require
from common.files import digest
from data.cache import Cache
from data.document import Document
from data.packing import PACKINGS
from data.sources import read_documents, split_sources
from data.split import split_documents
from data.tokenizer import Tokenizer, TokenizerConfig, train

# By the name in `data.on_end`: whether a row may be seen more than once.
ON_END = {"repeat": True, "stop": False}


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which text, and how it is cut; `configs/base.py` says what each field means."""

    train: tuple[str, ...]
    valid: tuple[str, ...]
    valid_fraction: float
    sequence_length: int
    cache_dir: str
    packing: str = "best_fit"
    weights: tuple[float, ...] = ()
    temperature: float = 1.0
    on_end: str = "repeat"

    def __post_init__(self):
        object.__setattr__(self, "train", split_sources(self.train))
        object.__setattr__(self, "valid", split_sources(self.valid))
        require(len(self.train) > 0, "train is empty; give a file, a glob, or builtin:hsk")
        require(0 < self.valid_fraction < 1, f"valid_fraction={self.valid_fraction} must be between 0 and 1")
        require(self.sequence_length >= 2, f"sequence_length={self.sequence_length} must be at least 2")
        choose(PACKINGS, self.packing, "packing")
        choose(ON_END, self.on_end, "on_end")
        require(self.temperature > 0, f"temperature={self.temperature} must be above 0")
        if self.weights:
            require(
                len(self.weights) == len(self.train) and len(set(self.train)) == len(self.train),
                f"weights={self.weights} must be one number for each of the {len(self.train)} different sources of data.train",
            )
            require(
                min(self.weights) > 0,
                f"weights={self.weights} must be above 0; leave a source out of data.train instead",
            )
            require(
                self.temperature == 1, "temperature makes weights of the sources' sizes; with weights, leave it at 1.0"
            )


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
        train, valid: text by source.
        fingerprint: a hash of every document and of the tokenizer; equal fingerprints mean equal batches.
    """

    tokenizer: Tokenizer
    train: dict[str, EncodedText]
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

    def encode(documents: Sequence[Document]) -> tuple[str, EncodedText]:
        texts = [document.text for document in documents]
        key = digest("tokens", tokenizer.model, *texts)
        blob = cache.get(key) or cache.put(key, _to_blob(encode_texts(texts, tokenizer)))
        return key, _from_blob(blob)

    def encode_by_source(documents: Sequence[Document]) -> tuple[list[str], dict[str, EncodedText]]:
        by_source: dict[str, list[Document]] = {}
        for document in documents:
            by_source.setdefault(document.source, []).append(document)
        encoded = {source: encode(its_documents) for source, its_documents in by_source.items()}
        return [key for key, _ in encoded.values()], {source: text for source, (_, text) in encoded.items()}

    train_keys, train_texts = encode_by_source(train_documents)
    valid_keys, valid_texts = encode_by_source(valid_documents)
    num_tokens = sum(text.num_tokens for text in train_texts.values())
    if num_tokens <= data.sequence_length:
        raise UserError(
            f"the training text is {num_tokens} tokens, less than one sequence of data.sequence_length="
            f"{data.sequence_length}; give more text or a shorter sequence"
        )
    return Corpus(tokenizer, train_texts, valid_texts, digest(*train_keys, "valid", *valid_keys))


def mixture_weights(data: DataConfig, train: Mapping[str, EncodedText]) -> tuple[float, ...]:
    """The share of the rows that each text of `train` gets, not scaled; (): they are one text.

    With a temperature T, sizes to the power of 1 / T (mT5, Xue et al. 2020, arXiv:2010.11934; T5, arXiv:1910.10683,
    section 3.5.2): at 1 in proportion to their size, and the more alike the higher it is.

    Raises:
        UserError: a source that has a weight has no document to train on.
    """
    if data.weights:
        for source in data.train:
            if source not in train:
                raise UserError(
                    f"data.weights: no document of {source} is left to train on; leave it out, or set data.valid"
                )
        of_source = dict(zip(data.train, data.weights, strict=True))
        return tuple(of_source[source] for source in train)
    if data.temperature != 1:
        return tuple(text.num_tokens ** (1 / data.temperature) for text in train.values())
    return ()


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
