"""Packages that only some uses need."""

import importlib
import warnings
from types import ModuleType

from common.errors import UserError


def optional(name: str, remedy: str = "pip install -r requirements-data.txt") -> ModuleType:
    """The module `name`, imported now; warnings about its own source are not the user's affair.

    Raises:
        UserError: its package is not installed; the message ends with the remedy.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if (error.name or "").partition(".")[0] != package:  # it is there, and lacks something itself
            raise
        raise UserError(f"package {package!r} is missing; install it with: {remedy}") from error
