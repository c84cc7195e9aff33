"""Decoding with a cache: prefill a batch of prompts, then a loop on the device that adds a token to each row."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from generation.network import apply
from generation.rows import Decoded, Method, Rows, Status, add_next_token, row_keys
from generation.sizes import most_slots, pad_batch, prompt_of_rows, round_up
from model import Cache, Tokens, TransformerConfig
from model.parameters import Params


def read_texts(
    params: Params,
    ids_BS: jax.Array,
    window_starts_B: jax.Array,
    lengths_B: jax.Array,
    prompt_lengths_B: jax.Array,
    source: Tokens | None,
    cache: Cache,
    *,
    config: TransformerConfig,
    width: int,
) -> tuple[jax.Array, Cache]:
    """Reads `width` tokens of each text from `window_starts_B` on, at positions from 0; the logits [B, V] of what follows."""
    positions_BT = jnp.broadcast_to(jnp.arange(width), (len(window_starts_B), width))
    places_BT = window_starts_B[:, None] + positions_BT
    ids_BT = jnp.take_along_axis(ids_BS, places_BT, axis=1, mode="clip")
    prefix_BT = places_BT < prompt_lengths_B[:, None] if config.bidirectional_prefix else None
    tokens = Tokens(ids_BT, positions_BT, (places_BT < lengths_B[:, None]).astype(jnp.int32), prefix=prefix_BT)
    last_B = lengths_B - window_starts_B - 1
    output = apply(params, config, tokens, source, cache, last_B)
    return output.logits_BTV[:, 0], output.cache


def read_prompts(
    params: Params,
    prompts: Tokens,
    source: Tokens | None,
    prompt_of_B: jax.Array,
    new_tokens: jax.Array,
    seed: jax.Array | int,
    first_row: jax.Array | int = 0,
    *,
    config: TransformerConfig,
    slots: int,
    cache_dtype: str | None = None,
) -> tuple[Rows, jax.Array]:
    """Reads prompts, and what an encoder is given, into a new cache of `slots`; the rows, and the logits of what follows.

    Args:
        prompts, source: [P, T], padded on the right; of a prompt longer than the context only the last part is read.
        prompt_of_B: int32, the prompt that each row continues; -1: none, the row is there to fill the batch.
        new_tokens: int32 scalar, tokens that each row may get; it gets no more than the context has room for.
    """
    count, width = prompts.ids.shape
    source_slots = 0 if source is None else source.ids.shape[1]
    cache = Cache.empty(config, count, min(slots, most_slots(config)), source_slots, cache_dtype)
    lengths = prompts.segments.sum(-1)
    begins = jnp.maximum(lengths - config.max_length, 0)
    read = min(width, config.max_length)
    logits, cache = read_texts(params, prompts.ids, begins, lengths, lengths, source, cache, config=config, width=read)
    of_B = jnp.maximum(prompt_of_B, 0)
    prompt_lengths_B, window_starts_B = lengths[of_B], begins[of_B]
    shape = (len(of_B), slots)
    rows = Rows(
        ids_BS=jnp.zeros(shape, jnp.int32).at[:, :width].set(prompts.ids[of_B]),
        logprobs_BS=jnp.zeros(shape, jnp.float32),
        lengths_B=prompt_lengths_B,
        prompt_lengths_B=prompt_lengths_B,
        window_starts_B=window_starts_B,
        max_lengths_B=jnp.minimum(prompt_lengths_B + new_tokens, window_starts_B + config.max_length + 1),
        status_B=jnp.where(prompt_of_B < 0, Status.ENDED, Status.RUNNING).astype(jnp.int32),
        keys_B=row_keys(seed, len(of_B), first_row),
        cache=cache.take_rows(of_B),
    )
    return rows, logits[of_B]


@functools.partial(jax.jit, static_argnames=("config", "slots", "cache_dtype"))
def prefill(
    params: Params,
    prompts: Tokens,
    source: Tokens | None,
    prompt_of_B: jax.Array,
    new_tokens: jax.Array,
    seed: jax.Array,
    method: Method,
    first_row: jax.Array | int = 0,
    *,
    config: TransformerConfig,
    slots: int,
    cache_dtype: str | None = None,
) -> Rows:
    """`read_prompts`, and the first token of each row."""
    rows, logits_BV = read_prompts(
        params,
        prompts,
        source,
        prompt_of_B,
        new_tokens,
        seed,
        first_row,
        config=config,
        slots=slots,
        cache_dtype=cache_dtype,
    )
    return add_next_token(rows, logits_BV, method)


def next_logits(
    params: Params, cache: Cache, tokens_B: jax.Array, positions_B: jax.Array, config: TransformerConfig
) -> tuple[jax.Array, Cache]:
    """Reads one token a row, at `positions_B`, into the cache; the logits [B, V] of what follows it."""
    tokens = Tokens(tokens_B[:, None], positions_B[:, None], jnp.ones_like(tokens_B)[:, None])
    output = apply(params, config, tokens, cache=cache)
    return output.logits_BTV[:, 0], output.cache


@functools.partial(jax.jit, static_argnames="config", donate_argnames="rows")
def decode(params: Params, rows: Rows, method: Method, steps: jax.Array, *, config: TransformerConfig) -> Rows:
    """Adds up to `steps` tokens to each row; ends when no row runs, or when the cache is full."""

    def unfinished(carry):
        rows, step = carry
        return (step < steps) & rows.has_room() & (rows.status_B == Status.RUNNING).any()

    def add(carry):
        rows, step = carry
        positions_B = rows.lengths_B - 1 - rows.window_starts_B
        logits_BV, cache = next_logits(params, rows.cache, rows.last_B, positions_B, config)
        return add_next_token(dataclasses.replace(rows, cache=cache), logits_BV, method), step + 1

    rows, _ = jax.lax.while_loop(unfinished, add, (rows, jnp.zeros((), jnp.int32)))
    return rows


@functools.partial(jax.jit, static_argnames="config", donate_argnames="rows")
def slide(params: Params, rows: Rows, method: Method, new_tokens: jax.Array, *, config: TransformerConfig) -> Rows:
    """Rows whose context is full before they have `new_tokens` get the next token, with half of the context free again.

    The network reads the last `config.max_length // 2` tokens anew, at positions from 0: so it sees what it was trained on,
    whatever its positions are, and no trace of what came before is left in keys and values. No other row may be running.
    """
    waiting_B = (rows.status_B == Status.FULL) & (rows.lengths_B - rows.prompt_lengths_B < new_tokens)
    width = max(1, config.max_length // 2)
    window_starts_B = jnp.where(waiting_B, rows.lengths_B - width, rows.window_starts_B)
    kept = rows.cache.layers[0].k_BSKH
    cache = Cache.empty(config, *kept.shape[:2], dtype=kept.dtype.name).replace(encoder=rows.cache.encoder)
    logits_BV, cache = read_texts(
        params,
        rows.ids_BS,
        window_starts_B,
        rows.lengths_B,
        rows.prompt_lengths_B,
        None,
        cache,
        config=config,
        width=width,
    )
    rows = dataclasses.replace(
        rows,
        window_starts_B=window_starts_B,
        max_lengths_B=jnp.minimum(rows.prompt_lengths_B + new_tokens, window_starts_B + config.max_length + 1),
        status_B=jnp.where(waiting_B, Status.RUNNING, rows.status_B).astype(jnp.int32),
        cache=cache,
    )
    return add_next_token(rows, logits_BV, method)


@functools.partial(jax.jit, static_argnames=("slots", "cache_slots"))
def grow(rows: Rows, slots: int, cache_slots: int) -> Rows:
    """The same rows with room for `slots` tokens a text, and for `cache_slots` in the cache."""
    more = ((0, 0), (0, slots - rows.ids_BS.shape[1]))
    return dataclasses.replace(
        rows,
        ids_BS=jnp.pad(rows.ids_BS, more),
        logprobs_BS=jnp.pad(rows.logprobs_BS, more),
        cache=rows.cache.grow(cache_slots),
    )


def generate(
    params: Params,
    config: TransformerConfig,
    prompts: Sequence[Sequence[int]],
    method: Method,
    *,
    max_new_tokens: int,
    seed: int = 0,
    first_row: int = 0,
    samples: int = 1,
    sources: Sequence[Sequence[int]] | None = None,
    steps: int | None = None,
    sliding: bool = False,
    cache_dtype: str | None = None,
) -> Iterator[Decoded]:
    """Continues token ids, all rows at once, each until it ends or is full.

    Prompts may differ in length: each row gets the tokens that it would get alone. Batch, lengths and cache are rounded up to
    few sizes. What a row draws depends on the seed, its number and the place.

    Args:
        params: as trained, or as `split_layers` gives them, which is faster.
        prompts: at least one, each of at least one token and, unless it slides, at most `config.max_length`.
        first_row: the first row's number, where these rows are part of a longer list.
        samples: rows for each prompt, which is read once.
        sources: token ids for the encoder, one text for each prompt, where there is an encoder.
        steps: tokens between one result and the next; None: one result, of all.
        sliding: a row whose context is full goes on, see `slide`; of a prompt that is too long the last part is read.

    Yields:
        the rows so far, prompt after prompt; the first time with one token more than the prompts.
    """
    wanted = len(prompts) * samples
    longest = round_up(max(map(len, prompts))) if sliding and sources is None else config.max_length
    tokens, source, slots = pad_batch(prompts, sources, longest)
    prompt_of = prompt_of_rows(len(prompts), samples)
    rows = prefill(
        params,
        tokens,
        source,
        prompt_of,
        np.int32(max_new_tokens),
        np.uint32(seed),
        method,
        np.int32(first_row),
        config=config,
        slots=slots,
        cache_dtype=cache_dtype,
    )
    while True:
        decoded = rows.decoded(wanted)
        stands = (decoded.status_B != Status.RUNNING).all()
        if sliding:
            waiting = (decoded.status_B == Status.FULL) & (
                decoded.lengths_B - decoded.prompt_lengths_B < max_new_tokens
            )
            decoded = decoded._replace(status_B=np.where(waiting, Status.RUNNING, decoded.status_B))
        running = (decoded.status_B == Status.RUNNING).any()
        if steps is not None or not running:
            yield decoded
        if not running:
            return
        if not rows.has_room():
            slots *= 2
            rows = grow(rows, slots, min(slots, most_slots(config)))
        if stands:
            rows = slide(params, rows, method, np.int32(max_new_tokens), config=config)
        else:
            rows = decode(params, rows, method, np.int32(steps or max_new_tokens), config=config)
