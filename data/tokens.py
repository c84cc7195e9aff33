"""From a selection of documents to shards: the tokenizer, then the tokens of stretches of documents, then files of them."""

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.files import digest, write_whole
from data.blocks import Texts, write_arrays
from data.config import DataConfig
from data.encoded import encode_texts, text_hashes, token_dtype, tokens_key
from data.groups import in_groups
from data.parts import Tell
from data.runners import Piece, Runner
from data.sample import TOKENIZER_BYTES, sample_counts
from data.selection import Selection
from data.shards import ShardWriter
from data.subword_sampling import SubwordSampling
from data.tokenizer import Tokenizer, TokenizerConfig, train
from data.tokenizer_files import read_tokenizer

BATCH_BYTES = 1 << 23  # of text, about, that is tokenized at a time

Augment = Callable[[Iterable[str]], Iterable[str]]  # texts, and their variants


def name_of(selection: Selection, numbers: np.ndarray, *others: str) -> str:
    """A hash of some documents of a selection, and of what else a piece of work depends on."""
    signatures = selection.signatures
    return digest(*others, signatures.content[numbers].tobytes(), signatures.text[numbers].tobytes())


def train_tokenizer(
    selection: Selection, config: TokenizerConfig, code: str, work: Path, run: Runner, tell: Tell
) -> Tokenizer:
    """A tokenizer of the training text, or of a sample of it where it is long. `code`: a hash of the code."""
    sides = list(selection.train.values())
    counts = sample_counts([selection.texts.size[numbers] for numbers in sides], config.sample_bytes or TOKENIZER_BYTES)
    numbers = np.concatenate([side[:count] for side, count in zip(sides, counts, strict=True)])
    tell("training the tokenizer", len(numbers), int(selection.texts.size[numbers].sum()))
    path = work / f"tokenizer-{name_of(selection, numbers, code, repr(config))}.model"
    (piece,) = run([Piece(path, functools.partial(_train, texts=selection.texts[numbers], config=config))])
    return Tokenizer(piece.path.read_bytes())


def _train(path: Path, texts: Texts, config: TokenizerConfig) -> None:
    write_whole(path, train(texts.read(), config).model)


@dataclasses.dataclass(frozen=True)
class Written:
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


class Stretch(NamedTuple):
    """Documents of a source in a split that follow one another, and the piece that tokenizes them."""

    split: str
    source: str
    sampling: SubwordSampling | None
    piece: Piece


def plan_stretches(
    selection: Selection, tokenizer: Tokenizer, data: DataConfig, code: str, work: Path, stretch_bytes: int
) -> list[Stretch]:
    """Everything that is to be tokenized, in order; text to train on with the variants that `data` asks for.

    Args:
        code: a hash of the code.
        stretch_bytes: of text in a stretch.
    """
    variants = repr((data.augment, data.augment_copies, data.augment_seed, data.subwords))
    files = work / f"tokenizer-{digest(*(part for file in sorted(tokenizer.files.items()) for part in file))}"
    for name, content in tokenizer.files.items():
        write_whole(files / name, content)
    plan = []
    for split, by_source, changed, augment, sampling in (
        ("train", selection.train, variants, data.augmented, data.subwords),
        ("valid", selection.valid, "", iter, None),
    ):
        for source, numbers in by_source.items():
            ends = np.cumsum(selection.texts.size[numbers])
            cuts = np.unique(1 + np.searchsorted(ends, np.arange(stretch_bytes, ends[-1], stretch_bytes)))
            for some in np.split(numbers, cuts[cuts < len(numbers)]):
                path = work / f"tokens-{name_of(selection, some, code, files.name, changed)}.npz"
                texts = selection.texts[some]
                make = functools.partial(tokenize, texts=texts, augment=augment, sampling=sampling, tokenizer=files)
                plan.append(Stretch(split, source, sampling, Piece(path, make)))
    return plan


def tokenize(path: Path, texts: Texts, augment: Augment, sampling: SubwordSampling | None, tokenizer: Path) -> None:
    """Writes the tokens of texts and their variants, with lengths, hashes and the bytes of text.

    `tokenizer`: the folder that it is in.
    """
    known = _read_tokenizer(tokenizer)
    tokens, lengths, hashes, size = [], [], [], 0
    for batch in in_groups(augment(texts.read()), len, BATCH_BYTES):
        encoded = encode_texts(batch, known, sampling)
        tokens.append(encoded.tokens[1:])
        lengths.append(encoded.lengths)
        hashes.append(text_hashes(batch))
        size += encoded.num_bytes
    write_arrays(
        path,
        tokens=np.concatenate(tokens),
        lengths=np.concatenate(lengths),
        hashes=np.frombuffer(b"".join(hashes), np.uint8),
        size=np.array(size),
    )


@functools.lru_cache(1)
def _read_tokenizer(folder: Path) -> Tokenizer:
    return read_tokenizer(folder)


def write_splits(
    plan: Sequence[Stretch], tokenizer: Tokenizer, folder: Path, run: Runner, tell: Tell, shard_tokens: int
) -> dict[str, dict[str, Written]]:
    """Tokenizes all stretches and writes them as shards: what was written, by split and source."""
    written: dict[str, dict[str, Written]] = {"train": {}, "valid": {}}
    names = {
        split: file_names(split, dict.fromkeys(each.source for each in plan if each.split == split))
        for split in written
    }
    pieces = run([stretch.piece for stretch in plan])
    for (split, source, sampling), group in itertools.groupby(zip(plan, pieces, strict=True), lambda each: each[0][:3]):
        paths, name = (piece.path for _, piece in group), names[split][source]
        written[split][source] = write_shards(folder, name, paths, tokenizer, sampling, tell, shard_tokens)
    return written


def write_shards(
    folder: Path,
    name: str,
    paths: Iterable[Path],
    tokenizer: Tokenizer,
    sampling: SubwordSampling | None,
    tell: Tell,
    shard_tokens: int,
) -> Written:
    """Writes what `tokenize` has written, one after the other, as the shards of this name."""
    hashes, lengths, size = [], [], 0
    dtype = token_dtype(tokenizer.vocab_size)
    with closing(ShardWriter(folder, name, dtype, tokenizer.end_of_text, shard_tokens)) as writer:
        for path in paths:
            with np.load(path) as arrays:
                lengths.append(arrays["lengths"])
                hashes.append(arrays["hashes"].tobytes())
                size += int(arrays["size"])
                writer.add(arrays["tokens"], lengths[-1])
            tell(f"tokenizing {name}", sum(map(len, lengths)), size)
    lengths = np.concatenate(lengths)
    facts = {
        "name": name,
        "shards": sum(file.endswith(".bin") for file in writer.files),
        "documents": len(lengths),
        "tokens": writer.num_tokens,
        "bytes": size,
    }
    return Written(facts, writer.files, tokens_key(tokenizer, sampling, b"".join(hashes)), lengths)


def file_names(split: str, sources: Iterable[str]) -> dict[str, str]:
    """A name for the files of each source in a split, no two the same."""
    names: dict[str, str] = {}
    for source in sources:
        plain = f"{split}-" + (re.sub(r"\W+", "-", source, flags=re.ASCII).strip("-")[-40:] or "text")
        candidates = itertools.chain([plain], map(f"{plain}-{{}}".format, itertools.count(2)))
        names[source] = next(name for name in candidates if name not in names.values())
    return names
