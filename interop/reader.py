"""Named arrays from a folder of published weights: safetensors, memory-mapped, a piece at a time; or PyTorch's own file."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 (gives NumPy bfloat16)
import numpy as np
from safetensors import SafetensorError, safe_open

from common.errors import UserError
from common.files import read_json

PIECE = 1 << 24  # bytes, about
REMEDY = "fetch it again"
POINTER = b"version https://git-lfs"
NUMBERS = ("F16", "BF16", "F32", "F64")


class Tensors:
    """Arrays by name. Nothing is read but what is asked for."""

    def __init__(self, where: Mapping[str, Any]):
        """`where`: name -> a file that has it; a file answers `shape(name)` and `read(name, start, stop)`."""
        self._where = dict(where)

    @property
    def names(self) -> set[str]:
        return set(self._where)

    def renamed(self, names: Mapping[str, str]) -> Tensors:
        """The same arrays; `names`: as they are stored -> as they are to be called."""
        return Tensors({names[name]: _Alias(file, name) for name, file in self._where.items()})

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._where[name].shape(name))

    def pieces(self, name: str) -> Iterator[tuple[slice, np.ndarray]]:
        """The array in pieces along its first axis, each with where it stands.

        Raises:
            UserError: it is not of floating-point numbers, cannot be read, or has NaN or infinity.
        """
        shape = self.shape(name) or (1,)
        rows = max(1, PIECE // (4 * int(np.prod(shape[1:])))) if len(shape) > 1 else shape[0]
        for start in range(0, shape[0], rows):
            span = slice(start, min(start + rows, shape[0]))
            piece = self._where[name].read(name, span.start, span.stop)
            if not np.isfinite(piece).all():
                raise UserError(f"{name} holds numbers that are not finite; the file is damaged, fetch it again")
            yield span, piece

    def equal(self, one: str, other: str) -> bool:
        """Whether two arrays are the same, bit for bit."""
        return self.shape(one) == self.shape(other) and all(
            a.dtype == b.dtype and a.tobytes() == b.tobytes()
            for (_, a), (_, b) in zip(self.pieces(one), self.pieces(other), strict=True)
        )


class _Alias:
    def __init__(self, file, stored: str):
        self._file, self._stored = file, stored

    def shape(self, name: str):
        return self._file.shape(self._stored)

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        return self._file.read(self._stored, start, stop)


class _Safetensors:
    def __init__(self, path: Path):
        self.path = path
        with self._open() as file:
            self.names = set(file.keys())
            self._shapes = {name: file.get_slice(name).get_shape() for name in self.names}

    def _open(self):
        """Opened anew for each piece: the memory that a map has touched is given back when it is closed."""
        try:
            return safe_open(str(self.path), framework="numpy")
        except (SafetensorError, OSError) as error:
            raise UserError(f"{self.path} is damaged, or no safetensors file: {error}; fetch it again") from error

    def shape(self, name: str):
        return self._shapes[name]

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        with self._open() as file:
            piece = file.get_slice(name)
            if piece.get_dtype() not in NUMBERS:
                raise UserError(f"{self.path}: {name} is {piece.get_dtype()}; supported: {', '.join(NUMBERS)}")
            try:
                return piece[start:stop] if piece.get_shape() else file.get_tensor(name)
            except (SafetensorError, ValueError, TypeError) as error:
                raise UserError(f"{self.path}: {name} cannot be read ({error}); {REMEDY}") from error


class _PyTorch:
    """A file of pickled tensors, which only PyTorch reads; nothing in it but tensors is let in."""

    def __init__(self, path: Path):
        try:
            import torch
        except ImportError:
            raise UserError(
                f"{path} is PyTorch's own format, and torch is not installed; pip install torch, or fetch the model's "
                "safetensors"
            ) from None
        self.path, self._bfloat16 = path, torch.bfloat16
        mapped = zipfile.is_zipfile(path)  # as all since 2020; older ones are read as a whole
        try:
            self._tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except pickle.UnpicklingError as error:
            raise UserError(
                f"{path} is damaged, or holds more than tensors, which is not read: it could run any program; fetch the "
                "model's safetensors"
            ) from error
        except Exception as error:  # zip and torch raise many kinds for a damaged file
            reason = str(error).split("\n")[0] or type(error).__name__
            raise UserError(f"{path} is damaged, or no file of PyTorch's ({reason}); {REMEDY}") from error
        if not isinstance(self._tensors, dict):
            raise UserError(
                f"{path} holds a {type(self._tensors).__name__}, not tensors by name; give a model's state_dict"
            )
        self.names = {name for name, value in self._tensors.items() if isinstance(value, torch.Tensor)}

    def shape(self, name: str):
        return self._tensors[name].shape

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        tensor = self._tensors[name][start:stop].detach()
        if not tensor.dtype.is_floating_point:
            raise UserError(f"{self.path}: {name} is {tensor.dtype}, not of floating-point numbers")
        if tensor.dtype == self._bfloat16:
            return tensor.view(dtype=_torch_uint16()).numpy().view("bfloat16")
        return tensor.numpy()


def _torch_uint16():
    import torch

    return torch.uint16


# One file, or an index of many; the first that is there is taken.
FORMATS = (("model.safetensors", _Safetensors), ("pytorch_model.bin", _PyTorch))


def open_tensors(folder: Path) -> Tensors:
    """The tensors of `model.safetensors`, of several files with their index, or of `pytorch_model.bin`.

    Raises:
        UserError: there are none, a file is missing or damaged, or the index and the files disagree.
    """
    for name, kind in FORMATS:
        index = folder / f"{name}.index.json"
        if (folder / name).is_file():
            file = _open(kind, folder / name)
            return Tensors(dict.fromkeys(file.names, file))
        if index.is_file():
            return _indexed(folder, index, kind)
    for name, _ in FORMATS:
        if parts := sorted(folder.glob(name.replace(".", "-*-of-*."))):
            raise UserError(
                f"{folder} has {parts[0].name} but no {name}.index.json, which names all parts; fetch it too"
            )
    raise UserError(
        f"{folder} has no weights: {', '.join(name for name, _ in FORMATS)} or an index of several; fetch them"
    )


def _open(kind, path: Path):
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise UserError(
                f"{path} is a pointer of Git LFS, not the file itself; run `git lfs pull` where it was cloned"
            )
    return kind(path)


def _indexed(folder: Path, index: Path, kind) -> Tensors:
    file_of = read_json(index, REMEDY).get("weight_map")
    if not isinstance(file_of, dict) or not all(isinstance(name, str) for name in file_of.values()):
        raise UserError(f"{index} has no weight_map; {REMEDY}")
    files = {}
    for name in sorted(set(file_of.values())):
        if Path(name).name != name or not (folder / name).is_file():
            raise UserError(f"{folder} has no {name}, which {index.name} names; fetch it too")
        files[name] = _open(kind, folder / name)
    for name, file in file_of.items():
        if name not in files[file].names:
            raise UserError(f"{folder / file} has no {name}, which {index.name} says it has; fetch both again")
    for name, file in files.items():
        if extra := sorted(file.names - file_of.keys()):
            raise UserError(f"{folder / name} has {extra[0]}, which {index.name} does not name; fetch both again")
    return Tensors({name: files[file] for name, file in file_of.items()})
