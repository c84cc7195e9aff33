"""A prepared corpus: a folder of token shards, their tokenizer, and a manifest that says what they were made of.

manifest.json         what it is made of and by which options, what each stage took, sizes and hashes of all files
tokenizer.model       or the files of a published tokenizer
train-SOURCE-00000.bin, train-SOURCE-00000.idx …, valid-…   token shards, as `data/shards.py` describes them
report.md, *.png      the same for people, with samples
"""

import dataclasses
import hashlib
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import ConfigError, UserError
from common.files import digest, read_json, read_json_value, write_whole
from data.encoded import EncodedText
from data.hf_tokenizer import HfTokenizer
from data.shards import read_shards
from data.tokenizer import Tokenizer
from data.tokenizer_files import read_tokenizer

FORMAT = "zenformer tokens"
VERSION = 1
MANIFEST = "manifest.json"
REMEDY = "prepare it again, or bring back a copy"


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What is in such a folder; the tokens are read where they lie.

    Attributes:
        manifest: as it is in the file.
        train, valid: by source.
    """

    manifest: Mapping[str, Any]
    tokenizer: Tokenizer | HfTokenizer
    train: Mapping[str, EncodedText]
    valid: Mapping[str, EncodedText]


def is_prepared(source: str) -> bool:
    """Whether a source names a prepared folder.

    Raises:
        UserError: it has a manifest that cannot be read.
    """
    path = Path(os.path.expanduser(source)) / MANIFEST
    # os.path: where its folder may not be looked into, reading the source says so.
    if not os.path.isfile(path):
        return False
    manifest = read_json_value(path, REMEDY)
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT


def write_manifest(folder: Path, content: Mapping[str, Any], hashes: Mapping[str, str]) -> dict[str, Any]:
    """Writes manifest.json, which makes the folder a prepared one, and gives what is in it.

    `hashes`: of files in the folder, by name, as far as they are known.
    """
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": hashes.get(path.name) or _hash_file(path)}
        for path in sorted(folder.iterdir())
    }
    manifest = {"format": FORMAT, "version": VERSION, **content, "files": files}
    manifest = json.loads(json.dumps(manifest))  # tuples as lists, as they are read back
    manifest["hash"] = _hash(manifest)
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return manifest


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash(manifest: Mapping[str, Any]) -> str:
    """Of all that is in a manifest but this hash itself."""
    return digest(json.dumps({name: value for name, value in manifest.items() if name != "hash"}, sort_keys=True))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, which was neither damaged nor edited.

    Raises:
        UserError: it was, or another version of this code wrote it.
    """
    path = folder / MANIFEST
    manifest = read_json(path, REMEDY)
    if manifest.get("format") != FORMAT:
        raise UserError(f"{path} is not the manifest of a prepared folder; {REMEDY}")
    if manifest.get("version") != VERSION:
        raise UserError(
            f"{folder} has version {manifest.get('version')} of the format, this code reads {VERSION}; prepare it again"
        )
    if manifest.get("hash") != _hash(manifest):
        raise UserError(f"{path} has been changed since it was written; {REMEDY}")
    return manifest


def read_prepared(folder: Path) -> Prepared:
    """What is in a prepared folder. Sizes of all files and the content of the small ones are checked, not of the tokens.

    Raises:
        UserError: a file is missing, has another size or another content than the manifest says.
    """
    folder = folder.expanduser()
    manifest = read_manifest(folder)
    check_files(folder, manifest, [name for name in manifest["files"] if not name.endswith(".bin")])
    tokenizer = read_tokenizer(folder)
    if tokenizer is None:
        raise UserError(f"{folder} has no tokenizer; {REMEDY}")

    dtype = np.dtype(manifest["tokenizer"]["dtype"])

    def read(parts: Mapping[str, Any]) -> dict[str, EncodedText]:
        return {
            source: EncodedText(*read_shards(folder, part["name"], dtype, part["shards"]), part["bytes"])
            for source, part in parts.items()
        }

    return Prepared(manifest, tokenizer, read(manifest["splits"]["train"]), read(manifest["splits"]["valid"]))


def check_files(folder: Path, manifest: Mapping[str, Any], whole: list[str]) -> None:
    """Compares the sizes of all files, and the content of those in `whole`, with the manifest.

    Raises:
        UserError: one differs or is missing.
    """
    for name, expected in manifest["files"].items():
        path = folder / name
        try:
            size = path.stat().st_size
            if size != expected["bytes"]:
                raise UserError(f"{path} has {size:,} bytes, its manifest says {expected['bytes']:,}; {REMEDY}")
            if name in whole and _hash_file(path) != expected["sha256"]:
                raise UserError(f"{path} has been damaged or changed since it was written; {REMEDY}")
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); {REMEDY}") from error


def refuse_other_options(folder: Path, manifest: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raises ConfigError where `options`, by dotted key, would be ignored, since the folder was prepared with others."""
    theirs = {"tokenizer.vocab_size": manifest["tokenizer"]["vocab_size"], **manifest["options"]}
    ours = json.loads(json.dumps(options))
    if theirs.get("data.valid"):  # then the fraction was not used
        ours["data.valid_fraction"] = theirs["data.valid_fraction"]
    changed = [key for key in ours if key in theirs and ours[key] != theirs[key]]
    if changed:
        shown = "; ".join(f"{key}: {_shown(theirs[key])}, not {_shown(ours[key])}" for key in changed)
        flags = " ".join(shlex.quote(f"--config.{key}={_shown(theirs[key])}") for key in changed)
        raise ConfigError(f"{folder} was prepared with other settings ({shown}); give {flags}, or prepare it again")


def _shown(value: Any) -> str:
    """A setting as it is given on the command line."""
    return (",".join(value) or "()") if isinstance(value, list) else str(value)


def refuse_other_tokenizer(folder: Path, theirs: Tokenizer | HfTokenizer, ours: Tokenizer | HfTokenizer) -> None:
    """Raises UserError where the tokens in the folder are not those of the run's own tokenizer."""
    if theirs.model != ours.model:
        raise UserError(
            f"{folder} was prepared with another tokenizer than the run's own; prepare it with that of the run: "
            "prepare.py --tokenizer DIR, or give another --workdir=DIR"
        )
