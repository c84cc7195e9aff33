"""Beam search: of each prompt several texts are pursued at a time, and the best of those that finished are kept."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from generation.beams import NONE, Beams, Candidates, Search, Texts, expand, select
from generation.decoder import next_logits, read_prompts
from generation.rows import Decoded, Method, Status
from generation.sizes import pad_batch
from model import Tokens, TransformerConfig
from model.parameters import Params

POLL_STEPS = 16  # tokens between two calls of `poll`
Stops = Callable[[int, Sequence[int]], bool]  # (number of the prompt, new tokens) -> whether the text is over


@functools.partial(jax.jit, static_argnames=("config", "slots", "cache_dtype"))
def begin(
    params: Params,
    prompts: Tokens,
    source: Tokens | None,
    wanted: jax.Array,
    new_tokens: jax.Array,
    search: Search,
    *,
    config: TransformerConfig,
    slots: int,
    cache_dtype: str | None = None,
) -> tuple[Beams, jax.Array]:
    """Reads prompts, of which the first `wanted` are meant; and the logits of what follows. See `decoder.read_prompts`."""
    count, width = len(prompts.ids), search.width
    prompt_of_B = jnp.repeat(jnp.arange(count), width)
    rows, logits_BV = read_prompts(
        params, prompts, source, prompt_of_B, new_tokens, 0, config=config, slots=slots, cache_dtype=cache_dtype
    )
    # All beams of a prompt are the same yet: only the first one counts.
    first_PW = (jnp.arange(width) == 0) & (jnp.arange(count) < wanted)[:, None]
    running = Texts(
        rows.ids_BS.reshape(count, width, slots),
        rows.logprobs_BS.reshape(count, width, slots),
        rows.lengths_B.reshape(count, width),
        jnp.where(first_PW, 0.0, NONE),
    )
    finished = running.ranked_by(jnp.full_like(running.scores_PW, NONE))
    prompt_lengths_P, max_lengths_P = rows.prompt_lengths_B[::width], rows.max_lengths_B[::width]
    beams = Beams(running, finished, prompt_lengths_P, max_lengths_P, jnp.ones(count, bool), rows.cache)
    return beams, logits_BV


@functools.partial(jax.jit, static_argnames="config", donate_argnames="beams")
def read(params: Params, beams: Beams, *, config: TransformerConfig) -> tuple[Beams, jax.Array]:
    """Reads the last token of each running text; the logits of what follows."""
    ids_BS = beams.running.ids_PWS.reshape(-1, beams.running.ids_PWS.shape[2])
    last_B = beams.running.lengths_PW.reshape(-1) - 1
    tokens_B = jnp.take_along_axis(ids_BS, last_B[:, None], axis=1)[:, 0]
    logits_BV, cache = next_logits(params, beams.cache, tokens_B, last_B, config)
    return dataclasses.replace(beams, cache=cache), logits_BV


@functools.partial(jax.jit, static_argnames="config", donate_argnames="beams")
def decode(
    params: Params, beams: Beams, method: Method, search: Search, steps: jax.Array, *, config: TransformerConfig
) -> Beams:
    """Adds up to `steps` tokens; ends when the search of every prompt is over, or when the cache is full."""

    def unfinished(carry):
        beams, step = carry
        has_room = beams.cache.length + 1 < beams.running.ids_PWS.shape[2]
        return (step < steps) & beams.running.exists_PW.any() & has_room

    def add(carry):
        beams, step = carry
        return select(*expand(*read(params, beams, config=config), method), search), step + 1

    beams, _ = jax.lax.while_loop(unfinished, add, (beams, jnp.zeros((), jnp.int32)))
    return beams


@functools.partial(jax.jit, static_argnames="slots")
def grow(beams: Beams, slots: int) -> Beams:
    """The same with room for `slots` tokens a text."""

    def widen(texts: Texts) -> Texts:
        more = ((0, 0), (0, 0), (0, slots - texts.ids_PWS.shape[2]))
        ids_PWS, logprobs_PWS = jnp.pad(texts.ids_PWS, more), jnp.pad(texts.logprobs_PWS, more)
        return dataclasses.replace(texts, ids_PWS=ids_PWS, logprobs_PWS=logprobs_PWS)

    running, finished = widen(beams.running), widen(beams.finished)
    return dataclasses.replace(beams, running=running, finished=finished, cache=beams.cache.grow(slots))


def end_where(candidates: Candidates, beams: Beams, wanted: int, stops: Stops) -> Candidates:
    """Candidates of the first `wanted` prompts, asked on the host whether they are over."""
    ids, lengths = np.asarray(beams.running.ids_PWS), np.asarray(beams.running.lengths_PW)
    starts, parents, tokens = (
        np.asarray(each) for each in (beams.prompt_lengths_P, candidates.parents_PC, candidates.tokens_PC)
    )
    over = np.array(candidates.over_PC)
    for prompt, number in np.argwhere(np.asarray(candidates.scores_PC) > NONE):
        if prompt < wanted and not over[prompt, number]:
            parent = parents[prompt, number]
            before = ids[prompt, parent, starts[prompt] : lengths[prompt, parent]]
            over[prompt, number] = stops(prompt, [*before.tolist(), int(tokens[prompt, number])])
    return dataclasses.replace(candidates, over_PC=over)


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
    stops: Stops | None = None,
    poll: Callable[[], None] | None = None,
) -> tuple[Decoded, np.ndarray]:
    """The `best` texts of each prompt, at most `search.width`; each ends, or has as many tokens as it may have.

    Prompts, sources and the method's chain are as for `decoder.generate`; the chain is given log-probabilities, and what it
    makes of them is summed up. Each prompt gets what it would get alone.

    Args:
        stops: whether a text, by its prompt's number and its new tokens, ends here, though its last token is no end. It is
            asked on the host for each candidate at each token, so the loop does not run on the device.
        poll: called every few tokens; what it raises ends the search.

    Returns:
        rows prompt after prompt, best first, and their scores, float32 [B]. Where the processors leave fewer texts than
        are wanted, the last rows have the status NOTHING_ALLOWED and the score -inf.
    """
    tokens, source, slots = pad_batch(prompts, sources, config.max_length)
    wanted, limit = np.int32(len(prompts)), np.int32(max_new_tokens)
    beams, logits = begin(
        params, tokens, source, wanted, limit, search, config=config, slots=slots, cache_dtype=cache_dtype
    )

    def add(beams: Beams, logits: jax.Array) -> Beams:
        beams, candidates = expand(beams, logits, method)
        if stops is not None:
            candidates = end_where(candidates, beams, len(prompts), stops)
        return select(beams, candidates, search)

    beams = add(beams, logits)
    while beams.running.exists_PW.any():
        if poll is not None:
            poll()
        if int(beams.cache.length) + 1 >= slots:
            slots *= 2
            beams = grow(beams, slots)
        if stops is None:
            steps = np.int32(max_new_tokens if poll is None else POLL_STEPS)
            beams = decode(params, beams, method, search, steps, config=config)
        else:
            beams = add(*read(params, beams, config=config))

    finished = jax.tree.map(lambda leaf: np.asarray(leaf)[: len(prompts), :best], beams.finished)
    finished = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), finished)
    ids, lengths, scores = finished.ids_PWS, finished.lengths_PW, finished.scores_PW
    starts, finite = (
        np.repeat(np.asarray(leaf)[: len(prompts)], best) for leaf in (beams.prompt_lengths_P, beams.finite_P)
    )
    last = np.take_along_axis(ids, lengths[:, None] - 1, axis=1)
    status = np.select(
        [~finite, scores == NONE, (last == np.asarray(method.ends)).any(-1)],
        [Status.NOT_FINITE, Status.NOTHING_ALLOWED, Status.ENDED],
        Status.FULL,
    )
    return Decoded(ids, finished.logprobs_PWS, lengths, starts, status.astype(np.int32)), scores
