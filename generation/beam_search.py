"""Beam search: of each prompt several texts are pursued at a time, and the best of those that ended are kept.

Sutskever et al. 2014 (arXiv:1409.3215, section 3.2), with what transformers' `generate` adds to it, choice by choice.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from generation.decoder import next_logits, read_prompts
from generation.processors import STATIC, Seen, apply_chain
from generation.rows import Decoded, Method, Status
from generation.sizes import arrange
from model import Cache, Tokens, TransformerConfig
from model.parameters import Params

NONE = -jnp.inf  # the score of a text that is not there


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Search:
    """How texts are ranked, and when the search of a prompt is over.

    Attributes:
        width: W, how many texts of a prompt go on, and how many that ended are kept.
        length_penalty: a text that ended is ranked by its score over (generated tokens ** this): 0 is none, above 0 favours
            long texts. Wu et al. 2016 (arXiv:1609.08144, section 7), whose (5 + tokens) / 6 is plainly tokens here.
        early_stopping: True: it is over once W texts have ended. "never": once no text that goes on can still become one
            of the best W (Huang et al. 2017, arXiv:1809.00069). False: guesses this from a text's score at its present
            length, which with a length penalty above 0 may be too early.
    """

    width: int = dataclasses.field(metadata=STATIC)
    length_penalty: float = 1.0
    early_stopping: bool | str = dataclasses.field(metadata=STATIC, default=False)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Texts:
    """W texts of each of P prompts, best first.

    Attributes:
        ids_PWS: int32, prompt and continuation, from place 0 on, without gaps.
        logprobs_PWS: float32, of each generated token under the network's own distribution.
        lengths_PW: int32, tokens in each.
        scores_PW: float32, by which they are ranked; -inf: there is no such text.
    """

    ids_PWS: jax.Array
    logprobs_PWS: jax.Array
    lengths_PW: jax.Array
    scores_PW: jax.Array

    @property
    def there_PW(self) -> jax.Array:
        return self.scores_PW > NONE

    def ranked_by(self, scores_PW: jax.Array) -> Texts:
        return dataclasses.replace(self, scores_PW=scores_PW)

    def take(self, number_PW: jax.Array) -> Texts:
        """Of each prompt the texts of these numbers."""
        return jax.vmap(lambda texts, number_W: jax.tree.map(lambda leaf: leaf[number_W], texts))(self, number_PW)

    def add(self, token_PW: jax.Array, logprob_PW: jax.Array, scores_PW: jax.Array) -> Texts:
        """Each with one more token and a new score; those that are not there stay as they are."""
        there_PW = scores_PW > NONE
        place_PW = jnp.where(there_PW, self.lengths_PW, self.ids_PWS.shape[2])  # beyond the end: nothing is written
        write = jax.vmap(jax.vmap(lambda row, place, value: row.at[place].set(value, mode="drop")))
        return Texts(
            write(self.ids_PWS, place_PW, token_PW),
            write(self.logprobs_PWS, place_PW, logprob_PW),
            self.lengths_PW + there_PW,
            scores_PW,
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Beams:
    """The search so far.

    Attributes:
        going: texts that go on; a score is the sum of what the processors made of the log-probabilities.
        ended: the best texts that ended; a score is this sum over the length penalty.
        starts_P, limits_P: int32, tokens of each prompt, and of a text that is full.
        finite_P: bool, that the network gave numbers.
        cache: keys and values of all tokens of `going` but the last, W rows a prompt.
    """

    going: Texts
    ended: Texts
    starts_P: jax.Array
    limits_P: jax.Array
    finite_P: jax.Array
    cache: Cache


def add_tokens(beams: Beams, logits_BV: jax.Array, method: Method, search: Search) -> Beams:
    """Continues all texts by one token, B = P * W; those that end are ranked with those that ended before."""
    going, starts_P = beams.going, beams.starts_P
    prompts, width, slots = going.ids_PWS.shape
    total_B1 = jax.nn.logsumexp(logits_BV, axis=-1, keepdims=True)
    finite_PW1 = jnp.isfinite(total_B1).reshape(prompts, width, 1)
    logprobs_BV = logits_BV - total_B1
    lengths_B = going.lengths_PW.reshape(-1)
    seen = Seen(going.ids_PWS.reshape(-1, slots), lengths_B, lengths_B - jnp.repeat(starts_P, width))
    changed_PWV = apply_chain(method.chain, logprobs_BV, seen).reshape(prompts, width, -1)
    there_PW1 = going.there_PW[..., None]
    sums_PWV = jnp.where(there_PW1 & finite_PW1, going.scores_PW[..., None] + changed_PWV, NONE)

    # Candidates: enough of them that W go on even if each text may end in every way there is.
    vocabulary = sums_PWV.shape[-1]
    count = min(max(2, 1 + len(method.ends)), vocabulary) * width
    sums_PC, index_PC = jax.lax.top_k(sums_PWV.reshape(prompts, -1), count)
    logprobs_PC = jnp.take_along_axis(logprobs_BV.reshape(prompts, -1), index_PC, axis=1)
    parents_PC, tokens_PC = index_PC // vocabulary, index_PC % vocabulary
    candidates = going.take(parents_PC).add(tokens_PC, logprobs_PC, sums_PC)
    over_PC = (tokens_PC[..., None] == method.ends).any(-1) | (candidates.lengths_PW >= beams.limits_P[:, None])

    # Only the best W candidates may end; the others are there to go on in their place.
    norm_PC = jnp.float32(candidates.lengths_PW - starts_P[:, None]) ** search.length_penalty
    ranked_PC = jnp.where(over_PC & candidates.there_PW, sums_PC / norm_PC, NONE)
    fresh = jax.tree.map(lambda leaf: leaf[:, :width], candidates.ranked_by(ranked_PC))
    ended = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), beams.ended, fresh)
    ended = ended.take(jax.lax.top_k(ended.scores_PW, width)[1])

    scores_PW, number_PW = jax.lax.top_k(jnp.where(over_PC, NONE, sums_PC), width)
    going = candidates.take(number_PW).ranked_by(scores_PW)
    going = going.ranked_by(jnp.where(is_open(going, ended, beams, search)[:, None], scores_PW, NONE))
    parents_PW = jnp.take_along_axis(parents_PC, number_PW, axis=1) + width * jnp.arange(prompts)[:, None]
    return dataclasses.replace(
        beams,
        going=going,
        ended=ended,
        finite_P=beams.finite_P & (finite_PW1 | ~there_PW1).all((1, 2)),
        cache=reorder(beams.cache, parents_PW.reshape(-1)),
    )


def is_open(going: Texts, ended: Texts, beams: Beams, search: Search) -> jax.Array:
    """Whether a text of each prompt that goes on may still be among the best: bool [P]."""
    tokens_P = going.lengths_PW[:, 0] - beams.starts_P
    if search.early_stopping == "never":
        tokens_P = jnp.where(search.length_penalty > 0, beams.limits_P - beams.starts_P, tokens_P)
    hope_P = going.scores_PW[:, 0] / jnp.float32(tokens_P) ** search.length_penalty
    open_P = hope_P > ended.scores_PW[:, -1]
    return open_P & ~ended.there_PW.all(-1) if search.early_stopping is True else open_P


def reorder(cache: Cache, parents_B: jax.Array) -> Cache:
    """Each row as that of its parent; what was read by an encoder is the same for all beams of a prompt."""
    return cache.replace(encoder=None).rows(parents_B).replace(encoder=cache.encoder)


@functools.partial(jax.jit, static_argnames=("config", "slots", "cache_dtype"))
def begin(
    params: Params,
    prompts: Tokens,
    source: Tokens | None,
    wanted: jax.Array,
    new_tokens: jax.Array,
    method: Method,
    search: Search,
    *,
    config: TransformerConfig,
    slots: int,
    cache_dtype: str | None = None,
) -> Beams:
    """Reads prompts, of which the first `wanted` are meant, and adds the first tokens; see `decoder.read_prompts`."""
    count, width = len(prompts.ids), search.width
    prompt_of_B = jnp.repeat(jnp.arange(count), width)
    rows, logits_BV = read_prompts(
        params, prompts, source, prompt_of_B, new_tokens, 0, config=config, slots=slots, cache_dtype=cache_dtype
    )
    # All beams of a prompt are the same yet: only the first one counts.
    first_PW = (jnp.arange(width) == 0) & (jnp.arange(count) < wanted)[:, None]
    going = Texts(
        rows.ids_BS.reshape(count, width, slots),
        rows.logprobs_BS.reshape(count, width, slots),
        rows.lengths_B.reshape(count, width),
        jnp.where(first_PW, 0.0, NONE),
    )
    ended = going.ranked_by(jnp.full_like(going.scores_PW, NONE))
    starts_P, limits_P = rows.starts_B[::width], rows.limits_B[::width]
    beams = Beams(going, ended, starts_P, limits_P, jnp.ones(count, bool), rows.cache)
    return add_tokens(beams, logits_BV, method, search)


@functools.partial(jax.jit, static_argnames="config", donate_argnames="beams")
def decode(params: Params, beams: Beams, method: Method, search: Search, *, config: TransformerConfig) -> Beams:
    """Adds tokens until the search of every prompt is over, or the cache is full."""

    def unfinished(beams):
        return beams.going.there_PW.any() & (beams.cache.length + 1 < beams.going.ids_PWS.shape[2])

    def add(beams):
        ids_BS = beams.going.ids_PWS.reshape(-1, beams.going.ids_PWS.shape[2])
        last_B = beams.going.lengths_PW.reshape(-1) - 1
        tokens_B = jnp.take_along_axis(ids_BS, last_B[:, None], axis=1)[:, 0]
        logits_BV, cache = next_logits(params, beams.cache, tokens_B, last_B, config)
        return add_tokens(dataclasses.replace(beams, cache=cache), logits_BV, method, search)

    return jax.lax.while_loop(unfinished, add, beams)


@functools.partial(jax.jit, static_argnames="slots")
def grow(beams: Beams, slots: int) -> Beams:
    """The same with room for `slots` tokens a text."""

    def widen(texts: Texts) -> Texts:
        more = ((0, 0), (0, 0), (0, slots - texts.ids_PWS.shape[2]))
        ids_PWS, logprobs_PWS = jnp.pad(texts.ids_PWS, more), jnp.pad(texts.logprobs_PWS, more)
        return dataclasses.replace(texts, ids_PWS=ids_PWS, logprobs_PWS=logprobs_PWS)

    going, ended = widen(beams.going), widen(beams.ended)
    return dataclasses.replace(beams, going=going, ended=ended, cache=beams.cache.grow(slots))


def beam_search(
    params: Params,
    config: TransformerConfig,
    prompts: Sequence[Sequence[int]],
    method: Method,
    search: Search,
    *,
    max_new_tokens: int,
    best: int = 1,
    sources: Sequence[Sequence[int]] | None = None,
    cache_dtype: str | None = None,
) -> tuple[Decoded, np.ndarray]:
    """The `best` texts of each prompt, at most `search.width`; each ends, or has as many tokens as it may have.

    Prompts, sources and the method's chain are as for `decoder.generate`; the chain is given log-probabilities, and what it
    makes of them is summed up. Each prompt gets what it would get alone.

    Returns:
        rows prompt after prompt, best first, and their scores, float32 [B]. Where the processors leave fewer texts than
        are wanted, the last rows have the status NOTHING_ALLOWED and the score -inf.
    """
    tokens, source, slots = arrange(prompts, sources, config.max_length)
    wanted, limit = np.int32(len(prompts)), np.int32(max_new_tokens)
    beams = begin(
        params, tokens, source, wanted, limit, method, search, config=config, slots=slots, cache_dtype=cache_dtype
    )
    while beams.going.there_PW.any():
        if int(beams.cache.length) + 1 >= slots:
            slots *= 2
            beams = grow(beams, slots)
        beams = decode(params, beams, method, search, config=config)

    ended = jax.tree.map(lambda leaf: np.asarray(leaf)[: len(prompts), :best], beams.ended)
    ids, logprobs, lengths, scores = (leaf.reshape(-1, *leaf.shape[2:]) for leaf in jax.tree.leaves(ended))
    starts, finite = (np.repeat(np.asarray(leaf)[: len(prompts)], best) for leaf in (beams.starts_P, beams.finite_P))
    last = np.take_along_axis(ids, lengths[:, None] - 1, axis=1)
    status = np.select(
        [~finite, scores == NONE, (last == np.asarray(method.ends)).any(-1)],
        [Status.NOT_FINITE, Status.NOTHING_ALLOWED, Status.ENDED],
        Status.FULL,
    )
    return Decoded(ids, logprobs, lengths, starts, status.astype(np.int32)), scores
