"""A corpus ready to train on: of sources, tokenized here and cached by content, or of a prepared folder."""

import dataclasses
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError, require
from common.files import digest
from data.blocks import make_blocks
from data.builtin import attribution
from data.cache import Cache, code_hash
from data.config import DataConfig, default_options, preparation_options, require_weights
from data.document import Document
from data.encoded import EncodedText, document_sizes, encode_texts, text_hashes, tokens_key
from data.folds import split_fold
from data.mapped import join, temporary_folder
from data.prepared import is_prepared, read_prepared, refuse_other_options, refuse_other_tokenizer
from data.selection import select
from data.skipped import Skipped
from data.sources import read_documents
from data.split import split_documents
from data.subword_sampling import SubwordSampling
from data.tokenizer import Tokenizer, TokenizerConfig, train

TOKENIZER_BYTES = 100_000_000  # of text that a tokenizer is trained on, where documents are in an order without meaning

Texts = dict[str, list[str]]  # by source


@dataclasses.dataclass(frozen=True)
class Corpus:
    """What a run learns from.

    Attributes:
        train, valid: text by source.
        origin: what a run's folder keeps of it: "sources" with their attribution, and the "fingerprint", a hash of every
            document and of the tokenizer; equal fingerprints mean equal batches.
        sources: those of the training text, as `data.weights` counts them.
        skipped: what was left out as broken, to be told to the user; None: nothing may be.
        classes: names of the labels, where the documents have some.
        valid_documents: then, the documents of `valid`, by source.
    """

    tokenizer: Tokenizer
    train: Mapping[str, EncodedText]
    valid: Mapping[str, EncodedText]
    origin: Mapping[str, Any]
    sources: tuple[str, ...]
    skipped: Skipped | None = None
    classes: tuple[str, ...] = ()
    valid_documents: Mapping[str, Sequence[Document]] = dataclasses.field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        return self.origin["fingerprint"]

    @property
    def num_tokens(self) -> int:
        """Those to train on."""
        return sum(text.num_tokens for text in self.train.values())


def load_corpus(data: DataConfig, tokenizer: TokenizerConfig | Tokenizer) -> Corpus:
    """What `data.train` names: a prepared folder, or sources, whose documents are selected and tokenized now.

    Of sources the tokenizer is trained on the training side if none is given; it and the tokens are cached under a hash
    of all that they depend on, so that a stale cache is never used.

    Raises:
        ConfigError, UserError: sources that cannot be read, too little text, or a prepared folder that is damaged or was
            prepared with other options or another tokenizer.
    """
    if any(map(is_prepared, data.train)):
        require(len(data.train) == 1, "data.train: a prepared folder stands alone; prepare all the sources together")
        require(not data.folds, f"data.folds={data.folds}: a prepared folder is already divided; name its sources")
        corpus = _open_prepared(data, tokenizer)
    else:
        corpus = _tokenize_sources(data, tokenizer)
    require_weights(data.weights, corpus.sources, "data.")
    if corpus.num_tokens <= data.sequence_length:
        raise UserError(
            f"the training text is {corpus.num_tokens} tokens, less than one sequence of data.sequence_length="
            f"{data.sequence_length}; give more text or a shorter sequence"
        )
    return corpus


def _open_prepared(data: DataConfig, tokenizer: TokenizerConfig | Tokenizer) -> Corpus:
    folder = Path(os.path.expanduser(data.train[0]))
    prepared = read_prepared(folder)
    manifest = prepared.manifest | {"options": default_options(prepared.manifest) | prepared.manifest["options"]}
    if isinstance(tokenizer, TokenizerConfig):
        refuse_other_options(folder, manifest, preparation_options(data, tokenizer))
    else:
        refuse_other_options(folder, manifest, preparation_options(data, None))
        refuse_other_tokenizer(folder, prepared.tokenizer, tokenizer)
    origin = {
        "sources": {source: facts["attribution"] for source, facts in manifest["sources"].items()},
        "fingerprint": manifest["fingerprint"],
        "prepared": str(folder.absolute()),
    }
    return Corpus(prepared.tokenizer, prepared.train, prepared.valid, origin, tuple(manifest["options"]["data.train"]))


def _tokenize_sources(data: DataConfig, tokenizer: TokenizerConfig | Tokenizer) -> Corpus:
    cache = Cache(Path(os.path.expanduser(data.cache_dir)))
    skipped = Skipped() if data.skip_bad else None
    train_texts, valid_texts = read_texts(data, cache, skipped)

    if isinstance(tokenizer, TokenizerConfig):
        texts = sample_texts(train_texts, tokenizer.sample_bytes, data.keeps_order)
        key = digest("tokenizer", repr(tokenizer), *texts)
        model = cache.get(key) or cache.put(key, train(texts, tokenizer).model)
        tokenizer = Tokenizer(model)

    keys = []

    def encode(by_source: Texts, sampling: SubwordSampling | None = None) -> dict[str, EncodedText]:
        encoded = {}
        for source, texts in by_source.items():
            key = tokens_key(tokenizer, sampling, text_hashes(texts))
            blob = cache.get(key) or cache.put(key, _to_blob(encode_texts(texts, tokenizer, sampling)))
            keys.append(key)
            sizes = np.repeat(document_sizes(texts), 1 if sampling is None else sampling.copies)
            encoded[source] = dataclasses.replace(_from_blob(blob), sizes=sizes)
        return encoded

    augmented = {source: list(data.augmented(texts)) for source, texts in train_texts.items()}
    encoded_train = encode(augmented, data.subwords)
    keys.append("valid")
    encoded_valid = encode(valid_texts)
    sources = {source: attribution(source) for source in (*data.train, *data.valid)}
    origin = {"sources": sources, "fingerprint": digest(*keys)}
    return Corpus(tokenizer, encoded_train, encoded_valid, origin, data.train, skipped)


def read_texts(data: DataConfig, cache: Cache, skipped: Skipped | None) -> tuple[Texts, Texts]:
    """Texts to train on and to validate.

    Raises:
        ConfigError, UserError: sources that cannot be read, or too little text.
    """
    documents = list(read_documents(data.train, data.text_field, skipped))
    held_out = list(read_documents(data.valid, data.text_field, skipped)) if data.valid else None
    return (_split if data.keeps_order else _select)(documents, held_out, data, cache)


def sample_texts(by_source: Texts, most: int | None, keeps_order: bool) -> list[str]:
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


def _split(documents: list[Document], held_out: list[Document] | None, data: DataConfig, _) -> tuple[Texts, Texts]:
    """Texts to train on and to validate, in the order of the sources."""

    def by_source(side: list[Document]) -> Texts:
        texts: Texts = {}
        for document in side:
            texts.setdefault(document.source, []).append(document.text)
        return texts

    if data.folds:
        sources = [document.source for document in documents]
        documents, held_out = split_fold(documents, sources, data.folds, data.fold)
    elif held_out is None:
        documents, held_out = split_documents(documents, data.valid_fraction)
    return by_source(documents), by_source(held_out)


def _select(
    documents: list[Document], held_out: list[Document] | None, data: DataConfig, cache: Cache
) -> tuple[Texts, Texts]:
    """Texts to train on and to validate, as `data.selection` selects and orders them."""
    content = (part for each in (*documents, *(held_out or ())) for part in (each.source, repr(each.key), each.text))
    options = (data.clean, data.dedup, data.valid_fraction, None if held_out is None else len(held_out))
    key = digest("selection", code_hash(), repr(options), *content)
    blob = cache.get(key)
    if blob is None:
        given = [(documents, None)] if held_out is None else [(documents, False), (held_out, True)]
        with temporary_folder() as folder:
            blocks = [
                block
                for side, is_valid in given
                for block in make_blocks(side, is_valid, data.clean, data.dedup == "near", folder)
            ]
            selection = select(blocks, data.dedup, data.valid_fraction, folder)
            sides = [
                {source: selection.texts[numbers].read() for source, numbers in side.items()}
                for side in (selection.train, selection.valid)
            ]
        blob = cache.put(key, json.dumps(sides, ensure_ascii=False).encode())
    train_texts, valid_texts = json.loads(blob)
    return train_texts, valid_texts


def mixture(data: DataConfig, corpus: Corpus) -> tuple[list[EncodedText], tuple[float, ...]]:
    """The texts that rows are made of, and the share of the rows that each gets, not scaled: one text where none has a weight.

    Raises:
        UserError: as `mixture_weights`.
    """
    texts, weights = [*corpus.train.values()], mixture_weights(data, corpus)
    return (texts, weights) if weights else ([join(texts)], (1.0,))


def mixture_weights(data: DataConfig, corpus: Corpus) -> tuple[float, ...]:
    """The share of the rows that each text of `corpus.train` gets, not scaled; (): they are one text.

    With a temperature T, sizes to the power of 1 / T (mT5, Xue et al. 2020, arXiv:2010.11934; T5, arXiv:1910.10683,
    section 3.5.2): at 1 in proportion to their size, and the more alike the higher it is.

    Raises:
        UserError: a source that has a weight has no document to train on.
    """
    if data.weights:
        for source in corpus.sources:
            if source not in corpus.train:
                raise UserError(
                    f"data.weights: no document of {source} is left to train on; leave it out, or set data.valid"
                )
        of_source = dict(zip(corpus.sources, data.weights, strict=True))
        return tuple(of_source[source] for source in corpus.train)
    if data.temperature != 1:
        return tuple(text.num_tokens ** (1 / data.temperature) for text in corpus.train.values())
    return ()


def _to_blob(encoded: EncodedText) -> bytes:
    file = io.BytesIO()
    np.savez(file, tokens=encoded.tokens, starts=encoded.starts, num_bytes=encoded.num_bytes)
    return file.getvalue()


def _from_blob(blob: bytes) -> EncodedText:
    with np.load(io.BytesIO(blob)) as arrays:
        return EncodedText(arrays["tokens"], arrays["starts"], int(arrays["num_bytes"]))
