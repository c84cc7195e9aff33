"""Tables as text: numbers have commas and stand to the right, as the first row has them."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len


def markdown(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown."""
    rows = list(rows)
    marks = ["---" if isinstance(cell, str) else "---:" for cell in (rows[0] if rows else titles)]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in (titles, marks, *rows))


def plain(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The same in columns of equal width, as a terminal shows it: a Chinese character takes two places."""
    rows = list(rows)
    cells = [list(map(_cell, row)) for row in (titles, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    kinds = rows[0] if rows else titles

    def aligned(row: Sequence[str]) -> Iterable[str]:
        for cell, width, kind in zip(row, widths, kinds, strict=True):
            space = " " * (width - cell_len(cell))
            yield cell + space if isinstance(kind, str) else space + cell

    return "\n".join("  ".join(aligned(row)).rstrip() for row in cells)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,}"
