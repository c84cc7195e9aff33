"""Blocks: documents that are read and cleaned together, in files; and texts by number, read from where they lie.

NAME.text   the documents' UTF-8, one after the other
NAME.npz    their sizes, and what else is known of each; with it the block is there
"""

import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.files import write_whole
from data.cleaning import Cleaner, Sample, Stage
from data.dedup import sign
from data.document import Document, by_source
from data.split import split_hash

BLOCK_BYTES = 1 << 24  # of text, from which a block is whole


def write_block(path: Path, documents: Sequence[Document], **arrays: np.ndarray) -> None:
    """Writes documents, of which the source is not kept, and arrays about them; `path` ends in .npz."""
    texts = [document.text.encode() for document in documents]
    write_whole(path.with_suffix(".text"), b"".join(texts))
    keys = {number: document.key for number, document in enumerate(documents) if document.key is not None}
    write_arrays(path, sizes=np.array([len(text) for text in texts], np.int64), keys=_to_array(keys), **arrays)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes arrays as NumPy's .npz, whole."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    write_whole(path, file.getvalue())


def read_block(path: Path, source: str) -> list[Document]:
    """The documents of a block, in its order."""
    with np.load(path) as arrays:
        sizes, keys = arrays["sizes"], _from_array(arrays["keys"])
    texts = Texts.of([path], [sizes])
    return [Document(text, source, keys.get(str(number))) for number, text in enumerate(texts.read())]


def clean_block(path: Path, raw: Path, clean: Sequence[str], with_minhash: bool) -> None:
    """Makes the block at `path` of the raw one, which is then removed: its documents cleaned, signed, and in order."""
    try:
        documents = read_block(raw, "")
    except FileNotFoundError:
        if path.exists():  # another process, which outlived a killed one, has been here
            return
        raise
    cleaner = Cleaner(clean)
    write_signed(path, list(cleaner.clean(documents)), cleaner.stages, with_minhash)
    for ending in (".npz", ".text"):
        raw.with_suffix(ending).unlink(missing_ok=True)


def write_signed(path: Path, documents: Sequence[Document], stages: Sequence[Stage], with_minhash: bool) -> None:
    """Writes a block of documents that are cleaned, in the order of a hash of their content, with all that decides on them.

    So those that will be tokenized together, of all blocks, lie together in each of them.
    """
    signatures = sign((document.text for document in documents), with_minhash=with_minhash)
    order = np.lexsort((signatures.text, signatures.content[:, 1], signatures.content[:, 0]))
    write_block(
        path,
        [documents[number] for number in order],
        content=signatures.content[order],
        text=signatures.text[order],
        minhash=signatures.minhash[order],
        split=np.array([split_hash(documents[number]) for number in order], np.uint64),
        stages=_to_array([dataclasses.asdict(stage) for stage in stages]),
    )


@dataclasses.dataclass(frozen=True)
class Block:
    """A block that is cleaned, N documents.

    Attributes:
        path: of its .npz file.
        source: where it is from.
        held_out: whether it validates; None: that is by the hash of each document.
    """

    path: Path
    source: str
    held_out: bool | None = None

    def read(self, *names: str) -> list[np.ndarray]:
        """Arrays: "sizes" int64 [N], in bytes; "split" uint64 [N]; and those of Signatures."""
        with np.load(self.path) as arrays:
            return [arrays[name] for name in names]

    @property
    def stages(self) -> list[Stage]:
        """What the cleaning did."""
        (stages,) = self.read("stages")
        return [
            Stage(**stage | {"samples": tuple(Sample(**sample) for sample in stage["samples"])})
            for stage in _from_array(stages)
        ]

    @property
    def documents(self) -> list[Document]:
        return read_block(self.path, self.source)


@dataclasses.dataclass(frozen=True)
class Texts:
    """N texts in the files of blocks.

    Attributes:
        paths: of the .npz files.
        block: int32 [N]: which of `paths` each is in.
        start, size: int64 [N]: its place in the .text file beside it, in bytes.
    """

    paths: Sequence[Path]
    block: np.ndarray
    start: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, paths: Sequence[Path], sizes: Sequence[np.ndarray]) -> "Texts":
        """All texts of some blocks, one block after the other."""
        block = np.repeat(np.arange(len(paths), dtype=np.int32), [len(each) for each in sizes])
        start = [np.cumsum(each) - each for each in sizes]
        return cls(tuple(paths), block, *(np.concatenate([np.empty(0, np.int64), *each]) for each in (start, sizes)))

    def __len__(self) -> int:
        return len(self.size)

    def __getitem__(self, numbers: np.ndarray | slice) -> "Texts":
        return dataclasses.replace(self, block=self.block[numbers], start=self.start[numbers], size=self.size[numbers])

    def read(self) -> list[str]:
        """All of them, in order."""
        texts = [""] * len(self)
        by_block = np.argsort(self.block, kind="stable")
        for numbers in np.split(by_block, np.flatnonzero(np.diff(self.block[by_block])) + 1):
            if len(numbers):
                with self.paths[self.block[numbers[0]]].with_suffix(".text").open("rb") as file:
                    for number in numbers:
                        file.seek(self.start[number])
                        texts[number] = file.read(self.size[number]).decode()
        return texts


def make_blocks(
    documents: Sequence[Document], held_out: bool | None, clean: Sequence[str], with_minhash: bool, folder: Path
) -> list[Block]:
    """Documents that are in memory as cleaned blocks in `folder`, one of each source."""
    blocks = []
    for number, (source, of_source) in enumerate(sorted(by_source(documents).items())):
        path, cleaner = folder / f"{held_out}-{number}.npz", Cleaner(clean)
        write_signed(path, list(cleaner.clean(of_source)), cleaner.stages, with_minhash)
        blocks.append(Block(path, source, held_out))
    return blocks


def _to_array(content: Any) -> np.ndarray:
    """Anything that JSON can hold."""
    return np.frombuffer(json.dumps(content).encode(), np.uint8)


def _from_array(array: np.ndarray) -> Any:
    return json.loads(array.tobytes())
