"""Many texts by number, without holding them in memory."""

import tempfile
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

MEMORY = 1 << 26  # bytes of text that are held in memory before a file is begun


class Spill:
    """Texts by number, from 0: appended one by one, read in any order.

    Those of a large corpus are in a file that has no name, so that nothing is left of it however the process ends.
    """

    def __init__(self, folder: Path | None = None):
        """`folder`: where the file is, if one is needed; by default where temporary files go."""
        self._file = tempfile.SpooledTemporaryFile(max_size=MEMORY, dir=folder)  # noqa: SIM115 (closed with the process)
        self._ends = array("q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, text: str) -> int:
        """Keeps `text`; gives its size in UTF-8. All are appended before the first is read."""
        self._ends.append(self._ends[-1] + self._file.write(text.encode()))
        return self._ends[-1] - self._ends[-2]

    def read(self, numbers: Iterable[int]) -> Iterator[str]:
        """The texts with these numbers."""
        for number in numbers:
            self._file.seek(self._ends[number])
            yield self._file.read(self._ends[number + 1] - self._ends[number]).decode()
