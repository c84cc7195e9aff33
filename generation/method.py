"""The chain of processors that a `GenerationConfig` makes."""

import jax.numpy as jnp
import numpy as np

from common.errors import require
from data.tokenizer import Tokenizer
from generation.config import GenerationConfig
from generation.processors import (
    AllowedBy,
    LogitBias,
    MinNewTokens,
    MinP,
    NoRepeatNgram,
    Only,
    RepetitionPenalty,
    Sparing,
    Temperature,
    TopK,
    TopP,
)
from generation.rows import Method


def method(config: GenerationConfig, tokenizer: Tokenizer, vocab_size: int, only: np.ndarray | None = None) -> Method:
    """How tokens are chosen: the processors that `config` asks for, in the order in which transformers has them.

    Rows of the vocabulary without a piece never come, nor does the unknown piece; `only` [V] narrows it further. Ends of text
    may be repeated: texts begin with one.
    """
    ends = np.array(tokenizer.ends, np.int32)
    allowed = np.arange(vocab_size) < tokenizer.vocab_size
    if tokenizer.unknown is not None:
        allowed[tokenizer.unknown] = False
    for token in config.logit_bias:
        require(0 <= token < vocab_size, f"logit_bias: there is no token {token}; the vocabulary has {vocab_size}")
    bias = np.zeros(vocab_size, np.float32)
    bias[list(config.logit_bias)] = list(config.logit_bias.values())
    greedy = config.temperature == 0
    wanted = [
        (bool(config.logit_bias), LogitBias(bias)),
        (config.repetition_penalty != 1, Sparing(ends, RepetitionPenalty(np.float32(config.repetition_penalty)))),
        (config.no_repeat_ngram_size > 0, Sparing(ends, NoRepeatNgram(config.no_repeat_ngram_size))),
        (config.min_new_tokens > 0, MinNewTokens(np.int32(config.min_new_tokens), ends)),
        (config.allowed is not None, AllowedBy(config.allowed)),
        (True, Only(allowed if only is None else allowed & only)),
        (not greedy, Temperature(np.float32(config.temperature))),
        (not greedy and config.top_k > 0, TopK(config.top_k)),
        (not greedy and config.top_p < 1, TopP(np.float32(config.top_p))),
        (not greedy and config.min_p > 0, MinP(np.float32(config.min_p))),
    ]
    return Method(tuple(processor for on, processor in wanted if on), jnp.asarray(ends), greedy)
