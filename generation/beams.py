"""What a beam search keeps, and how it goes on by one token: pure functions that know of no network.

Sutskever et al. 2014 (arXiv:1409.3215, section 3.2), with what transformers' `generate` adds to it, choice by choice.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from generation.processors import STATIC, Seen, apply_chain
from generation.rows import Method
from model import Cache

NONE = -jnp.inf  # the score of a text that is not there


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Search:
    """How texts are ranked, and when the search of a prompt is over.

    Attributes:
        width: W, how many texts of a prompt go on, and how many that finished are kept.
        length_penalty: a text that finished is ranked by its score over (generated tokens ** this): 0 is none, above 0 favours
            long texts. Wu et al. 2016 (arXiv:1609.08144, section 7), whose (5 + tokens) / 6 is plainly tokens here.
        early_stopping: True: it is over once W texts have finished. "never": once no text that goes on can still become one
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
    def exists_PW(self) -> jax.Array:
        return self.scores_PW > NONE

    def ranked_by(self, scores_PW: jax.Array) -> Texts:
        return dataclasses.replace(self, scores_PW=scores_PW)

    def take(self, number_PX: jax.Array) -> Texts:
        """Of each prompt the texts of these numbers."""
        return jax.vmap(lambda texts, number_X: jax.tree.map(lambda leaf: leaf[number_X], texts))(self, number_PX)

    def add(self, tokens_PW: jax.Array, logprobs_PW: jax.Array, scores_PW: jax.Array) -> Texts:
        """Each with one more token and a new score; those that are not there stay as they are."""
        exists_PW = scores_PW > NONE
        place_PW = jnp.where(exists_PW, self.lengths_PW, self.ids_PWS.shape[2])  # beyond the end: nothing is written
        write = jax.vmap(jax.vmap(lambda row, place, value: row.at[place].set(value, mode="drop")))
        return Texts(
            write(self.ids_PWS, place_PW, tokens_PW),
            write(self.logprobs_PWS, place_PW, logprobs_PW),
            self.lengths_PW + exists_PW,
            scores_PW,
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Candidates:
    """C ways of each prompt to add a token to a running text, best first.

    Attributes:
        scores_PC: float32, of the text with its new token; -inf: there is no such way.
        parents_PC: int32, the number of the running text.
        tokens_PC, logprobs_PC: the new token, and its log-probability under the network's own distribution.
        over_PC: bool, that the text ends with it, or is full.
    """

    scores_PC: jax.Array
    parents_PC: jax.Array
    tokens_PC: jax.Array
    logprobs_PC: jax.Array
    over_PC: jax.Array

    def take(self, number_PX: jax.Array) -> Candidates:
        return jax.tree.map(lambda leaf: jnp.take_along_axis(leaf, number_PX, axis=1), self)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Beams:
    """The search so far.

    Attributes:
        running: texts that go on; a score is the sum of what the processors made of the log-probabilities.
        finished: the best texts that finished; a score is this sum over the length penalty.
        prompt_lengths_P, max_lengths_P: int32, tokens of each prompt, and of a text that is full.
        finite_P: bool, that the network gave numbers.
        cache: keys and values of all tokens of `running` but the last, W rows a prompt.
    """

    running: Texts
    finished: Texts
    prompt_lengths_P: jax.Array
    max_lengths_P: jax.Array
    finite_P: jax.Array
    cache: Cache


@jax.jit
def expand(beams: Beams, logits_BV: jax.Array, method: Method) -> tuple[Beams, Candidates]:
    """The best continuations of all running texts by one token; `logits_BV` of what follows them, B = P * W."""
    running = beams.running
    prompts, width, slots = running.ids_PWS.shape
    total_B1 = jax.nn.logsumexp(logits_BV, axis=-1, keepdims=True)
    finite_PW1 = jnp.isfinite(total_B1).reshape(prompts, width, 1)
    logprobs_BV = logits_BV - total_B1
    lengths_B = running.lengths_PW.reshape(-1)
    seen = Seen(running.ids_PWS.reshape(-1, slots), lengths_B, lengths_B - jnp.repeat(beams.prompt_lengths_P, width))
    changed_PWV = apply_chain(method.chain, logprobs_BV, seen).reshape(prompts, width, -1)
    exists_PW1 = running.exists_PW[..., None]
    scores_PWV = jnp.where(exists_PW1 & finite_PW1, running.scores_PW[..., None] + changed_PWV, NONE)

    # Enough of them that W texts go on even if each may end in every way there is.
    vocabulary = scores_PWV.shape[-1]
    count = min(max(2, 1 + len(method.ends)), vocabulary) * width
    scores_PC, index_PC = jax.lax.top_k(scores_PWV.reshape(prompts, -1), count)
    parents_PC, tokens_PC = index_PC // vocabulary, index_PC % vocabulary
    logprobs_PC = jnp.take_along_axis(logprobs_BV.reshape(prompts, -1), index_PC, axis=1)
    lengths_PC = jnp.take_along_axis(running.lengths_PW, parents_PC, axis=1) + 1
    over_PC = (tokens_PC[..., None] == method.ends).any(-1) | (lengths_PC >= beams.max_lengths_P[:, None])
    finite_P = beams.finite_P & (finite_PW1 | ~exists_PW1).all((1, 2))
    candidates = Candidates(scores_PC, parents_PC, tokens_PC, logprobs_PC, over_PC)
    return dataclasses.replace(beams, finite_P=finite_P), candidates


@jax.jit
def select(beams: Beams, candidates: Candidates, search: Search) -> Beams:
    """The best W candidates that are not over go on; those that are over are ranked with the texts that finished before."""
    # Only the best W candidates may end; the others are there to go on in their place.
    best = jax.tree.map(lambda leaf: leaf[:, : search.width], candidates)
    texts = beams.running.take(best.parents_PC)
    texts = texts.add(best.tokens_PC, best.logprobs_PC, jnp.where(best.over_PC, best.scores_PC, NONE))
    norm_PW = jnp.float32(texts.lengths_PW - beams.prompt_lengths_P[:, None]) ** search.length_penalty
    texts = texts.ranked_by(jnp.where(texts.exists_PW, texts.scores_PW / norm_PW, NONE))
    finished = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), beams.finished, texts)
    finished = finished.take(jax.lax.top_k(finished.scores_PW, search.width)[1])

    scores_PW, number_PW = jax.lax.top_k(jnp.where(candidates.over_PC, NONE, candidates.scores_PC), search.width)
    chosen = candidates.take(number_PW)
    running = beams.running.take(chosen.parents_PC).add(chosen.tokens_PC, chosen.logprobs_PC, scores_PW)
    running = running.ranked_by(jnp.where(is_open(running, finished, beams, search)[:, None], scores_PW, NONE))
    rows_PW = chosen.parents_PC + search.width * jnp.arange(len(scores_PW))[:, None]
    return dataclasses.replace(
        beams, running=running, finished=finished, cache=reorder(beams.cache, rows_PW.reshape(-1))
    )


def is_open(running: Texts, finished: Texts, beams: Beams, search: Search) -> jax.Array:
    """Whether a text of each prompt that goes on may still be among the best: bool [P]."""
    tokens_P = running.lengths_PW[:, 0] - beams.prompt_lengths_P
    if search.early_stopping == "never":
        tokens_P = jnp.where(search.length_penalty > 0, beams.max_lengths_P - beams.prompt_lengths_P, tokens_P)
    hope_P = running.scores_PW[:, 0] / jnp.float32(tokens_P) ** search.length_penalty
    open_P = hope_P > finished.scores_PW[:, -1]
    return open_P & ~finished.exists_PW.all(-1) if search.early_stopping is True else open_P


def reorder(cache: Cache, parents_B: jax.Array) -> Cache:
    """Each row as that of its parent; what was read by an encoder is the same for all beams of a prompt."""
    return cache.replace(encoder=None).take_rows(parents_B).replace(encoder=cache.encoder)
