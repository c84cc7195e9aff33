"""What a source is read as, or refused with."""

import pytest

from common.errors import UserError
from data.document import Document
from data.sources import read_documents


def documents(*sources: str, **options) -> list[Document]:
    return list(read_documents(sources, **options))


def texts(*sources: str, **options) -> list[str]:
    return [document.text for document in read_documents(sources, **options)]


def refusal(source: str, kind: type = UserError, **options) -> str:
    """The message with which a source is refused; it is one line."""
    with pytest.raises(kind) as caught:
        list(read_documents([source], **options))
    assert type(caught.value) is kind
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700
    return message
