"""What all commands share: how they read their arguments, and how they end."""

import argparse
import errno
import logging
import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from common.configs import CONFIGS, flatten
from common.errors import ConfigError, UserError, nearest
from common.files import remove_unfinished
from common.work_folder import leave_work

STOPS = (signal.SIGINT, signal.SIGTERM)

# Told a line for people.
Say = Callable[[str], None]


class Parser(argparse.ArgumentParser):
    """Argparse's, but that bad usage is one line, as every other mistake is, and no flag may be shortened."""

    def __init__(self, **options):
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str):
        if message.endswith("expected one argument"):
            message += "; one that begins with - is given as --FLAG=VALUE"
        raise ConfigError(f"{message}; --help lists the flags")


def numbers(text: str) -> list[int]:
    """The type of a flag that takes whole numbers with commas."""
    return [int(part) for part in text.split(",")]


def warn(message: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


def run_command(main: Callable[[], int]) -> None:
    """Runs `main` and exits with its status; an error that the user can mend is one line on stderr, no traceback.

    SIGINT and SIGTERM end the process at once, and remove what `new_folder` has begun, unless `main` has handlers of its
    own.
    """
    for number in STOPS:
        signal.signal(number, _leave)
    sys.unraisablehook = _report_unraisable
    for name in ("absl", "asyncio"):  # Orbax tells its own affairs there, and raises what matters
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        status = main()
    except UserError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        status = error.status
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if (Path(__file__).parent.parent / package).exists():  # one of ours: a bug
            raise
        remedy = "run `. .venv/bin/activate`, or pip install -r requirements.txt"
        print(f"{Path(sys.argv[0]).name}: {package} is not installed; {remedy}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # what read our output has gone, as `head` does
        sys.stderr.close()
        status = 141
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"{Path(sys.argv[0]).name}: the disk is full: {error.filename or 'standard output'}", file=sys.stderr)
        os._exit(1)  # what could not be written would fail once more at an ordinary exit
    sys.exit(status)


def read_overrides(arguments: Sequence[str], config: str | None, flags: Iterable[str] = ()) -> list[str]:
    """What argparse has left over, `--config.SECTION.KEY=VALUE`, as "SECTION.KEY=VALUE".

    `config`: what --config was given; `flags`: the names of those that the command has, for who mistypes one.

    Raises:
        ConfigError: there is something else among it, or there is no config.
    """
    overrides, rest = [], list(arguments)
    while rest:
        argument = rest.pop(0)
        if config is None and not argument.startswith("-"):
            raise ConfigError(f"unknown argument {argument!r}; did you mean --config {argument}?")
        if not argument.startswith("--config."):
            name = argument.lstrip("-").partition("=")[0].replace("-", "_")
            names = [*flags, *(f"config.{key}" for key in _base_keys())] if argument.startswith("-") else []
            meant = nearest(name, [f"--{each}" for each in names])
            raise ConfigError(
                f"unknown argument {argument!r}{meant}; settings are changed by --config.SECTION.KEY=VALUE"
            )
        if "=" not in argument and rest:
            argument += "=" + rest.pop(0)
        overrides.append(argument.removeprefix("--config."))
    if config is None:
        raise ConfigError("no config is given; try --config configs/base.py")
    return overrides


def _base_keys() -> Iterable[str]:
    """SECTION.KEY of all that configs/base.py sets."""
    return flatten(runpy.run_path(str(CONFIGS / "base.py"))["get_config"]().to_dict())


def _leave(number: int, _) -> None:
    """Not by an exception, which is lost where it is raised in a callback, as imports have many."""
    os.write(2, f"\n{Path(sys.argv[0]).name}: stopped by {signal.Signals(number).name}{leave_work()}\n".encode())
    remove_unfinished()
    os._exit(128 + number)


def _report_unraisable(unraisable) -> None:
    """As Python does, but for what Orbax leaves behind after an error that it has raised.

    These are loops that are closed before TensorStore has told them of it, and coroutines that no one waits for any more.
    """
    code = getattr(unraisable.object, "cr_code", None)
    of_orbax = code is not None and "orbax" in code.co_filename
    if not of_orbax and str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)
