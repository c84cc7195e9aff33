"""Values of cleaning steps, as the config writes them after `=`."""

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

from common.errors import nearest

T = TypeVar("T")
Function = Callable[[str], str | None]  # text to text; None: the document is dropped
Make = Callable[[str], Function]  # from a step's value


def without_value(function: Function) -> Make:
    """The maker of a step that takes no value."""

    def make(value: str) -> Function:
        if value:
            raise ValueError(f"it takes no value, not {value!r}")
        return function

    return make


def option(options: Mapping[str, T], value: str) -> T:
    """`options[value]`; ValueError with the choices and the nearest one if there is none."""
    if value not in options:
        raise ValueError(f"{value!r} is not known{nearest(value, options)}; choose from: {', '.join(options)}")
    return options[value]


def number(value: str) -> float:
    """A finite number, at least 0; ValueError if it is none."""
    try:
        parsed = float(value)
    except ValueError:
        parsed = math.nan
    if not 0 <= parsed < math.inf:
        raise ValueError(f"{value!r} must be a number, at least 0")
    return parsed
