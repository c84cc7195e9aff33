"""Decoding with a cache: prefill a batch of prompts, then one token after the other."""

import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from generation.sampling import SamplingConfig, choose_tokens
from model import Cache, Tokens, Transformer, TransformerConfig


def round_up(size: int) -> int:
    """The next power of two, at least 16: lengths fall into few classes, and each class is compiled once."""
    return max(16, 1 << (size - 1).bit_length())


def pad(texts: Sequence[Sequence[int]], longest: int) -> Tokens:
    """Token ids as one array, padded on the right to a common length that is one of few, at most `longest`."""
    lengths = np.array([len(text) for text in texts])
    width = min(round_up(int(lengths.max())), longest)
    ids = np.zeros((len(texts), width), np.int32)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
    positions = np.broadcast_to(np.arange(width, dtype=np.int32), ids.shape)
    return Tokens(ids, positions, (positions < lengths[:, None]).astype(np.int32))


@functools.partial(jax.jit, static_argnames=("config", "sampling", "slots"))
def prefill(params, prompts: Tokens, source: Tokens | None, keys_B, allowed_V, *, config, sampling, slots):
    """Reads prompts, and what an encoder is given, into a new cache of `slots`; the first token after each prompt.

    Returns tokens [B], their log-probabilities [B], and the cache.
    """
    source_slots = 0 if source is None else source.ids.shape[1]
    cache = Cache.empty(config, len(prompts.ids), slots, source_slots)
    if config.bidirectional_prefix:
        prompts = prompts.replace(prefix=prompts.segments > 0)
    lengths_B = prompts.segments.sum(-1)
    output = Transformer(config).apply({"params": params}, prompts, source, cache, lengths_B - 1)
    return *_choose(output.logits_BTV[:, 0], keys_B, lengths_B, allowed_V, sampling), output.cache


@functools.partial(jax.jit, static_argnames=("config", "sampling"), donate_argnames="cache")
def decode_step(params, cache, tokens_B, positions_B, keys_B, allowed_V, *, config, sampling):
    """Adds a token to each row, which stands at `positions_B`; the token after it, its log-probability, and the cache."""
    segments = jnp.ones((tokens_B.shape[0], 1), jnp.int32)
    tokens = Tokens(tokens_B[:, None], positions_B[:, None], segments)
    output = Transformer(config).apply({"params": params}, tokens, cache=cache)
    return *_choose(output.logits_BTV[:, 0], keys_B, positions_B + 1, allowed_V, sampling), output.cache


def _choose(logits_BV, keys_B, positions_B, allowed_V, sampling):
    """The token that comes to stand at `positions_B`."""
    keys_B = jax.vmap(jax.random.fold_in)(keys_B, positions_B)
    return choose_tokens(logits_BV, allowed_V, keys_B, sampling)


def generate(
    params,
    config: TransformerConfig,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    sampling: SamplingConfig,
    seed: int,
    allowed_V: np.ndarray,
    sources: Sequence[Sequence[int]] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Continues token ids, all rows at once, without an end of its own before `max_new_tokens`.

    Prompts may differ in length: each row gets the tokens that it would get alone. The draw of a row depends on the seed,
    its number and the position.

    Args:
        prompts: at least one, each of at least one token and at most `config.max_length`.
        allowed_V: bool, the tokens that may be chosen.
        sources: token ids for the encoder, one text for each prompt, where there is an encoder.

    Yields:
        for each new place, tokens int32 [B] and their log-probabilities float32 [B].
    """
    lengths = np.array([len(prompt) for prompt in prompts], np.int32)
    tokens = pad(prompts, config.max_length)
    source = None if sources is None else pad(sources, config.max_length)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(len(prompts)))
    slots = tokens.ids.shape[1] + round_up(max_new_tokens)
    chosen, logprobs, cache = prefill(
        params, tokens, source, keys, allowed_V, config=config, sampling=sampling, slots=slots
    )
    yield np.asarray(chosen), np.asarray(logprobs)
    for place in range(max_new_tokens - 1):
        chosen, logprobs, cache = decode_step(
            params, cache, chosen, lengths + place, keys, allowed_V, config=config, sampling=sampling
        )
        yield np.asarray(chosen), np.asarray(logprobs)


@functools.partial(jax.jit, static_argnames=("config", "sampling", "candidates"))
def _predict(params, tokens: Tokens, keys_B, allowed_V, *, config, sampling, candidates):
    logits_BTV = Transformer(config).apply({"params": params}, tokens).logits_BTV
    keys_BT = jax.vmap(lambda key: jax.vmap(lambda place: jax.random.fold_in(key, place))(tokens.positions[0]))(keys_B)
    flat = logits_BTV.reshape(-1, logits_BTV.shape[-1])
    chosen, logprobs = choose_tokens(flat, allowed_V, keys_BT.reshape(-1), sampling)
    probabilities, likeliest = jax.lax.top_k(jax.nn.softmax(jnp.where(allowed_V, logits_BTV, -jnp.inf)), candidates)
    shape = tokens.ids.shape
    return chosen.reshape(shape), logprobs.reshape(shape), likeliest, probabilities


def predict(
    params,
    config: TransformerConfig,
    texts: Sequence[Sequence[int]],
    sampling: SamplingConfig,
    seed: int,
    allowed_V: np.ndarray,
    candidates: int = 5,
) -> tuple[np.ndarray, ...]:
    """What an encoder takes each token of each text to be, all places at once.

    Returns:
        tokens int32 [B, T] and their log-probabilities float32 [B, T], padded on the right; the likeliest tokens int32 and
        their probabilities float32, [B, T, candidates].
    """
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(len(texts)))
    results = _predict(
        params,
        pad(texts, config.max_length),
        keys,
        allowed_V,
        config=config,
        sampling=sampling,
        candidates=min(candidates, config.vocab_size),
    )
    return tuple(map(np.asarray, results))
