"""The unit of text that everything else in `data/` speaks of."""

import dataclasses

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


def check_characters(text: str) -> None:
    """Raises UserError where `text` has half a surrogate pair, which no UTF-8 can write."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"the text has half a character, U+{ord(text[error.start]):04X} at {error.start}; give whole ones, in UTF-8"
        ) from error
