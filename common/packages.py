"""Packages that only some uses need, imported when these come up."""

import importlib
import warnings
from types import ModuleType

from common.errors import UserError


class MissingPackage(UserError):
    """Something is asked for that needs a package which is not installed."""


def import_package(name: str, what: str, install: str = "-r requirements-data.txt") -> ModuleType:
    """The module `name`, which `what` needs and pip installs so; warnings about its own source are not the user's affair.

    Raises:
        MissingPackage: it is not installed; the message says how to.
    """
    package = name.partition(".")[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackage(
            f"{what} needs the package {package} ({error}); install it with: pip install {install}"
        ) from error
