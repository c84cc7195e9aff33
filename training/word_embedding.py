"""The token embedding of a new run, from a file of word vectors."""

import numpy as np

from common.command import Say
from common.errors import ConfigError, UserError
from data.piece_vectors import piece_vectors
from data.tokenizer import Tokenizer
from data.word_vectors import stream_word_vectors
from model import TransformerConfig


def read_token_embedding(path: str, config: TransformerConfig, tokenizer: Tokenizer, seed: int, say: Say) -> np.ndarray:
    """float32 [V, D], with the standard deviation that the network's own embeddings begin with; `say` is told the coverage.

    Raises:
        ConfigError: the file's vectors have not the network's width.
        UserError: the file cannot be read, or is damaged.
    """

    def entries():
        for word, vector in stream_word_vectors(path):
            if len(vector) != config.embed_dim:
                raise ConfigError(
                    f"training.word_vectors={path!r} has vectors of width {len(vector)}, the network model.embed_dim="
                    f"{config.embed_dim}; set --config.model.embed_dim={len(vector)}, or give another file"
                )
            yield word, vector

    try:
        made = piece_vectors(entries(), tokenizer, config.vocab_size, seed)
    except ConfigError:
        raise
    except UserError as error:
        raise UserError(f"training.word_vectors={path!r}: {error}") from error
    say(f"word vectors: {made}")
    return made.table * np.float32(config.initializer_std / max(made.table.std(), np.finfo(np.float32).tiny))
