"""Items taken some bytes at a time."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def in_groups(items: Iterable[T], size: Callable[[T], int], least: int) -> Iterator[list[T]]:
    """The items in lists, each complete once the sizes in it come to `least`; the last may be smaller, and none is empty."""
    group, total = [], 0
    for item in items:
        group.append(item)
        total += size(item)
        if total >= least:
            yield group
            group, total = [], 0
    if group:
        yield group
