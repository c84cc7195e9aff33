"""Where the project's configs lie, and settings by dotted key."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).parent.parent / "configs"


def flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted key."""

    def walk(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for name, value in section.items():
            if isinstance(value, Mapping):
                yield from walk(value, f"{prefix}{name}.")
            else:
                yield prefix + name, value

    return dict(walk(settings, ""))
