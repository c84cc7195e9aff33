"""Errors that a user can mend, and look-ups that name what there is."""

import difflib
import math
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class UserError(Exception):
    """Something the user can mend. The message is one line: what was wrong, and what to do.

    Commands print it without a traceback and exit with `status`: 1 for a failure, 2 for bad usage (a wrong flag or
    config).
    """

    def __init__(self, message: str, status: int = 1):
        super().__init__(" ".join(message.split()))
        self.status = status


class ConfigError(UserError):
    """A config that cannot be used: an unknown key, a wrong type, or a value that is not allowed."""

    def __init__(self, message: str):
        super().__init__(message, status=2)


def nearest(name: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)` with the name closest to `name`, or nothing.

    The end of a dotted name counts as close, and so does the start of any, also with a wrong letter or two behind it.
    """
    names, name = list(names), str(name)
    begun = name[: max(5, len(name) - 2)]
    matches = (
        [other for other in names if other.endswith(f".{name}")]
        or [other for other in names if len(name) > 3 and other.startswith(name)][:1]
        or difflib.get_close_matches(name, [other for other in names if other.startswith(begun)], n=1, cutoff=0.5)
        or difflib.get_close_matches(name, names, n=1)
        or difflib.get_close_matches(name.lower(), names, n=1)
    )
    return f" (did you mean {' or '.join(map(repr, matches))}?)" if matches else ""


def check_choice(choices: Collection[str], name: str, field: str) -> None:
    """Raises ConfigError, which names `field`, the choices and the nearest one, unless `name` is among them."""
    if name not in choices:
        there = ", ".join(sorted(choices))
        raise ConfigError(f"{field}={name!r} is not known{nearest(name, choices)}; choose from: {there}")


def choose(table: Mapping[str, T], name: str, field: str) -> T:
    """`table[name]`; raises ConfigError, as `check_choice` does, where there is none."""
    check_choice(table, name, field)
    return table[name]


def require(condition: bool, message: str) -> None:
    """Raises ConfigError(message) unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


def check_type(field: str, value: Any, kind: Any) -> Any:
    """`value`, where it is of `kind`: a plain type, or `type | None`. A whole number will do for a float, and becomes one.

    Raises:
        ConfigError: it is of another type, or a float that is not finite; the message names `field`.
    """
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        (kind,) = (part for part in typing.get_args(kind) if part is not types.NoneType)
    if kind is float and type(value) is int:
        value = float(value) if abs(value) < 1 << 1023 else math.inf
    if type(value) is not kind:
        wanted = "True or False" if kind is bool else kind.__name__
        raise ConfigError(f"{field}={value!r} must be {wanted}, not {type(value).__name__}")
    if kind is float and not math.isfinite(value):
        raise ConfigError(f"{field}={value!r} must be a finite number")
    return value
