"""Token shards: a line of tokens cut into files of one size, which are read where they lie, memory-mapped.

NAME-00000.bin   the tokens, little-endian uint16 or uint32, as many in each file but the last
NAME-00000.idx   where documents start in it, little-endian uint64, counted in tokens from the beginning of the file

The line begins with end-of-text, and each document is followed by one. A document may go on in the next file.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

SHARD_TOKENS = 1 << 26  # 128 MiB of uint16
START = np.dtype("<u8")


class ShardedTokens:
    """Files of one size as one array [total], for reading slices; only what is read comes into memory."""

    def __init__(self, shards: Sequence[np.ndarray]):
        """`shards`: arrays of one dtype, all as long as the first but the last, which may be shorter."""
        self._shards, self._size = tuple(shards), len(shards[0])
        self.dtype = shards[0].dtype

    def __len__(self) -> int:
        return self._size * (len(self._shards) - 1) + len(self._shards[-1])

    def __getitem__(self, at: slice | int) -> np.ndarray | np.integer:
        if not isinstance(at, slice):
            index = range(len(self))[at]
            return self._shards[index // self._size][index % self._size]
        start, stop, step = at.indices(len(self))
        if step != 1:
            raise IndexError("slices of sharded tokens go forward, one by one")
        return np.concatenate([np.empty(0, self.dtype), *self._parts(start, stop)])

    def _parts(self, start: int, stop: int) -> Iterator[np.ndarray]:
        while start < stop:
            number, place = divmod(start, self._size)
            part = self._shards[number][place : place + stop - start]
            yield part
            start += len(part)


class ShardWriter:
    """Writes a line of tokens, piece by piece, to files in `folder`, all of which are whole once it is closed.

    Attributes:
        num_tokens: those so far, as `EncodedText` counts them.
        files: what was written: name -> hash of its content.
    """

    def __init__(self, folder: Path, name: str, dtype: np.dtype, end_of_text: int, shard_tokens: int = SHARD_TOKENS):
        self.files: dict[str, str] = {}
        self.num_tokens = -1
        self._path, self._dtype, self._size = folder / name, dtype.newbyteorder("<"), shard_tokens
        self._file: HashedFile | None = None
        self._starts = [np.empty(0, np.int64)]
        self._write(np.array([end_of_text]))

    def add(self, tokens: np.ndarray, lengths: np.ndarray) -> None:
        """More documents: all their tokens, each one's end-of-text included, and how many each has."""
        self._starts.append(self.num_tokens + np.cumsum(lengths) - lengths)
        self._write(tokens)

    def close(self) -> None:
        """Ends the last file, and writes the indices."""
        self._end_file()
        starts = np.concatenate(self._starts)
        for number in range(len(self.files)):
            begin, end = np.searchsorted(starts, [number * self._size, (number + 1) * self._size])
            with closing(HashedFile(_shard(self._path, number, "idx"))) as file:
                file.write((starts[begin:end] - number * self._size).astype(START).tobytes())
            self.files[file.path.name] = file.hash

    def _write(self, tokens: np.ndarray) -> None:
        while len(tokens):
            number, place = divmod(self.num_tokens + 1, self._size)
            if place == 0:
                self._end_file()
                self._file = HashedFile(_shard(self._path, number, "bin"))
            part, tokens = tokens[: self._size - place], tokens[self._size - place :]
            self._file.write(part.astype(self._dtype).tobytes())
            self.num_tokens += len(part)

    def _end_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self.files[self._file.path.name] = self._file.hash


class HashedFile:
    """A new file that knows the SHA-256 of what was written to it, and is on disk once it is closed."""

    def __init__(self, path: Path):
        self.path = path
        self._file, self._hash = path.open("xb"), hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def read_shards(folder: Path, name: str, dtype: np.dtype, count: int) -> tuple[np.ndarray | ShardedTokens, np.ndarray]:
    """The tokens [1 + total] of `count` files, memory-mapped, and where documents start in them, int64 [documents]."""
    path, dtype = folder / name, dtype.newbyteorder("<")
    shards = [np.memmap(_shard(path, number, "bin"), dtype, "r") for number in range(count)]
    starts = [
        np.fromfile(_shard(path, number, "idx"), START).astype(np.int64) + number * len(shards[0])
        for number in range(count)
    ]
    return shards[0] if count == 1 else ShardedTokens(shards), np.concatenate(starts)


def _shard(path: Path, number: int, ending: str) -> Path:
    return path.with_name(f"{path.name}-{number:05}.{ending}")
