"""What is done to logits before a token is chosen: a chain of small pure functions, in the order in which they stand.

A processor takes logits [B, V] and what was `Seen` so far and returns logits, with -inf for tokens that must not come. Its
numbers may change without compiling anew, but for those marked static, which decide about shapes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

NEVER = -jnp.inf
STATIC = {"static": True}  # of a field: part of the structure, and compiled anew where it changes


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Seen:
    """The texts so far, prompts included; those of an encoder-decoder's decoder.

    Attributes:
        ids_BS: int32, each text from place 0 on, without gaps; what stands behind its end means nothing.
        lengths_B: int32, tokens in each.
        new_B: int32, how many of them were generated.
    """

    ids_BS: jax.Array
    lengths_B: jax.Array
    new_B: jax.Array

    @property
    def present_BS(self) -> jax.Array:
        return jnp.arange(self.ids_BS.shape[1]) < self.lengths_B[:, None]


Processor = Callable[[jax.Array, Seen], jax.Array]
Chain = tuple[Processor, ...]


def apply_chain(chain: Chain, logits_BV: jax.Array, seen: Seen) -> jax.Array:
    for processor in chain:
        logits_BV = processor(logits_BV, seen)
    return logits_BV


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Only:
    """The tokens that may come, bool [V] or [B, V]."""

    allowed: jax.Array

    def __call__(self, logits_BV, seen):
        return jnp.where(self.allowed, logits_BV, NEVER)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AllowedBy:
    """A hook: `function(seen)` gives the tokens that may come next, bool [B, V]; it is traced, so JAX operations only."""

    function: Callable[[Seen], jax.Array] = dataclasses.field(metadata=STATIC)

    def __call__(self, logits_BV, seen):
        return jnp.where(self.function(seen), logits_BV, NEVER)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LogitBias:
    """Adds float32 [V]."""

    bias_V: jax.Array

    def __call__(self, logits_BV, seen):
        return logits_BV + self.bias_V


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RepetitionPenalty:
    """Logits of tokens that stand in the text already: over the penalty where positive, times it where negative.

    Keskar et al. 2019 (CTRL, arXiv:1909.05858, section 4.1).
    """

    penalty: float

    def __call__(self, logits_BV, seen):
        rows = jnp.arange(len(logits_BV))[:, None]
        there_BV = jnp.zeros(logits_BV.shape, bool).at[rows, seen.ids_BS].max(seen.present_BS)
        penalized = jnp.where(logits_BV > 0, logits_BV / self.penalty, logits_BV * self.penalty)
        return jnp.where(there_BV, penalized, logits_BV)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sparing:
    """Another processor, which leaves the logits of the tokens [E] as they are."""

    tokens: jax.Array
    processor: Processor

    def __call__(self, logits_BV, seen):
        return self.processor(logits_BV, seen).at[:, self.tokens].set(logits_BV[:, self.tokens])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NoRepeatNgram:
    """No `size` tokens in a row come twice in a text (Paulus et al. 2017, arXiv:1705.04304, section 2.5)."""

    size: int = dataclasses.field(metadata=STATIC)

    def __call__(self, logits_BV, seen):
        before = self.size - 1  # tokens of an n-gram before its last one
        ends = seen.ids_BS[:, before:]
        count = ends.shape[1]  # every place where an n-gram may end
        if count < 1:
            return logits_BV
        same = jnp.arange(count) + before < seen.lengths_B[:, None]
        for place in range(before):
            last = jnp.take_along_axis(seen.ids_BS, jnp.maximum(seen.lengths_B[:, None] - before + place, 0), axis=1)
            same &= seen.ids_BS[:, place : place + count] == last
        rows = jnp.arange(len(logits_BV))[:, None]
        banned_BV = jnp.zeros(logits_BV.shape, bool).at[rows, ends].max(same)
        return jnp.where(banned_BV, NEVER, logits_BV)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MinNewTokens:
    """None of the tokens `ends` [E] before so many were generated."""

    count: int
    ends: jax.Array

    def __call__(self, logits_BV, seen):
        early = logits_BV.at[:, self.ends].set(NEVER)
        return jnp.where(seen.new_B[:, None] < self.count, early, logits_BV)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Temperature:
    """Logits over a temperature above 0; the likeliest token gets 0, so that no temperature, however low, overflows."""

    temperature: float

    def __call__(self, logits_BV, seen):
        return (logits_BV - logits_BV.max(-1, keepdims=True)) / jnp.maximum(self.temperature, 1e-6)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TopK:
    """The k likeliest tokens, and those that are as likely as the last of them (Fan et al. 2018, arXiv:1805.04833)."""

    k: int = dataclasses.field(metadata=STATIC)

    def __call__(self, logits_BV, seen):
        likeliest, _ = jax.lax.top_k(logits_BV, min(self.k, logits_BV.shape[-1]))
        return jnp.where(logits_BV >= likeliest[:, -1:], logits_BV, NEVER)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TopP:
    """The fewest tokens, likeliest first, whose probabilities sum to p or more; with those as likely as the last.

    Holtzman et al. 2019 (arXiv:1904.09751, section 3.1). Finds the logit of the last one by bisection: sorting a vocabulary
    takes ten times as long.
    """

    p: float

    def __call__(self, logits_BV, seen):
        weights = jax.nn.softmax(logits_BV)

        def bisect(_, bounds):
            low, high = bounds  # tokens of at least `low` suffice
            middle = (low + high) / 2
            enough = jnp.where(weights >= middle, weights, 0).sum(-1, keepdims=True) >= self.p
            return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

        most = weights.max(-1, keepdims=True)
        low, _ = jax.lax.fori_loop(0, 32, bisect, (jnp.zeros_like(most), most))
        return jnp.where(weights >= jnp.minimum(low, most), logits_BV, NEVER)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MinP:
    """Tokens at least p times as likely as the likeliest (Nguyen et al. 2024, arXiv:2407.01082)."""

    p: float

    def __call__(self, logits_BV, seen):
        return jnp.where(logits_BV >= logits_BV.max(-1, keepdims=True) + jnp.log(self.p), logits_BV, NEVER)
