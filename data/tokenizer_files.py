"""Which files make a tokenizer: a run's own, and those of published weights."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import UserError
from data.hf_tokenizer import HfTokenizer, from_merges, from_word_pieces
from data.tokenizer import Tokenizer, read_companion

# What is kept beside the vocabulary: the roles of special tokens, the chat template, how to generate.
COMPANIONS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)
SENTENCEPIECE = ("tokenizer.model", "spiece.model")  # the second as T5 calls it
FILES = ("tokenizer.json", *SENTENCEPIECE, "vocab.json", "merges.txt", "vocab.txt", *COMPANIONS)
SENTINELS = 100  # of T5, where tokenizer_config.json does not say extra_ids


def read_tokenizer(folder: Path, config: Mapping[str, Any] | None = None) -> Tokenizer | HfTokenizer | None:
    """The tokenizer of a run's folder, or of a folder of published weights; None where there is none.

    `tokenizer.json` is preferred, since only it has all special tokens. Where generation_config.json does not say at which
    ids a text ends, the published `config` does, and what it says is kept as a generation_config.json.

    Raises:
        UserError: a file is damaged or cannot be read.
    """
    try:
        files = {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read ({error.strerror})") from error
    try:
        generation = read_companion(files, "generation_config.json")
        ends = (config or {}).get("eos_token_id")
        if ends is not None and generation.get("eos_token_id") is None:
            files["generation_config.json"] = json.dumps(generation | {"eos_token_id": ends}).encode()
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
                return _from_sentencepiece(name, files[name], kept)
            except UserError as error:
                raise UserError(f"{name}: {error}") from error
    config = read_companion(files, "tokenizer_config.json")
    for name, other in (("vocab.json", "merges.txt"), ("merges.txt", "vocab.json")):
        if name in files and other not in files and "vocab.txt" not in files:
            raise UserError(f"{name} is there, but {other}, which belongs to it, is missing; fetch it too")
    if "vocab.json" in files and "merges.txt" in files:
        built = from_merges(files["vocab.json"], files["merges.txt"], config)
    elif "vocab.txt" in files:
        built = from_word_pieces(files["vocab.txt"], config)
    else:
        return None
    return HfTokenizer(kept | {"tokenizer.json": built})


def _from_sentencepiece(name: str, model: bytes, kept: Mapping[str, bytes]) -> Tokenizer:
    """T5's sentinels are not in its model (mT5's are); how many there are, tokenizer_config.json tells."""
    files = {name: model, **kept}
    tokenizer = Tokenizer(model, files)
    if name != "spiece.model" or tokenizer.sentinels:
        return tokenizer
    sentinels = read_companion(files, "tokenizer_config.json").get("extra_ids", SENTINELS)
    if type(sentinels) is not int or sentinels < 0:
        raise UserError(f"tokenizer_config.json: extra_ids={sentinels!r} is not a number of tokens; fetch it again")
    return Tokenizer(model, files, sentinels=sentinels)
