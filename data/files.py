"""Files by name: on disk or behind a URL, compressed or not; opened as streams of bytes."""

import contextlib
import gzip
import io
import os
import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from common.errors import ConfigError, UserError, nearest
from common.packages import MissingPackage, import_package

T = TypeVar("T")
URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
URL_END = re.compile(r"::|[?#]")  # of its path
BUFFER_SIZE = 1 << 16  # bytes


class Compression(NamedTuple):
    """How a file is unpacked.

    Attributes:
        open: (the compressed stream, the file's name) -> the stream that was compressed, which can `peek`.
        command: the shell's, which unpacks with -dc and packs without.
    """

    open: Callable[[BinaryIO, str], io.BufferedIOBase]
    command: str


def _open_gzip(file: BinaryIO, name: str) -> io.BufferedIOBase:
    return gzip.GzipFile(fileobj=file, mode="rb")


def _open_zstd(file: BinaryIO, name: str) -> io.BufferedIOBase:
    """By pyarrow, which tells where a stream is cut short."""
    return io.BufferedReader(import_package("pyarrow", name).CompressedInputStream(file, "zstd"), BUFFER_SIZE)


COMPRESSIONS = {".gz": Compression(_open_gzip, "gzip"), ".zst": Compression(_open_zstd, "zstd")}


def is_url(name: str) -> bool:
    return URL.match(name) is not None


def endings(name: str) -> tuple[str, str]:
    """The ending that tells the format and the one that tells the compression, in lower case; "" where there is none."""
    if is_url(name):
        name = URL_END.split(name)[0]
    rest, ending = os.path.splitext(name.lower())
    return (os.path.splitext(rest)[1], ending) if ending in COMPRESSIONS else (ending, "")


def bare_name(name: str) -> str:
    """The name that a shell line gives a file; of a URL, that of a copy of it beside you."""
    return posixpath.basename(URL_END.split(name)[0]) if is_url(name) else name


def through(name: str, command: str, new: str, pack: bool = False) -> str:
    """A shell line that sends what is in a file through `command`, into the file `new`; packed as it was, or not."""
    old, new = shlex.quote(bare_name(name)), shlex.quote(new)
    _, packed = endings(name)
    if not packed:
        return f"{command} {old} > {new}"
    tool = COMPRESSIONS[packed].command
    return f"{tool} -dc {old} | {command} {f'| {tool} ' if pack else ''}> {new}"


@contextlib.contextmanager
def open_binary(name: str) -> Iterator[io.BufferedIOBase]:
    """What is in a file, as a stream of bytes, unpacked as its ending tells.

    Raises:
        UserError: it cannot be opened.
    """
    _, packed = endings(name)
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(_open_url(name) if is_url(name) else _open_path(name))
        file = stack.enter_context(io.BufferedReader(raw, BUFFER_SIZE))
        yield stack.enter_context(COMPRESSIONS[packed].open(file, name)) if packed else file


def _open_path(path: str) -> BinaryIO:
    try:
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


@contextlib.contextmanager
def _open_url(url: str) -> Iterator[BinaryIO]:
    with file_system_errors(url):
        opened = import_package("fsspec", url).open(url, "rb")
        file = opened.open()
    with contextlib.closing(opened):  # an archive is open as long as this is
        yield file


@contextlib.contextmanager
def file_system_errors(url: str) -> Iterator[None]:
    """Turns what fsspec raises into the user's errors."""
    try:
        yield
    except UserError:
        raise
    except ImportError as error:  # the file system of some protocols is a package of its own
        raise MissingPackage(f"{url} cannot be read ({error}); install that package with pip") from error
    except Exception as error:  # every file system raises its own
        raise UserError(f"cannot read {url}: {reason(error)}") from error


def find_remote(url: str, accept: Callable[[str], bool]) -> list[str]:
    """The files that a URL names, or matches as a glob, or that are accepted in the folder it names; sorted.

    Raises:
        ConfigError: no such file system.
        UserError: it cannot be read.
    """
    fsspec = import_package("fsspec", url)
    protocol, rest = url.partition("://")[0], url[url.find("::") :] if "::" in url else ""
    if protocol not in (known := fsspec.available_protocols()):
        raise ConfigError(f"{url}: fsspec knows no {protocol}://{nearest(protocol, known)}; it has {', '.join(known)}")
    with file_system_errors(url):
        system, path = fsspec.core.url_to_fs(url)
        if system.isfile(path):
            return [url]
        if system.isdir(path):
            found = (name for name in system.find(path) if accept(name) and not is_hidden(name.removeprefix(path)))
        else:
            found = (name for name, info in system.glob(path, detail=True).items() if info["type"] == "file")
        return [system.unstrip_protocol(name) + rest for name in sorted(found, key=lambda name: name.split("/"))]


def reason(error: Exception) -> str:
    """What an error of a library says, or its kind where it says nothing, not too long."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)[:200]


def guarded(items: Iterable[T], place: str) -> Iterator[T]:
    """`items`, numbered from 1 in a message where reading the next one fails, such as `a.csv, line 3`.

    Raises:
        UserError: the file is cut short or damaged, or the connection broke.
    """
    number, iterator = 1, iter(items)
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        except (UserError, MemoryError):
            raise
        except Exception as error:  # every library and file system raises its own
            raise UserError(
                f"{place} {number}: cut short or damaged from here on ({reason(error)}); bring back a copy, or fetch it again"
            ) from error
        yield item
        number += 1


def is_hidden(path: str) -> bool:
    """Whether a name in a path begins with a dot: what editors, notebooks and systems keep for themselves."""
    return any(name.startswith(".") for name in path.split(os.sep))


def is_file_or_lost(path: str | Path) -> bool:
    """Whether what a folder lists is a file, or a link that leads nowhere, which is told where it is read; no pipe or such."""
    return os.path.isfile(path) or not os.path.exists(path)


def files_below(folder: str, accept: Callable[[str], bool]) -> list[str]:
    """The files in a folder and those in it that are accepted by name, sorted; without hidden ones, as in a glob.

    Links are followed, to each folder once.

    Raises:
        UserError: one of the folders cannot be read.
    """

    def refuse(error: OSError):
        raise UserError(f"cannot read the folder {error.filename}: {error.strerror}") from error

    found, seen = [], set()
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        known = os.path.realpath(parent) in seen
        seen.add(os.path.realpath(parent))
        folders[:] = [] if known else sorted(name for name in folders if not is_hidden(name))
        found += [] if known else [Path(parent, name) for name in names if not is_hidden(name)]
    return [str(path) for path in sorted(found) if accept(path.name) and is_file_or_lost(path)]
