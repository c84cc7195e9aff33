"""From sources to a prepared folder: read, clean, leave out copies, split, tokenize, write.

Documents are written in the order of a hash of their content, so that neither the order of the sources nor how they are
cut into files matters. Nothing is kept of a preparation that was interrupted: the next one starts over.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import require
from common.files import digest, write_whole
from data.builtin import attribution
from data.corpus import TOKENIZER_BYTES, DataConfig, preparation_options, tokenizer_sample
from data.document import Document
from data.encoded import encode_texts, token_dtype, tokens_digest
from data.prepared import is_prepared, write_manifest
from data.report import write_report
from data.selection import Selection, select
from data.shards import SHARD_TOKENS, ShardWriter
from data.skipped import Skipped
from data.sources import read_documents
from data.subword_sampling import SubwordSampling
from data.tokenizer import Tokenizer, TokenizerConfig, train

BATCH_BYTES = 1 << 23  # of text that is tokenized at a time

# Told how far a stage is: its name, documents and bytes so far.
Tell = Callable[[str, int, int], None]


def prepare(
    data: DataConfig,
    tokenizer: TokenizerConfig | Tokenizer,
    folder: Path,
    tell: Tell = lambda *_: None,
    shard_tokens: int = SHARD_TOKENS,
) -> dict[str, Any]:
    """Writes what `data` names to `folder`, which is empty, as `data/prepared.py` describes it. Returns the manifest.

    Raises:
        ConfigError, UserError: sources that cannot be read, or too little text.
    """
    options = {"data.train": data.train}
    options |= preparation_options(data, tokenizer if isinstance(tokenizer, TokenizerConfig) else None)
    skipped = Skipped() if data.skip_bad else None

    def read(sources: Sequence[str]) -> Iterator[Document]:
        return watched(read_documents(sources, data.text_field, skipped), "reading and cleaning", tell)

    valid_documents = read(data.valid) if data.valid else None
    selection = select(read(data.train), valid_documents, data.clean, data.dedup, data.valid_fraction, folder)
    if isinstance(tokenizer, TokenizerConfig):
        tokenizer = train_tokenizer(selection, tokenizer, tell)
    for name, content in tokenizer.files.items():
        write_whole(folder / name, content)
    written = {
        split: {
            source: write_shards(
                folder,
                name,
                augmented(selection.texts.read(by_source[source])),
                tokenizer,
                tell,
                shard_tokens,
                sampling,
            )
            for source, name in file_names(split, by_source)
        }
        for split, by_source, augmented, sampling in (
            ("train", selection.train, data.augmented, data.subwords),
            ("valid", selection.valid, iter, None),
        )
    }
    content = {"options": options, **describe(selection, skipped, tokenizer, written)}
    tell("writing the report", content["stages"][-1]["documents_out"], content["stages"][-1]["bytes_out"])
    write_report(
        folder, content, {split: [part.lengths for part in parts.values()] for split, parts in written.items()}
    )
    hashes = {name: hash for parts in written.values() for part in parts.values() for name, hash in part.hashes.items()}
    return write_manifest(folder, content, hashes)


def describe(
    selection: Selection, skipped: Skipped | None, tokenizer: Tokenizer, written: Mapping[str, Mapping[str, "Part"]]
) -> dict[str, Any]:
    """What the manifest says of it all; `written` is by split and source."""
    train_keys, valid_keys = ([part.key for part in parts.values()] for parts in written.values())
    return {
        "sources": {
            source: {
                "attribution": attribution(source),
                "documents": read.documents,
                "bytes": read.bytes,
                "sha256": read.hash.hex,
            }
            for source, read in selection.read.items()
        },
        "skipped": None if skipped is None else dataclasses.asdict(skipped),
        "stages": [dataclasses.asdict(stage) for stage in selection.stages],
        "tokenizer": {"vocab_size": tokenizer.vocab_size, "dtype": token_dtype(tokenizer.vocab_size).name},
        "splits": {split: {source: part.facts for source, part in parts.items()} for split, parts in written.items()},
        "fingerprint": digest(*train_keys, "valid", *valid_keys),
    }


def refuse_places(data: DataConfig, out: Path) -> None:
    """Raises ConfigError where the result would be among the sources, and read with them the next time."""
    for source in (*data.train, *data.valid):
        path = Path(source).expanduser()
        require(not is_prepared(source), f"{source} is prepared already; name its sources")
        require(
            not (path.is_dir() and out.expanduser().resolve().is_relative_to(path.resolve())),
            f"--out {out} is inside the source {source}, which would be read with it the next time; give another folder",
        )


def train_tokenizer(selection: Selection, config: TokenizerConfig, tell: Tell) -> Tokenizer:
    """A tokenizer of the training text, or of a sample of it where it is long."""
    sizes = [int(selection.sizes[numbers].sum()) for numbers in selection.train.values()]
    most = config.sample_bytes or TOKENIZER_BYTES
    sample = list(tokenizer_sample(map(selection.texts.read, selection.train.values()), sizes, most))
    tell("training the tokenizer", len(sample), min(sum(sizes), most))
    return train(sample, config)


def watched(documents: Iterable[Any], stage: str, tell: Tell) -> Iterator[Any]:
    """The documents; `tell` is told of them as they pass."""
    size = 0
    for number, document in enumerate(documents, 1):
        size += len(document.text.encode())
        tell(stage, number, size)
        yield document


@dataclasses.dataclass(frozen=True)
class Part:
    """What was written of a source's part in a split.

    Attributes:
        facts: for the manifest.
        hashes: of its files, by name.
        key: a hash of the tokenizer and all texts, as `load_corpus` makes it.
        lengths: tokens of each document, int64 [documents].
    """

    facts: dict[str, Any]
    hashes: dict[str, str]
    key: str
    lengths: np.ndarray


def write_shards(
    folder: Path,
    name: str,
    texts: Iterable[str],
    tokenizer: Tokenizer,
    tell: Tell,
    shard_tokens: int,
    sampling: SubwordSampling | None = None,
) -> Part:
    """Tokenizes the texts and writes them as the shards of this name."""
    key, lengths, size, done = tokens_digest(tokenizer, sampling), [np.empty(0, np.int64)], 0, 0
    dtype = token_dtype(tokenizer.vocab_size)
    with closing(ShardWriter(folder, name, dtype, tokenizer.end_of_text, shard_tokens)) as writer:
        for batch in batches_of_texts(texts):
            for text in batch:
                key.add(text)
            encoded = encode_texts(batch, tokenizer, sampling)
            writer.add(encoded.tokens[1:], encoded.lengths)
            lengths.append(encoded.lengths)
            size, done = size + encoded.num_bytes, done + len(batch)
            tell(f"tokenizing {name}", done, size)
    lengths = np.concatenate(lengths)
    facts = {
        "name": name,
        "shards": sum(file.endswith(".bin") for file in writer.files),
        "documents": len(lengths),
        "tokens": writer.num_tokens,
        "bytes": size,
    }
    return Part(facts, writer.files, key.hex, lengths)


def batches_of_texts(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in lists of some BATCH_BYTES."""
    batch, size = [], 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def file_names(split: str, sources: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each source with a name for its files in a split, no two the same."""
    taken = set()
    for source in sources:
        plain = f"{split}-" + (re.sub(r"\W+", "-", source, flags=re.ASCII).strip("-")[-40:] or "text")
        name = next(
            name
            for name in itertools.chain([plain], map(f"{plain}-{{}}".format, itertools.count(2)))
            if name not in taken
        )
        taken.add(name)
        yield source, name
