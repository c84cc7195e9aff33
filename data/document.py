"""The unit of text that everything else in `data/` speaks of."""

import dataclasses
from collections.abc import Iterable
from typing import TypeVar

from common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Document:
    """A text that belongs together.

    Attributes:
        text: never empty.
        source: the source that it came from, as the config names it.
        key: what decides the side of the split: documents with one key are on one side. The text itself if None.
    """

    text: str
    source: str
    key: str | None = None


D = TypeVar("D", bound=Document)


def by_source(documents: Iterable[D]) -> dict[str, list[D]]:
    """The documents of each source, both in the order in which they come."""
    parts: dict[str, list[D]] = {}
    for document in documents:
        parts.setdefault(document.source, []).append(document)
    return parts


def check_characters(text: str) -> None:
    """Raises UserError where `text` has half a surrogate pair, which no UTF-8 can write.

    Some of these stand for a byte that Python could not decode (PEP 383).
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        what = (
            f"a byte that is not UTF-8, 0x{code - 0xDC00:02x},"
            if 0xDC80 <= code <= 0xDCFF
            else f"half a character, U+{code:04X}"
        )
        raise UserError(f"the text has {what} at {error.start}; give whole characters, in UTF-8") from error
