"""How far something is that takes long: lines on stderr."""

import sys
import time

EVERY = 2.0  # seconds between two lines


class Progress:
    """Called with a stage, and how many documents and bytes it has gone through, prints that now and then.

    Used as a context, it prints the last line of the last stage as well.
    """

    def __init__(self):
        self._now: tuple[str, int, int] | None = None
        self._began = self._printed = time.monotonic()

    def __call__(self, stage: str, documents: int, size: int) -> None:
        now = time.monotonic()
        if self._now is not None and stage != self._now[0]:
            self._print()
            self._began = now
        self._now = (stage, documents, size)
        if now - self._printed >= EVERY:
            self._print()

    def _print(self) -> None:
        stage, documents, size = self._now
        self._printed = time.monotonic()
        seconds = self._printed - self._began
        print(f"{stage}: {documents:,} documents, {size / 1e6:,.1f} MB, {seconds:.0f} s", file=sys.stderr, flush=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None and self._now is not None:
            self._print()
