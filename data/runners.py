"""Where pieces of work are done: one after the other in this process, or by Daft on all cores or on a Ray cluster.

A piece is a file, named after a hash of all that it depends on, and the call that writes it, whole. So one that is there
is done: what a killed process has finished is there for the next, and whatever has changed has another name.
"""

import dataclasses
import os
import pickle
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from common.errors import UserError, choose, require
from common.packages import import_package

ROOT = Path(__file__).parent.parent
SILENCE = {  # neither Daft nor Ray tells anyone that it is used, nor draws on the terminal
    "DO_NOT_TRACK": "true",
    "DAFT_ANALYTICS_ENABLED": "0",
    "DAFT_PROGRESS_BAR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
DELAY = 60.0  # seconds, at most, until another machine sees a new file
PARTITIONS = 1000  # at most; Ray is given so many tasks at a time


@dataclasses.dataclass(frozen=True)
class Piece:
    """A file that is to be there.

    Attributes:
        path: absolute; where there are several machines, on a file system that they share.
        make: `make(path)` writes it, whole. It is pickled where another process is to call it.
    """

    path: Path
    make: Callable[[Path], None]


# Gives the pieces as they come, in their order, each as soon as its file is there.
Runner = Callable[[Iterable[Piece]], Iterator[Piece]]


def in_process(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The plain runner: what is not there is made when it is asked for."""
    for piece in pieces:
        if not piece.path.exists():
            piece.make(piece.path)
        yield piece


def make_runner(name: str, ray_address: str | None = None) -> Runner:
    """A runner by its name in RUNNERS; the engines are started here.

    Raises:
        ConfigError: no such runner, or an address that it does not need.
        MissingPackage: the engine is not installed.
        UserError: there is no cluster at the address.
    """
    start = choose(RUNNERS, name, "--runner")
    require(ray_address is None or name == "ray", f"--ray_address is for --runner ray, not {name}")
    return start(ray_address)


def _start_daft(_) -> Runner:
    os.environ.update(SILENCE)
    # Its workers are processes of their own, which find our modules, and no others of these names where they run.
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.environ |= {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    import_package("daft", "--runner daft").set_runner_native()
    return _on_daft


def _start_ray(address: str | None) -> Runner:
    os.environ.update(SILENCE)
    daft, ray = (import_package(name, "--runner ray", '"daft[ray]"') for name in ("daft", "ray"))
    environment = {
        "py_modules": [str(ROOT / package) for package in ("common", "data")],
        "env_vars": SILENCE | {"PYTHONSAFEPATH": "1"},
    }
    if address is not None and ":" in address:  # Ray itself would try for minutes
        host, _, port = address.removeprefix("ray://").rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, ValueError) as error:
            raise UserError(
                f"no Ray at --ray_address {address} ({error}); it is what `ray start` has printed"
            ) from error
    try:
        ray.init(address, runtime_env=environment, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(f"Ray cannot be started, or joined at {address} ({error}); see `ray status`") from error
    daft.set_runner_ray()
    return _on_daft


# By the name that --runner gives.
RUNNERS: dict[str, Callable[[str | None], Runner]] = {
    "local": lambda _: in_process,
    "daft": _start_daft,
    "ray": _start_ray,
}


def _on_daft(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The pieces are rows, of a frame as small as their descriptions: results are files, and only errors come back."""
    pieces = list(pieces)
    missing = list({piece.path: piece for piece in pieces if not piece.path.exists()}.values())
    made = {piece.path for piece in pieces} - {piece.path for piece in missing}
    results = _map(missing)
    for piece in pieces:
        while piece.path not in made:
            path, error = next(results)
            error = error or _missing(path)
            if error is not None:
                _stop_file(path).touch()
                for _ in results:  # the others end what they have begun
                    pass
                _stop_file(path).unlink()
                raise error
            made.add(path)
        yield piece


def _map(pieces: list[Piece]) -> Iterator[tuple[Path, Exception | None]]:
    """The path of each piece, and what was raised in making it, in order."""
    if not pieces:
        return
    import daft

    here = Path.cwd()
    _stop_file(pieces[0].path).unlink(missing_ok=True)

    def make_all(column: daft.Series) -> list[bytes]:
        return [pickle.dumps(_make(pickle.loads(row), here)) for row in column.to_pylist()]

    # In processes, since Python's threads would take turns; each takes the next row once it is done with one.
    make = daft.func.batch(return_dtype=daft.DataType.binary(), batch_size=1, use_process=True)(make_all)
    frame = daft.from_pydict({"piece": [pickle.dumps(piece) for piece in pieces]})
    if daft.runners.get_or_infer_runner_type() == "ray":
        frame = frame.into_partitions(min(len(pieces), PARTITIONS))
    for row in frame.select(make(frame["piece"]).alias("result")).iter_rows(results_buffer_size=None):
        yield pickle.loads(row["result"])


def _make(piece: Piece, folder: Path) -> tuple[Path, Exception | None]:
    """Makes a piece in the folder that its paths are relative to; errors are results, so that they come as they are."""
    try:
        if not folder.is_dir():
            host = os.uname().nodename
            raise UserError(f"{host} has no folder {folder}; sources and result must be where all machines see them")
        os.chdir(folder)
        if not (piece.path.exists() or _stop_file(piece.path).exists()):
            piece.make(piece.path)
    except UserError as error:
        return piece.path, error
    except Exception as error:
        error.add_note(traceback.format_exc())
        return piece.path, error
    return piece.path, None


def _missing(path: Path) -> UserError | None:
    """An error if a file that was made is not to be seen: file systems of networks show what is new with some delay."""
    end = time.monotonic() + DELAY
    while not path.exists():
        if time.monotonic() > end:
            return UserError(f"{path} is not seen by all machines; give a folder for the result that they share")
        time.sleep(0.1)
    return None


def _stop_file(path: Path) -> Path:
    """While it is there, no piece is begun."""
    return path.with_name("stop")
