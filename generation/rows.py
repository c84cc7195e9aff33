"""Texts that are being written, and how each gets its next token."""

from __future__ import annotations

import dataclasses
import enum
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from generation.processors import STATIC, Chain, Seen, apply_chain
from model import Cache


class Status(enum.IntEnum):
    """What became of a row."""

    RUNNING = 0
    ENDED = 1  # it wrote an end of text
    FULL = 2  # it has as many tokens as it may have
    NOT_FINITE = 3  # the network gave NaN or infinity
    NOTHING_ALLOWED = 4  # the processors left no token


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Method:
    """How the next token is chosen.

    Attributes:
        chain: what is done to the logits before.
        ends: int32 [E], the tokens that end a text.
        greedy: the likeliest token; otherwise a draw.
    """

    chain: Chain
    ends: jax.Array
    greedy: bool = dataclasses.field(metadata=STATIC)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """Texts that are being written, one a row, and what the network remembers of them.

    Attributes:
        ids_BS: int32, prompt and continuation, from place 0 on, without gaps.
        logprobs_BS: float32, of each generated token under the network's own distribution.
        lengths_B: int32, tokens in each row; the last one is not in the cache yet.
        starts_B: int32, tokens of its prompt.
        begins_B: int32, the place of the first token that the network sees: not 0 where it has slid, see `slide`.
        limits_B: int32, the length at which it is full.
        status_B: int32, a `Status`.
        keys_B: random keys, one a row, so that what a row draws does not depend on the others.
        cache: keys and values of all tokens but the last.
    """

    ids_BS: jax.Array
    logprobs_BS: jax.Array
    lengths_B: jax.Array
    starts_B: jax.Array
    begins_B: jax.Array
    limits_B: jax.Array
    status_B: jax.Array
    keys_B: jax.Array
    cache: Cache

    @property
    def seen(self) -> Seen:
        return Seen(self.ids_BS, self.lengths_B, self.lengths_B - self.starts_B)

    @property
    def last_B(self) -> jax.Array:
        return jnp.take_along_axis(self.ids_BS, self.lengths_B[:, None] - 1, axis=1)[:, 0]

    def has_room(self, tokens: int = 1) -> jax.Array:
        """Whether so many more fit in each text and in the cache: bool scalar."""
        texts = self.lengths_B.max() + tokens <= self.ids_BS.shape[1]
        return texts & (self.cache.length + tokens <= self.cache.tokens.ids.shape[1])


class Decoded(NamedTuple):
    """What there is so far, of the rows that were asked for: `Rows`' fields as NumPy arrays."""

    ids_BS: np.ndarray
    logprobs_BS: np.ndarray
    lengths_B: np.ndarray
    starts_B: np.ndarray
    status_B: np.ndarray


def row_keys(seed: jax.Array | int, rows: int, first_row: jax.Array | int = 0) -> jax.Array:
    """A random key for each row, [B], by its number, whatever the others are."""
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), first_row + jnp.arange(rows))


def choose_tokens(
    logits_BV: jax.Array, seen: Seen, keys_B: jax.Array, method: Method
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The next token of each row, int32 [B], its log-probability, float32 [B], and int32 [B] whether something is wrong."""
    logits_BV = logits_BV.astype(jnp.float32)
    scores_BV = apply_chain(method.chain, logits_BV, seen)
    if method.greedy:
        tokens_B = jnp.argmax(scores_BV, axis=-1)
    else:
        tokens_B = jax.vmap(jax.random.categorical)(keys_B, scores_BV)
    total_B = jax.nn.logsumexp(logits_BV, axis=-1)
    logprobs_B = jnp.take_along_axis(logits_BV, tokens_B[:, None], axis=-1)[:, 0] - total_B
    allowed_B = (scores_BV > -jnp.inf).any(-1)
    wrong_B = jnp.select([~jnp.isfinite(total_B), ~allowed_B], [Status.NOT_FINITE, Status.NOTHING_ALLOWED], 0)
    return tokens_B.astype(jnp.int32), logprobs_B, wrong_B.astype(jnp.int32)


def add_tokens(rows: Rows, logits_BV: jax.Array, method: Method) -> Rows:
    """Chooses a token for each row that still runs; what it draws depends on its key and the token's place alone."""
    keys_B = jax.vmap(jax.random.fold_in)(rows.keys_B, rows.lengths_B)
    tokens_B, logprobs_B, wrong_B = choose_tokens(logits_BV, rows.seen, keys_B, method)
    running_B = rows.status_B == Status.RUNNING
    added_B = running_B & (wrong_B == 0)
    place_B = jnp.where(added_B, rows.lengths_B, rows.ids_BS.shape[1])  # beyond the end: nothing is written
    number = jnp.arange(len(place_B))
    lengths_B = rows.lengths_B + added_B
    ended_B = (tokens_B[:, None] == method.ends).any(-1)
    status_B = jnp.select(
        [wrong_B > 0, ended_B, lengths_B >= rows.limits_B], [wrong_B, Status.ENDED, Status.FULL], Status.RUNNING
    )
    return dataclasses.replace(
        rows,
        ids_BS=rows.ids_BS.at[number, place_B].set(tokens_B, mode="drop"),
        logprobs_BS=rows.logprobs_BS.at[number, place_B].set(logprobs_B, mode="drop"),
        lengths_B=lengths_B,
        status_B=jnp.where(running_B, status_B, rows.status_B).astype(jnp.int32),
    )
