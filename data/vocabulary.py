"""Which vocabulary size to choose: tokenizers of several sizes, and published ones, measured on the validation text."""

import dataclasses
import itertools
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import ConfigError
from common.tables import plain
from data.cache import Cache
from data.config import DataConfig
from data.corpus import read_texts
from data.hf_tokenizer import HfTokenizer
from data.language import likeliest_language
from data.sample import sample_texts
from data.skipped import Skipped
from data.tokenizer import Tokenizer, TokenizerConfig, train

MEASURED_BYTES = 1_000_000  # of validation text, at most
LANGUAGES = 6  # that have a column; all others share one
LEAST_SHARE = 0.01  # of the bytes, of a language with a column
OTHER = "other"


def compare_vocabularies(
    data: DataConfig,
    config: TokenizerConfig,
    sizes: Sequence[int],
    published: Mapping[str, Tokenizer | HfTokenizer],
) -> dict[str, Any]:
    """Trains a tokenizer of each size as `load_corpus` would, and measures all of them, and `published` ones by name.

    Returns:
        "languages": bytes of the measured text by language, the most first; "rows": what `measure` says of each tokenizer,
        and its "name"; "left_out": by size, why there is no such tokenizer; "skipped": what could not be read.

    Raises:
        ConfigError, UserError: sources that cannot be read, too little text, or none of the sizes is possible.
    """
    try:
        configs = [dataclasses.replace(config, vocab_size=size) for size in sizes]
    except ConfigError as error:
        raise ConfigError(f"tokenizer.{error}") from error
    skipped = Skipped(allowed=data.skip_bad)
    with tempfile.TemporaryDirectory() as folder:
        train_texts, valid_texts = read_texts(data, Cache(Path(folder)), skipped)
    texts = sample_texts(valid_texts, MEASURED_BYTES, data.keeps_order)
    sample = sample_texts(train_texts, config.sample_bytes, data.keeps_order)
    parts = by_language(texts)
    rows, left_out = [], {}
    for each in configs:
        try:
            tokenizer = train(sample, each)
        except ConfigError as error:
            left_out[each.vocab_size] = str(error)
        else:
            rows.append({"name": config.model_type, **measure(tokenizer, texts, parts)})
    if not rows:
        raise ConfigError(f"none of these sizes is possible: {'; '.join(left_out.values())}")
    rows += [{"name": name, **measure(tokenizer, texts, parts)} for name, tokenizer in published.items()]
    languages = {language: sum(len(text.encode()) for text in part) for language, part in parts.items()}
    return {"languages": languages, "rows": rows, "left_out": left_out, "skipped": skipped}


def measure(
    tokenizer: Tokenizer | HfTokenizer, texts: Sequence[str], parts: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """How a tokenizer writes `texts`, of which `parts` are those in each language.

    Returns:
        "vocab_size"; "tokens_per_document", special tokens not counted; "byte_share" and "unknown_share", of the tokens;
        "bytes_per_token" (None where there is no token, as of spaces by BERT) and "tokens_per_byte" by language, and of "all".
    """
    tokens = np.array([token for document in tokenizer.encode_all(texts) for token in document])
    counts = {language: sum(map(len, tokenizer.encode_all(part))) for language, part in parts.items()}
    sizes = {language: sum(len(text.encode()) for text in part) for language, part in parts.items()}
    counts["all"], sizes["all"] = len(tokens), sum(len(text.encode()) for text in texts)
    return {
        "vocab_size": tokenizer.vocab_size,
        "tokens_per_document": len(tokens) / len(texts),
        "byte_share": float(is_part(tokenizer)[tokens].mean()),
        "unknown_share": 0.0 if tokenizer.unknown is None else float((tokens == tokenizer.unknown).mean()),
        "bytes_per_token": {language: sizes[language] / count if count else None for language, count in counts.items()},
        "tokens_per_byte": {language: counts[language] / sizes[language] for language in counts},
    }


def is_part(tokenizer: Tokenizer | HfTokenizer) -> np.ndarray:
    """Bool [V], which pieces are bytes, or in a published vocabulary of bytes such as GPT-2's no whole characters."""
    pieces = ((tokenizer.piece(token), tokenizer.decode([token])) for token in range(tokenizer.vocab_size))
    return np.array(
        [
            (len(piece) == 6 and piece.startswith("<0x")) or ("\ufffd" in text and "\ufffd" not in piece)
            for piece, text in pieces
        ]
    )


def by_language(texts: Iterable[str]) -> dict[str, list[str]]:
    """The texts' lines by their likeliest language, neighbours in one piece; the language with the most bytes first.

    A line without letters goes with the one before it. Rare languages share the last entry.
    """
    found: list[tuple[str, str]] = []
    for text in texts:
        lines, language = text.splitlines(keepends=True), OTHER
        languages = [language := likeliest_language(line) or language for line in lines]
        for code, group in itertools.groupby(zip(languages, lines, strict=True), key=lambda pair: pair[0]):
            found.append((code, "".join(line for _, line in group)))
    sizes = Counter()
    for code, text in found:
        sizes[code] += len(text.encode())
    common = [
        code for code, size in sizes.most_common(LANGUAGES) if size >= LEAST_SHARE * sizes.total() and code != OTHER
    ]
    parts: dict[str, list[str]] = {code: [] for code in (*common, OTHER)}
    for code, text in found:
        parts[code if code in common else OTHER].append(text)
    return {code: part for code, part in parts.items() if part}


def vocabulary_table(compared: Mapping[str, Any], parameters: Callable[[int], int]) -> str:
    """For a terminal; `parameters` says how many the embedding of a vocabulary has."""
    languages = compared["languages"]
    total = sum(languages.values())
    titles = ("tokenizer", "pieces", "bytes a token", *languages, "tokens a document", "bytes", "unknown", "embedding")
    rows = [
        (
            row["name"],
            row["vocab_size"],
            *(f"{row['bytes_per_token'][language] or math.nan:.2f}" for language in ("all", *languages)),
            f"{row['tokens_per_document']:,.1f}",
            f"{row['byte_share']:.2%}",
            f"{row['unknown_share']:.2%}",
            parameters(row["vocab_size"]),
        )
        for row in compared["rows"]
    ]
    shares = ", ".join(f"{language} {size / total:.0%}" for language, size in languages.items())
    return f"{plain(titles, rows)}\n\nmeasured on {total:,} bytes of validation text: {shares}"
