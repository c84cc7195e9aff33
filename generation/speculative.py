"""Speculative decoding: a small model proposes tokens, the large one judges several of them in one pass.

Leviathan et al. 2023 (arXiv:2211.17192, algorithm 1) and Chen et al. 2023 (arXiv:2302.01318). What comes out has the
distribution of the large model alone, whatever the small one proposes; how often it is right decides about the speed only.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from common.errors import require
from data.tokenizer import Tokenizer
from generation.decoder import grow, next_logits, prefill
from generation.network import apply
from generation.processors import Seen
from generation.rows import Decoded, Method, Rows, Status, add_tokens, process, token_logprobs
from generation.sizes import pad_batch, prompt_of_rows
from model import Cache, Tokens, TransformerConfig
from model.parameters import Params, split_layers


class Draft(NamedTuple):
    """The model that proposes: smaller, of the same kind and with the same vocabulary."""

    params: Params
    config: TransformerConfig


def make_draft(name: str, params: Params, config: TransformerConfig, tokenizer: Tokenizer, large: Tokenizer) -> Draft:
    """The draft in the run's folder `name`, for a model whose tokenizer is `large`.

    Raises:
        ConfigError: their tokenizers differ.
    """
    one, other = (list(map(each.piece, range(each.vocab_size))) for each in (tokenizer, large))
    require(one == other, f"--draft {name} has another tokenizer; a draft is trained with that of the model")
    return Draft(split_layers(params), config)


class Proposal(NamedTuple):
    """K tokens that may come next, and one more that is never taken.

    Attributes:
        ids_BS: int32, the texts with these tokens behind their ends.
        probs_BTV: float32, T = K + 1, the distribution that each was drawn from; of the last one 0.
        cache: the draft's, with the last token of each text and these K.
    """

    ids_BS: jax.Array
    probs_BTV: jax.Array
    cache: Cache


def distribution(logits_BV: jax.Array, seen: Seen, method: Method) -> tuple[jax.Array, jax.Array]:
    """What a token is drawn from, float32 [B, V], all in one token where greedy; and whether something is wrong, int32 [B]."""
    scores_BV, wrong_B = process(logits_BV, seen, method)
    if method.greedy:
        return jax.nn.one_hot(jnp.argmax(scores_BV, axis=-1), scores_BV.shape[-1]), wrong_B
    return jax.nn.softmax(scores_BV), wrong_B


def draw(keys_B: jax.Array, probs_BV: jax.Array, method: Method) -> jax.Array:
    """A token of each distribution, which need not sum to 1: int32 [B]."""
    if method.greedy:
        return jnp.argmax(probs_BV, axis=-1).astype(jnp.int32)
    return jax.vmap(jax.random.categorical)(keys_B, jnp.log(probs_BV)).astype(jnp.int32)


def propose(
    params: Params, rows: Rows, cache: Cache, keys_BT: jax.Array, method: Method, config: TransformerConfig
) -> Proposal:
    """The draft goes on from each text, token by token; T = K + 1, so that it has read the K tokens as well."""
    last = keys_BT.shape[1] - 1

    def add(carry, place):
        ids_BS, cache = carry
        ahead = dataclasses.replace(rows, ids_BS=ids_BS, lengths_B=rows.lengths_B + place)
        positions_B = jnp.minimum(ahead.lengths_B, config.max_length) - 1  # beyond the context nothing will be taken
        logits_BV, cache = next_logits(params, cache, ahead.last_B, positions_B, config)
        probs_BV, _ = distribution(logits_BV, ahead.seen, method)
        tokens_B = draw(keys_BT[:, place], probs_BV, method)
        ids_BS = ids_BS.at[jnp.arange(len(tokens_B)), ahead.lengths_B].set(tokens_B, mode="drop")
        return (ids_BS, cache), jnp.where(place < last, probs_BV, 0)

    (ids_BS, cache), probs_TBV = jax.lax.scan(add, (rows.ids_BS, cache), jnp.arange(last + 1))
    return Proposal(ids_BS, probs_TBV.swapaxes(0, 1), cache)


def read_proposal(
    params: Params, rows: Rows, proposal: Proposal, config: TransformerConfig
) -> tuple[jax.Array, jax.Array, Cache]:
    """The large model's one pass: what was proposed, int32 [B, T], and its logits [B, T, V] in each of these places."""
    steps = jnp.arange(proposal.probs_BTV.shape[1])
    places_BT = rows.lengths_B[:, None] + steps
    proposed_BT = jnp.take_along_axis(proposal.ids_BS, places_BT, axis=1, mode="clip")
    read_BT = jnp.concatenate([rows.last_B[:, None], proposed_BT[:, :-1]], axis=1)
    within_BT = places_BT <= config.max_length  # what cannot be read is not seen, and its place is none
    tokens = Tokens(read_BT, jnp.minimum(places_BT, config.max_length) - 1, within_BT.astype(jnp.int32))
    output = apply(params, config, tokens, cache=rows.cache)
    return proposed_BT, output.logits_BTV, output.cache


def verify(
    rows: Rows,
    proposal: Proposal,
    proposed_BT: jax.Array,
    logits_BTV: jax.Array,
    keys_BT2: jax.Array,
    method: Method,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Takes what was proposed as far as it is good, and one token more.

    With p the model's and q the draft's distribution, a token x is taken with probability min(1, p(x) / q(x)); for the first
    that is not, one is drawn from max(0, p - q) instead. So each has the probability p.

    Returns:
        the tokens int32 [B, T]; how many of them count, int32 [B]; what is wrong with the one behind, int32 [B].
    """
    steps = jnp.arange(proposed_BT.shape[1])

    def verify_place(logits_BV, added):
        seen = Seen(proposal.ids_BS, rows.lengths_B + added, rows.seen.new_B + added)
        return distribution(logits_BV, seen, method)

    probs_BTV, wrong_BT = jax.vmap(verify_place, (1, 0), 1)(logits_BTV, steps)
    p_BT, q_BT = (
        jnp.take_along_axis(probs, proposed_BT[..., None], axis=-1)[..., 0] for probs in (probs_BTV, proposal.probs_BTV)
    )
    uniform_BT = jax.vmap(jax.vmap(jax.random.uniform))(keys_BT2[..., 0])
    accepted_BT = (uniform_BT * q_BT < p_BT) & (wrong_BT == 0) & (steps < steps[-1])
    taken_B = jnp.cumprod(accepted_BT, axis=1).sum(1)

    def at_end(values_BT):
        return jax.vmap(lambda values, place: values[place])(values_BT, taken_B)

    p_BV, q_BV = at_end(probs_BTV), jnp.nan_to_num(at_end(proposal.probs_BTV))  # NaN: the draft knows nothing
    rest_BV = jnp.maximum(p_BV - q_BV, 0)
    rest_BV = jnp.where(rest_BV.sum(-1, keepdims=True) > 0, rest_BV, p_BV)  # they differ by rounding only
    drawn_B = draw(at_end(keys_BT2[..., 1]), rest_BV, method)
    tokens_BT = jnp.where(steps == taken_B[:, None], drawn_B[:, None], proposed_BT)
    wrong_B = at_end(wrong_BT)
    return tokens_BT, taken_B + (wrong_B == 0), wrong_B


@functools.partial(
    jax.jit, static_argnames=("config", "draft_config", "draft_tokens"), donate_argnames=("rows", "draft_cache")
)
def speculate(
    params: Params,
    draft_params: Params,
    rows: Rows,
    draft_cache: Cache,
    method: Method,
    rounds: jax.Array,
    *,
    config: TransformerConfig,
    draft_config: TransformerConfig,
    draft_tokens: int,
) -> tuple[Rows, Cache]:
    """Up to `rounds` of these: the draft proposes, the model judges, and both forget what was refused.

    Each adds 1 to K + 1 tokens to each row, K = `draft_tokens`. Ends when no row runs, or when there is no room for a round.
    A row's random numbers belong to the places in its text, three to a place; no two tokens that were kept share any.
    """
    count = draft_tokens + 1

    def unfinished(carry):
        rows, _, number = carry
        return (number < rounds) & rows.has_room(count) & (rows.status_B == Status.RUNNING).any()

    def add(carry):
        rows, draft_cache, number = carry
        places_BT = rows.lengths_B[:, None] + jnp.arange(count)
        keys_BT = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)))(rows.keys_B, places_BT)
        keys_BT3 = jax.vmap(jax.vmap(lambda key: jax.random.split(key, 3)))(keys_BT)
        proposal = propose(draft_params, rows, draft_cache, keys_BT3[..., 0], method, draft_config)
        proposed_BT, logits_BTV, cache = read_proposal(params, rows, proposal, config)
        tokens_BT, count_B, wrong_B = verify(rows, proposal, proposed_BT, logits_BTV, keys_BT3[..., 1:], method)
        logprobs_BT = token_logprobs(logits_BTV, tokens_BT)
        rows, added_B = add_tokens(rows, tokens_BT, logprobs_BT, count_B, wrong_B, method)
        rows = dataclasses.replace(rows, cache=cache.truncate(added_B, count))
        return rows, proposal.cache.truncate(added_B, count), number + 1

    rows, draft_cache, _ = jax.lax.while_loop(unfinished, add, (rows, draft_cache, jnp.zeros((), jnp.int32)))
    return rows, draft_cache


def generate_speculatively(
    params: Params,
    config: TransformerConfig,
    draft: Draft,
    prompts: Sequence[Sequence[int]],
    method: Method,
    *,
    draft_tokens: int,
    max_new_tokens: int,
    seed: int = 0,
    first_row: int = 0,
    samples: int = 1,
    sources: Sequence[Sequence[int]] | None = None,
    steps: int | None = None,
    cache_dtype: str | None = None,
) -> Iterator[Decoded]:
    """As `decoder.generate`: the same tokens where greedy; where drawn, different tokens from the same distribution.

    The method's chain is applied to both models. A text ends at the shorter context of the two.

    Args:
        draft_tokens: tokens that the draft proposes at a time.
        steps: passes of the model between one result and the next; None: one result, of all.

    Raises:
        ConfigError: the draft is of another kind or has another vocabulary, or a prompt is too long for it.
    """
    require(
        draft.config.vocab_size == config.vocab_size,
        f"the draft's vocabulary of {draft.config.vocab_size} must be the model's, which has {config.vocab_size}",
    )
    require(
        draft.config.network == config.network,
        f"the draft is of kind {draft.config.network}, the model {config.network}",
    )
    longest = min(config.max_length, draft.config.max_length)
    most = max(map(len, [*prompts, *(sources or ())]))
    require(most <= longest, f"a prompt of {most} tokens is too long: the draft reads {longest}; shorten it")
    require(draft.config.gives_tokens, f"the draft has head={draft.config.head!r}: it gives no text")
    tokens, source, slots = pad_batch(prompts, sources, longest)
    wanted = len(prompts) * samples
    prompt_of = prompt_of_rows(len(prompts), samples)
    room = longest + 1 - tokens.segments.sum(-1)[np.maximum(prompt_of, 0)]
    new_tokens = np.minimum(max_new_tokens, room).astype(np.int32)
    batch = tokens, source, prompt_of, new_tokens, np.uint32(seed), method, np.int32(first_row)
    sizes = {"slots": slots, "cache_dtype": cache_dtype}
    rows = prefill(params, *batch, config=config, **sizes)
    draft_cache = prefill(draft.params, *batch, config=draft.config, **sizes).cache
    while True:
        decoded = rows.decoded(wanted)
        running = (decoded.status_B == Status.RUNNING).any()
        if steps is not None or not running:
            yield decoded
        if not running:
            return
        while not rows.has_room(draft_tokens + 1):
            slots *= 2
            rows, draft_cache = grow(rows, slots, slots), draft_cache.grow(slots)
        rows, draft_cache = speculate(
            params,
            draft.params,
            rows,
            draft_cache,
            method,
            np.int32(steps or max_new_tokens),
            config=config,
            draft_config=draft.config,
            draft_tokens=draft_tokens,
        )
