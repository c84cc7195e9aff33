"""Tokenizers of several sizes side by side, for people who choose a vocabulary."""

import json
from collections.abc import Sequence
from pathlib import Path

from common.command import warn
from common.errors import require
from data.prepared import is_prepared
from data.skipped import tell_skipped
from data.tokenizer_files import read_tokenizer
from data.vocabulary import compare_vocabularies, vocabulary_table
from training.config import RunConfig


def show_vocabularies(config: RunConfig, sizes: Sequence[int], against: Sequence[Path], as_json: bool) -> int:
    """Prints a table of tokenizers of these sizes, trained on the run's text, and of those in the folders `against`.

    What was left out is told on stderr. Returns the status to exit with, 0.

    Raises:
        ConfigError, UserError: as `compare_vocabularies`; or a folder has no tokenizer, or has one that is damaged.
    """
    for source in (*config.data.train, *config.data.valid):
        require(not is_prepared(source), f"{source} is prepared already, with its tokenizer; name its sources")
    published = {str(folder): read_tokenizer(folder.expanduser()) for folder in against}
    for name, tokenizer in published.items():
        require(tokenizer is not None, f"--against {name} has no tokenizer; give a folder that has tokenizer.json")
    compared = compare_vocabularies(config.data, config.tokenizer, sizes, published)
    for reason in compared["left_out"].values():
        warn(f"left out: {reason}")
    tell_skipped(compared.pop("skipped"), warn)

    def parameters(pieces: int) -> int:
        """Of the embedding, and of the output layer where it is another."""
        return pieces * config.model.embed_dim * (1 if config.model.tie_embeddings else 2)

    if as_json:
        rows = [{**row, "embedding_parameters": parameters(row["vocab_size"])} for row in compared["rows"]]
        print(json.dumps(compared | {"rows": rows}, ensure_ascii=False))
    else:
        print(vocabulary_table(compared, parameters))
    return 0
