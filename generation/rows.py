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


# What there is to tell of a row that could not go on.
WRONG = {
    Status.NOT_FINITE: "the model gives no finite probabilities (NaN or infinity in its parameters)",
    Status.NOTHING_ALLOWED: "no token may come next: no_repeat_ngram_size, allowed and logit_bias leave none",
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Method:
    """How the next token is chosen.

    Attributes:
        chain: what is done to the logits before a token is chosen.
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
        prompt_lengths_B: int32, tokens of its prompt.
        window_starts_B: int32, the place of the first token that the network sees: not 0 where it has slid, see `slide`.
        max_lengths_B: int32, the length at which it is full.
        status_B: int32, a `Status`.
        keys_B: random keys, one a row, so that what a row draws does not depend on the others.
        cache: keys and values of all tokens but the last.
    """

    ids_BS: jax.Array
    logprobs_BS: jax.Array
    lengths_B: jax.Array
    prompt_lengths_B: jax.Array
    window_starts_B: jax.Array
    max_lengths_B: jax.Array
    status_B: jax.Array
    keys_B: jax.Array
    cache: Cache

    @property
    def seen(self) -> Seen:
        return Seen(self.ids_BS, self.lengths_B, self.lengths_B - self.prompt_lengths_B)

    @property
    def last_B(self) -> jax.Array:
        return jnp.take_along_axis(self.ids_BS, self.lengths_B[:, None] - 1, axis=1)[:, 0]

    def decoded(self, wanted: int) -> Decoded:
        """The first `wanted` rows on the host; the others only fill the batch."""
        return Decoded(*(np.asarray(getattr(self, name))[:wanted] for name in Decoded._fields))

    def has_room(self, tokens: int = 1) -> jax.Array:
        """Whether so many more fit in each text and in the cache: bool scalar."""
        texts = self.lengths_B.max() + tokens <= self.ids_BS.shape[1]
        return texts & (self.cache.length + tokens <= self.cache.tokens.ids.shape[1])


class Decoded(NamedTuple):
    """What there is so far: `Rows`' fields as NumPy arrays."""

    ids_BS: np.ndarray
    logprobs_BS: np.ndarray
    lengths_B: np.ndarray
    prompt_lengths_B: np.ndarray
    status_B: np.ndarray


def row_keys(seed: jax.Array | int, rows: int, first_row: jax.Array | int = 0) -> jax.Array:
    """A random key for each row, [B], by its number, whatever the others are."""
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), first_row + jnp.arange(rows))


def process(logits_BV: jax.Array, seen: Seen, method: Method) -> tuple[jax.Array, jax.Array]:
    """The logits after the method's chain, [B, V], and whether something is wrong with them: int32 [B], a `Status` or 0."""
    scores_BV = apply_chain(method.chain, logits_BV, seen)
    finite_B = jnp.isfinite(jax.nn.logsumexp(logits_BV, axis=-1))
    allowed_B = (scores_BV > -jnp.inf).any(-1)
    wrong_B = jnp.select([~finite_B, ~allowed_B], [Status.NOT_FINITE, Status.NOTHING_ALLOWED], 0)
    return scores_BV, wrong_B.astype(jnp.int32)


def token_logprobs(logits: jax.Array, tokens: jax.Array) -> jax.Array:
    """Log-probabilities of tokens [...] under logits [..., V]: natural logarithms, float32."""
    chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)


def choose_tokens(
    logits_BV: jax.Array, seen: Seen, keys_B: jax.Array, method: Method
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The next token of each row, int32 [B], its log-probability, float32 [B], and whether something is wrong, int32 [B]."""
    scores_BV, wrong_B = process(logits_BV, seen, method)
    if method.greedy:
        tokens_B = jnp.argmax(scores_BV, axis=-1)
    else:
        tokens_B = jax.vmap(jax.random.categorical)(keys_B, scores_BV)
    return tokens_B.astype(jnp.int32), token_logprobs(logits_BV, tokens_B), wrong_B


def add_next_token(rows: Rows, logits_BV: jax.Array, method: Method) -> Rows:
    """Chooses a token for each row that still runs; what it draws depends on its key and the token's place alone."""
    keys_B = jax.vmap(jax.random.fold_in)(rows.keys_B, rows.lengths_B)
    tokens_B, logprobs_B, wrong_B = choose_tokens(logits_BV, rows.seen, keys_B, method)
    rows, _ = add_tokens(rows, tokens_B[:, None], logprobs_B[:, None], wrong_B == 0, wrong_B, method)
    return rows


def add_tokens(
    rows: Rows, tokens_BT: jax.Array, logprobs_BT: jax.Array, count_B: jax.Array, wrong_B: jax.Array, method: Method
) -> tuple[Rows, jax.Array]:
    """Adds the first `count_B` tokens to each row that runs, up to an end or its full length.

    `wrong_B`: what is wrong with the token behind those, a `Status` or 0. Returns the rows, and how many each got, int32 [B].
    """
    steps = jnp.arange(tokens_BT.shape[1])
    ends_BT = (tokens_BT[..., None] == method.ends).any(-1)
    open_BT = jnp.cumsum(ends_BT, axis=1) - ends_BT == 0  # no end before
    running_B = rows.status_B == Status.RUNNING
    most_B = jnp.where(running_B, jnp.minimum(count_B, rows.max_lengths_B - rows.lengths_B), 0)
    added_BT = open_BT & (steps < most_B[:, None])
    lengths_B = rows.lengths_B + added_BT.sum(1)
    places_BT = jnp.where(added_BT, rows.lengths_B[:, None] + steps, rows.ids_BS.shape[1])  # beyond the end: dropped
    number_B1 = jnp.arange(len(count_B))[:, None]
    status_B = jnp.select(
        [(ends_BT & added_BT).any(-1), lengths_B >= rows.max_lengths_B, wrong_B > 0],
        [Status.ENDED, Status.FULL, wrong_B],
        Status.RUNNING,
    )
    rows = dataclasses.replace(
        rows,
        ids_BS=rows.ids_BS.at[number_B1, places_BT].set(tokens_BT, mode="drop"),
        logprobs_BS=rows.logprobs_BS.at[number_B1, places_BT].set(logprobs_BT, mode="drop"),
        lengths_B=lengths_B,
        status_B=jnp.where(running_B, status_B, rows.status_B).astype(jnp.int32),
    )
    return rows, added_BT.sum(1)
