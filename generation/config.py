"""What can be chosen when text is generated. It needs no JAX, so that a wrong value is answered at once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from common.errors import require

if TYPE_CHECKING:
    import jax

    from generation.processors import Seen


MOST_TOKENS = 1 << 30  # lengths are int32
LARGEST = 3e38  # numbers are float32
CACHE_DTYPES = ("computed", "float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class GenerationConfig:
    """What can be chosen when text is generated; `sample.py` has a flag for each field but `allowed`, which explains it.

    The defaults leave the model's distribution as it is, but for temperature=0.8; 0 is greedy.

    Attributes:
        logit_bias: token id -> what is added to its logit.
        allowed: a function of what was `Seen` that gives the tokens that may come, bool [B, V]; it is traced.
        best_of: of so many completions of each prompt, those with the highest mean log-probability a token are kept.
        slide: a text may be longer than the context; the network then sees its last part.
        draft_tokens: how many tokens a draft proposes at a time, where there is one.
        cache_dtype: of the keys and values that are kept; "computed": that of the computation.
    """

    max_new_tokens: int = 64
    min_new_tokens: int = 0
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    logit_bias: Mapping[int, float] = dataclasses.field(default_factory=dict)
    allowed: Callable[[Seen], jax.Array] | None = None
    stop: tuple[str, ...] = ()
    num_samples: int = 1
    best_of: int = 0
    slide: bool = False
    draft_tokens: int = 4
    beam: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    cache_dtype: str = "computed"

    def __post_init__(self):
        def number(name: str, holds: bool, must: str) -> None:
            require(holds, f"{name}={getattr(self, name)} must be {must}")

        number("max_new_tokens", 1 <= self.max_new_tokens <= MOST_TOKENS, f"from 1 to {MOST_TOKENS}")
        number("num_samples", self.num_samples >= 1, "at least 1")
        most = f"from 0 to max_new_tokens={self.max_new_tokens}"
        number("min_new_tokens", 0 <= self.min_new_tokens <= self.max_new_tokens, most)
        number("temperature", 0 <= self.temperature < LARGEST, "0 (greedy) or a finite number above")
        number("top_k", self.top_k >= 0, "0 (all tokens) or above")
        number("top_p", 0 < self.top_p <= 1, "above 0 and at most 1")
        number("min_p", 0 <= self.min_p <= 1, "from 0 to 1")
        number("repetition_penalty", 0 < self.repetition_penalty < LARGEST, "a finite number above 0")
        number("no_repeat_ngram_size", self.no_repeat_ngram_size >= 0, "0 (off) or above")
        number("best_of", self.best_of == 0 or self.best_of >= self.num_samples, "0 (off) or at least num_samples")
        require(
            not self.best_of or self.beam == 1, "best_of chooses among draws, and beams draw nothing: give one of them"
        )
        require(not self.best_of or self.temperature > 0, "best_of chooses among draws: it needs a temperature above 0")
        number("draft_tokens", self.draft_tokens >= 1, "at least 1")
        number("beam", self.beam >= 1, "at least 1")
        number("length_penalty", abs(self.length_penalty) < LARGEST, "a finite number")
        stopping = isinstance(self.early_stopping, bool) or self.early_stopping == "never"
        number("early_stopping", stopping, "False, True or 'never'")
        number("cache_dtype", self.cache_dtype in CACHE_DTYPES, f"one of {', '.join(CACHE_DTYPES)}")
        if self.beam > 1:
            draws = self.temperature or self.top_k or self.top_p < 1 or self.min_p
            require(not draws, "beams draw nothing: with beam above 1 set temperature=0 and no top_k, top_p or min_p")
            number("num_samples", self.num_samples <= self.beam, f"at most beam={self.beam}")
            require(not self.slide, "beams cannot slide: with beam above 1 the text must fit the context")
        require("" not in self.stop, "stop needs a text that is not empty")
        for token, bias in self.logit_bias.items():
            require(
                -LARGEST < bias < LARGEST or bias == -math.inf,
                f"logit_bias of token {token} must be a finite number, or -inf",
            )
