"""From sources to a prepared folder: read, clean, leave out copies, split, tokenize, write.

    parts of sources -> raw blocks -> cleaned blocks -> [copies, split, order] -> tokenizer -> tokens of stretches -> [shards]

What stands in brackets looks at everything, and is done here; all else is done in pieces (data/runners.py). Documents are
written in the order of a hash of their content, so that neither the order of the sources nor how they are cut into files,
parts, blocks and stretches matters.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import require
from common.files import digest, write_whole
from data.blocks import BLOCK_BYTES, Block, clean_block
from data.cache import code_hash
from data.cleaning import Stage
from data.config import DataConfig, preparation_options
from data.encoded import token_dtype
from data.parts import Reader, Reading, Tell, raw_path, read_sources
from data.prepared import is_prepared, write_manifest
from data.report import write_report
from data.runners import Piece, Runner, in_process
from data.selection import Selection, select
from data.shards import SHARD_TOKENS
from data.tokenizer import Tokenizer, TokenizerConfig
from data.tokens import Written, plan_stretches, train_tokenizer, write_splits


def prepare(
    data: DataConfig,
    tokenizer: TokenizerConfig | Tokenizer,
    folder: Path,
    work: Path,
    run: Runner = in_process,
    tell: Tell = lambda *_: None,
    shard_tokens: int = SHARD_TOKENS,
    block_bytes: int = BLOCK_BYTES,
) -> dict[str, Any]:
    """Writes what `data` names to `folder`, which is empty, as `data/prepared.py` describes it. Returns the manifest.

    Args:
        work: the folder for pieces of work; those that are there are not done again.
        block_bytes: of text in a piece.

    Raises:
        ConfigError, UserError: sources that cannot be read, or too little text.
    """
    require(not data.folds, f"data.folds={data.folds} divides text as it is trained on, not as it is prepared; set 0")
    options = {"data.train": data.train}
    options |= preparation_options(data, tokenizer if isinstance(tokenizer, TokenizerConfig) else None)
    code = code_hash()
    reading, blocks = read_and_clean(data, code, work, run, tell, block_bytes)
    tell("leaving out copies", reading.documents, reading.bytes)
    selection = select(blocks, data.dedup, data.valid_fraction, work)
    if isinstance(tokenizer, TokenizerConfig):
        tokenizer = train_tokenizer(selection, tokenizer, code, work, run, tell)
    for name, content in tokenizer.files.items():
        write_whole(folder / name, content)
    plan = plan_stretches(selection, tokenizer, data, code, work, block_bytes)
    written = write_splits(plan, tokenizer, folder, run, tell, shard_tokens)
    content = {"options": options, **describe(data, reading, selection, tokenizer, written)}
    tell("writing the report", content["stages"][-1]["documents_out"], content["stages"][-1]["bytes_out"])
    write_report(
        folder, content, {split: [part.lengths for part in parts.values()] for split, parts in written.items()}
    )
    hashes = {name: hash for parts in written.values() for part in parts.values() for name, hash in part.hashes.items()}
    return write_manifest(folder, content, hashes)


def read_and_clean(
    data: DataConfig, code: str, work: Path, run: Runner, tell: Tell, block_bytes: int
) -> tuple[Reading, list[Block]]:
    """Reads all sources, and then cleans and signs what was read, block by block."""
    with_minhash = data.dedup == "near"
    cleaned = f"clean-{digest(code, repr((data.clean, with_minhash)))[:16]}"
    reader = Reader(data.text_field, data.skip_bad, block_bytes, cleaned, code)
    train_side = False if data.valid else None
    sources = [(source, train_side) for source in data.train] + [(source, True) for source in data.valid]
    reading = read_sources(sources, reader, work, run, tell)
    pieces, blocks = [], []
    for block in reading.blocks:
        raw, path = raw_path(work, block["name"]), reader.cleaned_path(work, block["name"])
        pieces.append(Piece(path, functools.partial(clean_block, raw=raw, clean=data.clean, with_minhash=with_minhash)))
    documents = size = 0
    for block, piece in zip(reading.blocks, run(pieces), strict=True):
        documents, size = documents + block["documents"], size + block["bytes"]
        tell("cleaning", documents, size)
        blocks.append(Block(piece.path, block["source"], block["held_out"]))
    return reading, blocks


def describe(
    data: DataConfig,
    reading: Reading,
    selection: Selection,
    tokenizer: Tokenizer,
    written: Mapping[str, Mapping[str, Written]],
) -> dict[str, Any]:
    """What the manifest says of it all; `written` is by split and source."""
    train_keys, valid_keys = ([part.key for part in parts.values()] for parts in written.values())
    read = Stage("read", reading.documents, reading.documents, reading.bytes, reading.bytes)
    return {
        "sources": reading.sources,
        "skipped": dataclasses.asdict(reading.skipped) if data.skip_bad else None,
        "stages": [dataclasses.asdict(stage) for stage in (read, *selection.stages)],
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
