"""Which files make a tokenizer: a run's own, and those of published weights."""

import json
from collections.abc import Mapping
from pathlib import Path

from common.errors import UserError
from data.hf_tokenizer import HfTokenizer, from_merges, from_word_pieces
from data.tokenizer import Tokenizer

# What is kept beside the vocabulary: the roles of special tokens, the chat template, how to generate.
COMPANIONS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)
SENTENCEPIECE = ("tokenizer.model", "spiece.model")  # the second as T5 calls it


def read_tokenizer(folder: Path) -> Tokenizer | HfTokenizer | None:
    """The tokenizer of a run's folder, or of a folder of published weights; None where there is none.

    `tokenizer.json` is preferred, since only it has all special tokens.

    Raises:
        UserError: a file is damaged or cannot be read.
    """
    names = ("tokenizer.json", *SENTENCEPIECE, "vocab.json", "merges.txt", "vocab.txt", *COMPANIONS)
    try:
        files = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read ({error.strerror})") from error
    try:
        return _from_files(files)
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error


def _from_files(files: Mapping[str, bytes]) -> Tokenizer | HfTokenizer | None:
    kept = {name: files[name] for name in COMPANIONS if name in files}
    if "tokenizer.json" in files:
        return HfTokenizer(kept | {"tokenizer.json": files["tokenizer.json"]})
    for name in SENTENCEPIECE:
        if name in files:
            try:
                return Tokenizer(files[name], kept)
            except UserError as error:
                raise UserError(f"{name}: {error}") from error
    try:
        config = json.loads(files.get("tokenizer_config.json", b"{}"))
    except ValueError as error:
        raise UserError(f"tokenizer_config.json is damaged: {error}") from error
    if "vocab.json" in files and "merges.txt" in files:
        built = from_merges(files["vocab.json"], files["merges.txt"], config)
    elif "vocab.txt" in files:
        built = from_word_pieces(files["vocab.txt"], config)
    else:
        return None
    return HfTokenizer(kept | {"tokenizer.json": built})
