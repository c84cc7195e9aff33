"""Files: written whole, so that a reader sees the old one or the new one, never half of one; and JSON, read and made."""

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from common.errors import UserError

# What `new_folder` has begun in this process: a folder, and those above it that were made for it.
UNFINISHED: dict[Path, list[Path]] = {}
os.register_at_fork(after_in_child=UNFINISHED.clear)  # what its parent has begun is not a child's to remove


def write_whole(path: Path, data: bytes | str) -> None:
    """Writes `data` (text as UTF-8) beside `path`, flushes it to disk and renames it into place."""
    data = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)  # where it was not renamed


def to_json(value: Any) -> str:
    """A value as one line of JSON, which has no infinity: null (a perplexity may be too large for a number), as is NaN."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: finite(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [finite(each) for each in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(finite(value), ensure_ascii=False, allow_nan=False)


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Writes JSONL: each row as JSON in a line of its own."""
    write_whole(path, "".join(to_json(row) + "\n" for row in rows))


def make_folder(path: Path) -> list[Path]:
    """Makes a folder, and those above it; gives those that were not there, the deepest first."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return missing


def remove_empty(folders: list[Path]) -> None:
    """Removes those of `folders` that are empty, in order."""
    for folder in folders:
        with contextlib.suppress(OSError):  # which tells that it is not
            folder.rmdir()


def refuse_existing(path: Path) -> None:
    """Raises UserError where there is something at `path`."""
    if path.exists() or path.is_symlink():
        raise UserError(f"{path} is there already; give another folder, or move it away")


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write to, which is at `path` once the block has ended well; until then, and otherwise, nothing is.

    Raises:
        UserError: there is something at `path`, or it cannot be written; whatever kind of error a library makes of a full
            disk is told as one.
    """
    path = path.expanduser().absolute()
    refuse_existing(path)
    try:
        made = make_folder(path.parent)
        prefix = f".{path.name}.unfinished-"
        temporary = path.parent / f"{prefix}{secrets.token_hex(8)}"
        UNFINISHED[temporary] = made  # before it is there: a signal may come at any moment
        try:
            lock = _begin(temporary, prefix)
            try:
                yield temporary
                os.chmod(temporary, 0o755)
                os.rename(temporary, path)
            finally:
                os.close(lock)
        finally:
            remove_unfinished(temporary)
    except UserError:
        raise
    except Exception as error:
        if _is_full(error):
            raise UserError(
                f"{path} cannot be written: the disk is full; make room there, or give another folder"
            ) from error
        if isinstance(error, OSError):
            raise UserError(f"{path} cannot be written ({error.strerror or error})") from error
        raise


def remove_unfinished(*folders: Path) -> None:
    """Removes what `new_folder` has begun and not ended: these, or all, as a process does that a signal ends."""
    for folder in folders or tuple(UNFINISHED):
        made = UNFINISHED.pop(folder)
        for _ in range(10):  # threads may still be writing to it
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
        remove_empty(made)


def _is_full(error: BaseException | None) -> bool:
    """Whether a full disk, or a used-up quota, is behind an error: libraries keep the words, if not the number."""
    reasons = [os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT)]
    return error is not None and (
        any(reason in str(error) for reason in reasons) or _is_full(error.__cause__ or error.__context__)
    )


def _begin(folder: Path, prefix: str) -> int:
    """Makes the folder; the open file that locks it. Those of this prefix that killed processes left beside it are removed."""
    parent = os.open(folder.parent, os.O_RDONLY)
    try:
        if _lock(parent, wait=True):  # or else another process might find ours before it is locked
            for other in folder.parent.iterdir():
                if other.name.startswith(prefix) and other.is_dir():
                    abandoned = os.open(other, os.O_RDONLY)
                    if _lock(abandoned, wait=False):
                        shutil.rmtree(other, ignore_errors=True)
                    os.close(abandoned)
        folder.mkdir(mode=0o700)
        lock = os.open(folder, os.O_RDONLY)
        _lock(lock, wait=False)
        return lock
    finally:
        os.close(parent)


def _lock(descriptor: int, wait: bool) -> bool:
    """Whether an open file is locked now; it is not where another process holds it, or the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UserError: there is none; the message ends with the remedy.
    """
    content = read_json_value(path, remedy)
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON object; {remedy}")
    return content


def read_json_value(path: Path, remedy: str) -> Any:
    """Whatever JSON stands in a file.

    Raises:
        UserError: there is none; the message ends with the remedy.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} cannot be read ({reason}); {remedy}") from error


def digest(*parts: bytes | str) -> str:
    """SHA-256 of `parts`, in hexadecimal; each is preceded by its length, so that no two lists of parts agree."""
    return Digest(*parts).hex


class Digest:
    """`digest`, of parts that come one by one."""

    def __init__(self, *parts: bytes | str):
        self._hash = hashlib.sha256()
        for part in parts:
            self.add(part)

    def add(self, part: bytes | str) -> None:
        part = part.encode() if isinstance(part, str) else part
        self._hash.update(len(part).to_bytes(8, "little") + part)

    @property
    def hex(self) -> str:
        return self._hash.hexdigest()
