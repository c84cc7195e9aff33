"""A folder for the parts of a result that takes long: kept until it is done, so that the same line goes on from there."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from common.errors import UserError
from common.files import make_folder, refuse_existing, remove_empty

HELD: list[Path] = []  # those that this process works in


@contextlib.contextmanager
def work_folder(path: Path) -> Iterator[Path]:
    """`.NAME.preparing` beside `path`, with what an earlier process has left in it; gone once the block has ended well.

    However else the block ends, the folder stays if there is anything in it; where that is by a UserError, the message
    says so.

    Raises:
        UserError: there is something at `path`, another process is at work on it, or it cannot be written.
    """
    path = path.expanduser().absolute()
    folder = path.with_name(f".{path.name}.preparing")
    try:
        made = make_folder(folder)
        lock = _lock(folder, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error})") from error
    HELD.append(folder)
    try:
        if path.exists():  # the one before was killed after its result was in place
            shutil.rmtree(folder)
        refuse_existing(path)
        yield folder
        shutil.rmtree(folder)
    except UserError as error:
        if not _is_empty(folder):
            error.args = (f"{error}; {_kept(folder)}",)
        raise
    finally:
        HELD.remove(folder)
        remove_empty([folder, *made])
        os.close(lock)


def leave_work() -> str:
    """What a process that a signal ends has to say of the folders it worked in, "" where there is nothing in them."""
    filled = [folder for folder in HELD if not _is_empty(folder)]
    remove_empty(HELD)
    return "".join(f"; {_kept(folder)}" for folder in filled)


def _kept(folder: Path) -> str:
    return f"what is done is kept for the next attempt, in {folder}"


def _is_empty(folder: Path) -> bool:
    return not folder.is_dir() or not any(folder.iterdir())


def _lock(folder: Path, path: Path) -> int:
    """An open file that locks the folder as long as this process lives, where the file system has locks."""
    while True:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise UserError(f"another process is at work on {path}; wait for it, or give another folder") from error
        except OSError:  # there are none
            return descriptor
        if folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat()):
            return descriptor
        os.close(descriptor)  # the other process has just ended, and its folder with it
        folder.mkdir(exist_ok=True)
