"""Which documents are trained on and which validate: without copies, split, in an order that is theirs alone."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import UserError
from data.blocks import Block, Texts, make_blocks
from data.cleaning import Stage, add_stages, make_sample
from data.dedup import NUM_HASHES, Signatures, find_duplicates
from data.split import held_out_below, split_documents

SAMPLES = 3  # of what was dropped as a copy


class Dedup(NamedTuple):
    """Which copies are dropped.

    Attributes:
        drops: whether any are.
        threshold: the similarity from which documents are copies of one another; None: if they are equal.
    """

    drops: bool
    threshold: float | None = None

    @property
    def needs_minhash(self) -> bool:
        return self.threshold is not None


# By the name in `data.dedup`.
DEDUP = {"none": Dedup(False), "exact": Dedup(True), "near": Dedup(True, 0.8)}


@dataclasses.dataclass(frozen=True)
class Selection:
    """What is left of N documents that were cleaned.

    Attributes:
        texts: all N, by number.
        train, valid: the numbers of those to train on and to validate, int64 [documents], by source; sources in the order
            of their names, documents in that of a hash of their content.
        stages: what each step took, in order.
        signatures: of all N, without MinHash.
    """

    texts: Texts
    train: dict[str, np.ndarray]
    valid: dict[str, np.ndarray]
    stages: tuple[Stage, ...]
    signatures: Signatures


def select(blocks: Sequence[Block], dedup: str, valid_fraction: float, folder: Path) -> Selection:
    """Drops copies (validation keeps its own) and splits, by hash, what is not held out already.

    Args:
        folder: where blocks may be written, if documents are so few that their hashes do not split them.

    Raises:
        UserError: no document, or none to train on, is left.
    """
    stages = add_stages(block.stages for block in blocks)
    table = Table(blocks, valid_fraction)
    if not len(table.texts):
        taken = "; ".join(f"{stage.name} took {stage.documents_in - stage.documents_out:,}" for stage in stages)
        raise UserError(f"no document is left by data.clean ({taken}); change its steps")
    if blocks[0].held_out is None and (table.held_out.all() or not table.held_out.any()):
        table = Table(_split_further(blocks, dedup, valid_fraction, folder), valid_fraction)
    order = table.order()
    kept, dropped = drop_copies(table, order, dedup)
    for is_valid, side in ((False, "train on"), (True, "validate")):
        if not (kept & (table.held_out == is_valid)).any():
            raise UserError(
                f"no document to {side} is left: of {len(kept):,} after data.clean, {kept.sum():,} are no copies; "
                "give more text, or set data.clean, data.dedup or data.valid"
            )
    order = order[kept[order]]

    def by_source(is_valid: bool) -> dict[str, np.ndarray]:
        numbers = order[table.held_out[order] == is_valid]
        parts = {name: numbers[table.source[numbers] == place] for place, name in enumerate(table.names)}
        return {name: part for name, part in parts.items() if len(part)}

    return Selection(table.texts, by_source(False), by_source(True), (*stages, *dropped), table.signatures)


class Table:
    """What is known of all N documents of some blocks, but their texts and MinHashes.

    Attributes:
        blocks: where they are.
        texts: by number.
        names: of the sources, sorted.
        source: int32 [N]: which of `names` each is from.
        held_out: bool [N].
        signatures: without MinHash.
    """

    def __init__(self, blocks: Sequence[Block], valid_fraction: float):
        self.blocks = blocks
        sizes, content, text, split = zip(
            *(block.read("sizes", "content", "text", "split") for block in blocks), strict=True
        )
        counts = [len(each) for each in sizes]
        self.texts = Texts.of([block.path for block in blocks], sizes)
        self.names = sorted({block.source for block in blocks})
        places = np.array([self.names.index(block.source) for block in blocks], np.int32)
        self.source = np.repeat(places, counts)
        self.signatures = Signatures(
            np.concatenate(content), np.concatenate(text), np.empty((sum(counts), 0), np.uint8)
        )
        below = np.uint64(held_out_below(valid_fraction))
        self.held_out = np.concatenate(
            [
                hashes < below if block.held_out is None else np.full(len(hashes), block.held_out)
                for block, hashes in zip(blocks, split, strict=True)
            ]
        )

    def order(self) -> np.ndarray:
        """All numbers, int64, by a hash of the content, then of the text, then by the name of the source."""
        content, text = self.signatures.content, self.signatures.text
        return np.lexsort((self.source, text, content[:, 1], content[:, 0]))

    def minhash(self, order: np.ndarray) -> np.ndarray:
        """That of the documents in this order: uint8 [N, NUM_HASHES]."""
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        result, start = np.empty((len(order), NUM_HASHES), np.uint8), 0
        for block in self.blocks:
            (minhash,) = block.read("minhash")
            result[rank[start : start + len(minhash)]] = minhash
            start += len(minhash)
        return result


def drop_copies(table: Table, order: np.ndarray, dedup: str) -> tuple[np.ndarray, list[Stage]]:
    """Which documents are kept, bool [N], and what that took, where anything was to be dropped."""
    drops, threshold = DEDUP[dedup]
    if not drops:
        return np.ones(len(order), bool), []
    minhash = table.minhash(order) if DEDUP[dedup].needs_minhash else table.signatures.minhash
    signatures = Signatures(table.signatures.content[order], table.signatures.text[order], minhash)
    originals = find_duplicates(signatures, threshold, table.held_out[order])
    stays = originals == np.arange(len(order))
    kept = np.empty(len(order), bool)
    kept[order] = stays
    copies = np.flatnonzero(~stays)[:SAMPLES]
    samples = tuple(
        dataclasses.replace(
            make_sample(int(signatures.text[copy]), *table.texts[order[[copy, original]]].read()), dropped=True
        )
        for copy, original in zip(copies, originals[copies], strict=True)
    )
    sizes = (int(table.texts.size.sum()), int(table.texts.size[kept].sum()))
    return kept, [Stage(f"dedup={dedup}", len(kept), int(kept.sum()), *sizes, samples=samples)]


def _split_further(blocks: Sequence[Block], dedup: str, valid_fraction: float, folder: Path) -> list[Block]:
    """The documents of all blocks, split by what they consist of, in blocks of each source and side."""
    documents = [document for block in blocks for document in block.documents]
    sides = zip((False, True), split_documents(documents, valid_fraction), strict=True)
    with_minhash = DEDUP[dedup].needs_minhash
    return [block for held_out, side in sides for block in make_blocks(side, held_out, (), with_minhash, folder)]
