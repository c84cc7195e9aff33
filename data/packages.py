"""Packages that only some sources need, imported when one of these is read."""

import importlib
from types import ModuleType

from common.errors import UserError


class MissingPackage(UserError):
    """A source is asked for that needs a package which is not installed."""


def import_package(name: str, what: str) -> ModuleType:
    """The module `name`, which is needed to read `what`.

    Raises:
        MissingPackage: it is not installed; the message says how to.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingPackage(
            f"{what} needs the package {package} ({error}); install it with: pip install -r requirements-data.txt"
        ) from error
