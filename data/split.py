"""Which documents are trained on, and which are held out to validate."""

import dataclasses
import hashlib
import math
import re
from collections.abc import Sequence

from common.errors import UserError
from data.document import Document

# Where a line and a sentence begin.
LINE = re.compile(r"(?<=\n)")
SENTENCE = re.compile(r"(?<=[。！？])(?=[^。！？”’」』）])|(?<=[.!?] )")


def split_documents(documents: Sequence[Document], valid_fraction: float) -> tuple[list[Document], list[Document]]:
    """Training and validation documents, chosen by a hash of each document's key.

    So a document stays on its side when others are added. Where a side comes out empty, the last lines of the documents
    are held out instead (of one long text, say), or, if there are none to spare, the document whose hash is lowest, or
    the last sentences of the only one.

    Raises:
        UserError: the text is one line without sentences; the examples are one.
    """

    train, valid = [], []
    for document in documents:
        (valid if is_held_out(document, valid_fraction) else train).append(document)
    if not (train and valid):
        train, valid = _hold_out_ends(documents, valid_fraction, LINE)
    if not valid:
        lowest = min(map(split_hash, documents))
        train = [document for document in documents if split_hash(document) != lowest]
        valid = [document for document in documents if split_hash(document) == lowest]
    if not train:
        train, valid = _hold_out_ends(documents, valid_fraction, SENTENCE)
    if not valid:
        sources = ", ".join(sorted({document.source for document in documents}))
        if all(document.key is not None for document in documents):
            raise UserError(
                f"the examples of {sources} are one, or copies of one: none is left to hold out for validation; give more, or "
                "--config.data.valid=FILE"
            )
        raise UserError(
            f"the text of {sources} has no second document, line or "
            "sentence to hold out for validation; put documents between blank lines, or give --config.data.valid=FILE"
        )
    return train, valid


def is_held_out(document: Document, valid_fraction: float) -> bool:
    """Whether a document validates, by the hash of its key alone."""
    return split_hash(document) < held_out_below(valid_fraction)


def held_out_below(valid_fraction: float) -> int:
    """Documents with a lower `split_hash` validate."""
    return math.ceil(valid_fraction * 2**64)


def split_hash(document: Document) -> int:
    """64 bits that decide on which side a document is."""
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
