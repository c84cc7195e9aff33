"""Sources in parts, some files each, that are read apart from one another into blocks of documents."""

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import Digest, digest, write_whole
from data.blocks import write_block
from data.builtin import attribution
from data.document import Document
from data.files import is_url
from data.groups import in_groups
from data.runners import Piece, Runner
from data.skipped import Skipped
from data.sources import names_in, read_from, require_text

# Told how far a stage is: its name, documents and bytes so far.
Tell = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class Part:
    """What is read at once.

    Attributes:
        source: as the config names it.
        names: files of it, in order; (None,) where the source is not of files.
        state: size, time of change and number of each file, by which one that was changed is known; None where nothing
            tells, so that the part is read again each time.
    """

    source: str
    names: tuple[str | None, ...]
    state: tuple[tuple[int, int, int], ...] | None


@dataclasses.dataclass
class Reading:
    """What was read.

    Attributes:
        sources: what the manifest says of each.
        skipped: what was left out as broken.
        blocks: those of raw documents, as `read_part` describes them, each with its source and with `held_out`: whether it
            validates, None where that is by the hashes of its documents.
    """

    sources: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    skipped: Skipped = dataclasses.field(default_factory=Skipped)
    blocks: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def documents(self) -> int:
        return sum(facts["documents"] for facts in self.sources.values())

    @property
    def bytes(self) -> int:
        return sum(facts["bytes"] for facts in self.sources.values())


@dataclasses.dataclass(frozen=True)
class Reader:
    """How parts are read.

    Attributes:
        field: what holds the text in JSONL, CSV, Parquet and `hf:`.
        skip_bad: whether what is broken is left out.
        block_bytes: of text, from which a block is whole.
        cleaned: what the names of the files begin with that blocks become, beside the raw ones.
        code: a hash of the code that reads.
    """

    field: str
    skip_bad: bool
    block_bytes: int
    cleaned: str
    code: str

    def piece(self, work: Path, part: Part) -> Piece:
        """What reads `part`; where that was done before, but cannot be used, it is done again."""
        known = (self.code, part, self.field, self.skip_bad, self.block_bytes)
        path = work / f"read-{digest(repr(known))}.json"
        if part.state is None or not self._is_whole(path):
            path.unlink(missing_ok=True)
        return Piece(path, functools.partial(read_part, part=part, reader=self))

    def _is_whole(self, path: Path) -> bool:
        """Whether all blocks of a part are there, raw or cleaned as they are now to be cleaned."""
        return path.exists() and all(
            raw_path(path.parent, block["name"]).exists() or self.cleaned_path(path.parent, block["name"]).exists()
            for block in json.loads(path.read_text())["blocks"]
        )

    def cleaned_path(self, work: Path, name: str) -> Path:
        return work / f"{self.cleaned}-{name}.npz"


def raw_path(work: Path, name: str) -> Path:
    return work / f"raw-{name}.npz"


def read_sources(
    sources: Iterable[tuple[str, bool | None]], reader: Reader, work: Path, run: Runner, tell: Tell
) -> Reading:
    """Reads sources, each with `held_out`, into raw blocks. All is read before more is done: what is broken is told soon.

    Raises:
        ConfigError, UserError: what cannot be read, by its place; of this stage nothing is kept then.
    """
    reading, hashes, skipped = Reading(), {}, {}
    parts = [(part, held_out) for source, held_out in sources for part in find_parts(source, reader.block_bytes)]
    try:
        pieces = run([reader.piece(work, part) for part, _ in parts])
        for (part, held_out), piece in zip(parts, pieces, strict=True):
            record = json.loads(piece.path.read_text())
            name = part.source
            facts = reading.sources.setdefault(name, {"attribution": attribution(name), "documents": 0, "bytes": 0})
            for file in record["files"]:
                hashes.setdefault(name, []).append(file["sha256"])
                facts["documents"] += file["documents"]
                facts["bytes"] += file["bytes"]
                skipped[name] = skipped.get(name, Skipped()) + Skipped(**file["skipped"])
            reading.blocks += [{**block, "source": name, "held_out": held_out} for block in record["blocks"]]
            tell("reading", reading.documents, reading.bytes)
        for name, facts in reading.sources.items():
            require_text(name, facts["documents"], skipped[name])
            reading.skipped += skipped[name]
    except UserError:
        for pattern in ("read-*", "raw-*"):
            for path in work.glob(pattern):
                path.unlink()
        raise
    for name, facts in reading.sources.items():
        facts["sha256"] = digest(*hashes[name])
    return reading


def find_parts(source: str, size: int) -> list[Part]:
    """All parts of a source, in order: a large file each, or small files of some `size` bytes together.

    Raises:
        ConfigError, UserError: it cannot be found; see `find_files`.
    """
    names = names_in(source)
    if any(name is None or is_url(name) for name in names):
        return [Part(source, (name,), None) for name in names]
    groups = in_groups(zip(names, map(_state, names), strict=True), lambda file: file[1][0], size)
    return [Part(source, *zip(*group, strict=True)) for group in groups]


def _state(name: str) -> tuple[int, int, int]:
    """Size, time of change and number of a file; zeros of one that is not there or not to be seen: reading it tells why."""
    try:
        status = os.stat(name)
    except OSError:
        return 0, 0, 0
    return status.st_size, status.st_mtime_ns, status.st_ino


def read_part(path: Path, part: Part, reader: Reader) -> None:
    """Reads a part into blocks beside `path`, and then writes there, as JSON, what it was.

    "files": documents, bytes, a hash of the texts and what was skipped, of each; "blocks": a name, documents and
    bytes of each. A block is named after its content, so that one that is cleaned already is not written once more.

    Raises:
        UserError: what cannot be read, with file and line.
    """
    record: dict[str, list[dict[str, Any]]] = {"files": [], "blocks": []}

    def documents() -> Iterator[tuple[Document, bytes]]:
        for name in part.names:
            skipped, seen, size, count = Skipped(allowed=reader.skip_bad), Digest(), 0, 0
            for document in read_from(part.source, name, reader.field, skipped.add):
                text = document.text.encode()
                seen.add(text)
                size, count = size + len(text), count + 1
                yield document, text
            of_file = {"documents": count, "bytes": size, "sha256": seen.hex, "skipped": skipped.facts}
            record["files"].append(of_file)

    for block in in_groups(documents(), lambda pair: len(pair[1]), reader.block_bytes):
        name = digest(*(part for document, text in block for part in (text, repr(document.key))))
        if not reader.cleaned_path(path.parent, name).exists():
            write_block(raw_path(path.parent, name), [document for document, _ in block])
        size = sum(len(text) for _, text in block)
        record["blocks"].append({"name": name, "documents": len(block), "bytes": size})
    write_whole(path, json.dumps(record))
