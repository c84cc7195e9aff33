"""What grows with the corpus, on disk instead of in memory; and several texts as one."""

import bisect
import contextlib
import dataclasses
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.files import UNFINISHED, remove_unfinished
from data.encoded import EncodedText

WINDOW = 1 << 18  # documents, or rows, that are looked through at a time


def write_mapped(windows: Iterable[Sequence[np.ndarray]], dtypes: Sequence[type]) -> list[np.ndarray]:
    """Arrays [N] of these types, which come window by window, all of them together; there must be something in them.

    They lie memory-mapped in files that have no name, and that are gone with the process.

    Raises:
        UserError: the disk with the temporary files is full.
    """
    with _full_disk(), contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in dtypes]
        for arrays in windows:
            for file, array, dtype in zip(files, arrays, dtypes, strict=True):
                file.write(np.ascontiguousarray(array, dtype).data)
        for file in files:
            file.flush()
        return [np.asarray(np.memmap(file, dtype, "r")) for file, dtype in zip(files, dtypes, strict=True)]


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is gone after the block, or where a signal ends the process.

    Raises:
        UserError: the disk with the temporary files is full.
    """
    with _full_disk():
        folder = Path(tempfile.mkdtemp())
        UNFINISHED[folder] = []
        try:
            yield folder
        finally:
            remove_unfinished(folder)


@contextlib.contextmanager
def _full_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {tempfile.gettempdir()} ({error.strerror or error}); make room there, or set TMPDIR"
        ) from error


class JoinedTokens:
    """The tokens of several texts as one line, for reading slices that lie in one of them."""

    def __init__(self, texts: Sequence[EncodedText], first: np.ndarray):
        self._texts, self._first = texts, first.tolist()

    def __len__(self) -> int:
        return self._first[-1] + 1

    def __getitem__(self, at: slice) -> np.ndarray:
        text = bisect.bisect_right(self._first, at.start) - 1
        return self._texts[text].tokens[at.start - self._first[text] : at.stop - self._first[text]]


def join(texts: Sequence[EncodedText]) -> EncodedText:
    """The documents of all texts, one text after the other, as one text. Their tokens stay where they are."""
    if len(texts) == 1:
        return texts[0]
    first = np.cumsum([0, *(text.num_tokens for text in texts)])

    def windows():
        for text, its_first in zip(texts, first[:-1], strict=True):
            for document in range(0, len(text.starts), WINDOW):
                yield (text.starts[document : document + WINDOW] + its_first,)

    (starts,) = write_mapped(windows(), [np.int64])
    num_bytes = sum(text.num_bytes for text in texts)
    labels = None if texts[0].labels is None else np.concatenate([text.labels for text in texts])
    marks = texts[0].marks  # of the end of text before all, and what stands behind it in each
    if marks is not None:
        marks = np.concatenate([marks[:1], *(text.marks[1:] for text in texts)])
    tokens = JoinedTokens(texts, first)
    return dataclasses.replace(
        texts[0], tokens=tokens, starts=starts, num_bytes=num_bytes, sizes=None, labels=labels, marks=marks
    )
