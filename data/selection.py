"""Which documents are trained on and which validate: cleaned, without copies, split, in an order that is theirs alone."""

import dataclasses
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.files import Digest
from data.cleaning import Cleaner, Sample, Stage, make_sample
from data.dedup import Signatures, concatenate, find_duplicates, sign
from data.document import Document
from data.spill import Spill
from data.split import is_held_out, split_documents

# By the name in `data.dedup`: the similarity from which documents are copies of one another; None: if they are equal.
DEDUP: dict[str, dict[str, float | None] | None] = {"none": None, "exact": {"threshold": None}, "near": {}}
SAMPLES = 3  # of what was dropped as a copy


@dataclasses.dataclass
class Read:
    """What was read of a source: how much, and a hash of all documents in their order."""

    documents: int = 0
    bytes: int = 0
    hash: Digest = dataclasses.field(default_factory=Digest)

    def add(self, document: Document) -> None:
        text = document.text.encode()
        self.documents += 1
        self.bytes += len(text)
        self.hash.add(text)


@dataclasses.dataclass(frozen=True)
class Selection:
    """What is left of sources.

    Attributes:
        texts: all documents that were cleaned, by number.
        train, valid: the numbers of those to train on and to validate, int64 [documents], by source; sources in the order
            of their names, documents in that of a hash of their content.
        stages: what each step took, in order.
        read: what was read, by source.
        sizes: bytes of each document, int64, by number.
    """

    texts: Spill
    train: dict[str, np.ndarray]
    valid: dict[str, np.ndarray]
    stages: tuple[Stage, ...]
    read: dict[str, Read]
    sizes: np.ndarray


def select(
    train: Iterable[Document],
    valid: Iterable[Document] | None,
    clean: Sequence[str],
    dedup: str,
    valid_fraction: float,
    folder: Path | None = None,
) -> Selection:
    """Cleans all documents, drops copies (validation keeps its own) and splits, by hash, where there is no `valid`.

    Args:
        folder: where the texts are kept if they are many; by default where temporary files go.

    Raises:
        ConfigError: a step of `clean` that there is not.
        UserError: no document, or none to train on, is left.
    """
    read: dict[str, Read] = {}
    cleaner = Cleaner(clean)

    def cleaned(documents: Iterable[Document]) -> Iterator[Document]:
        return cleaner.clean(_counted(documents, read))

    shelf = Shelf(folder, with_minhash=dedup == "near")
    if valid is None:
        shelf.add((document, is_held_out(document, valid_fraction)) for document in cleaned(train))
        _require_some(shelf, cleaner)
        if shelf.held_out.all() or not shelf.held_out.any():  # so few that their hashes do not split them
            documents = list(shelf.documents())
            shelf = Shelf(folder, with_minhash=dedup == "near")
            for is_valid, side in enumerate(split_documents(documents, valid_fraction)):
                shelf.add((document, bool(is_valid)) for document in side)
    else:
        shelf.add((document, False) for document in cleaned(train))
        shelf.add((document, True) for document in cleaned(valid))
        _require_some(shelf, cleaner)
    kept, dropped = drop_copies(shelf, dedup)
    for is_valid, side in ((False, "train on"), (True, "validate")):
        if not (kept & (shelf.held_out == is_valid)).any():
            raise UserError(
                f"no document to {side} is left: of {len(kept):,} after data.clean, {kept.sum():,} are no copies; "
                "give more text, or set data.clean, data.dedup or data.valid"
            )
    in_order = shelf.order()
    in_order = in_order[kept[in_order]]

    def by_source(numbers: np.ndarray) -> dict[str, np.ndarray]:
        parts = {name: numbers[shelf.sources[numbers] == number] for number, name in enumerate(shelf.names)}
        return {name: parts[name] for name in sorted(parts) if len(parts[name])}

    held_out, stages = shelf.held_out[in_order], (_read_stage(read), *cleaner.stages, *dropped)
    return Selection(
        shelf.texts, by_source(in_order[~held_out]), by_source(in_order[held_out]), stages, read, shelf.sizes
    )


def _counted(documents: Iterable[Document], read: dict[str, Read]) -> Iterator[Document]:
    for document in documents:
        read.setdefault(document.source, Read()).add(document)
        yield document


def _read_stage(read: dict[str, Read]) -> Stage:
    documents, size = (sum(getattr(each, name) for each in read.values()) for name in ("documents", "bytes"))
    return Stage("read", documents, documents, size, size)


class Shelf:
    """Documents by number: their texts in a spill, and what decides about them in arrays.

    Attributes:
        texts: by number.
        names: of the sources.
    """

    def __init__(self, folder: Path | None, with_minhash: bool):
        self.texts, self.names = Spill(folder), []
        self._with_minhash = with_minhash
        self._sources, self._sizes, self._held_out = array("i"), array("q"), bytearray()
        self._keys: dict[int, str] = {}  # few documents have one
        self._signatures: list[Signatures] = [sign([], with_minhash=with_minhash)]

    def add(self, documents: Iterable[tuple[Document, bool]]) -> None:
        """More documents, and whether each is held out to validate."""
        self._signatures.append(sign(self._passing(documents), with_minhash=self._with_minhash))

    def _passing(self, documents: Iterable[tuple[Document, bool]]) -> Iterator[str]:
        """The texts, once all else that is known of them is written down."""
        numbers = {name: number for number, name in enumerate(self.names)}
        for document, held_out in documents:
            if document.source not in numbers:
                numbers[document.source] = len(self.names)
                self.names.append(document.source)
            if document.key is not None:
                self._keys[len(self.texts)] = document.key
            self._sources.append(numbers[document.source])
            self._held_out.append(held_out)
            self._sizes.append(self.texts.append(document.text))
            yield document.text

    @property
    def sources(self) -> np.ndarray:
        """Which of `names` each document is from: int32 [documents]."""
        return np.frombuffer(self._sources, np.int32)

    @property
    def held_out(self) -> np.ndarray:
        """Bool [documents]."""
        return np.frombuffer(self._held_out, bool)

    @property
    def sizes(self) -> np.ndarray:
        """Bytes of each document: int64 [documents]."""
        return np.frombuffer(self._sizes, np.int64)

    @property
    def signatures(self) -> Signatures:
        self._signatures = [concatenate(self._signatures)]
        return self._signatures[0]

    def documents(self) -> Iterator[Document]:
        for number, text in enumerate(self.texts.read(range(len(self.texts)))):
            yield Document(text, self.names[self._sources[number]], self._keys.get(number))

    def order(self) -> np.ndarray:
        """All numbers, int64, by a hash of the content, then of the text, then by the name of the source."""
        signatures = self.signatures
        places = np.argsort(np.argsort(np.array(self.names)))
        return np.lexsort((places[self.sources], signatures.text, signatures.content[:, 1], signatures.content[:, 0]))


def drop_copies(shelf: Shelf, dedup: str) -> tuple[np.ndarray, list[Stage]]:
    """Which documents are kept, bool [documents], and what that took, where anything was to be dropped."""
    options = DEDUP[dedup]
    if options is None:
        return np.ones(len(shelf.texts), bool), []
    order, signatures = shelf.order(), shelf.signatures
    in_order = Signatures(signatures.content[order], signatures.text[order], signatures.minhash[order])
    found = find_duplicates(in_order, held_out=shelf.held_out[order], **options)
    kept = np.empty(len(order), bool)
    kept[order] = found.kept
    copies = np.flatnonzero(~found.kept)[:SAMPLES]
    samples = tuple(_sample(shelf, *order[[copy, found.kept_copy[copy]]]) for copy in copies)
    sizes = (int(shelf.sizes.sum()), int(shelf.sizes[kept].sum()))
    return kept, [Stage(f"dedup={dedup}", len(kept), int(kept.sum()), *sizes, samples=samples)]


def _sample(shelf: Shelf, copy: int, original: int) -> Sample:
    """A document that was dropped, and the one that it is a copy of."""
    before, after = shelf.texts.read([copy, original])
    return dataclasses.replace(make_sample(int(shelf.signatures.text[copy]), before, after), dropped=True)


def _require_some(shelf: Shelf, cleaner: Cleaner) -> None:
    if not len(shelf.texts):
        taken = "; ".join(f"{stage.name} took {stage.documents_in - stage.documents_out:,}" for stage in cleaner.stages)
        raise UserError(f"no document is left by data.clean ({taken}); change its steps")
