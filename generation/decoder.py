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


@functools.partial(jax.jit, static_argnames=("config", "sampling", "slots"))
def prefill(params, tokens_BT, lengths_B, keys_B, allowed_V, *, config, sampling, slots):
    """Reads prompts, padded on the right to one length, into a new cache of `slots`; the first token after each.

    Returns tokens [B], their log-probabilities [B], and the cache.
    """
    places = jnp.broadcast_to(jnp.arange(tokens_BT.shape[1]), tokens_BT.shape)
    segments = (places < lengths_B[:, None]).astype(jnp.int32)
    cache = Cache.empty(config, tokens_BT.shape[0], slots)
    output = Transformer(config).apply({"params": params}, Tokens(tokens_BT, places, segments), cache=cache)
    last = jnp.take_along_axis(output.logits_BTV, (lengths_B - 1)[:, None, None], axis=1)[:, 0]
    return *_choose(last, keys_B, lengths_B, allowed_V, sampling), output.cache


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
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Continues token ids, all rows at once, without an end of its own before `max_new_tokens`.

    Prompts may differ in length: each row gets the tokens that it would get alone. The draw of a row depends on the seed,
    its number and the position.

    Args:
        allowed_V: bool, the tokens that may be chosen.

    Yields:
        for each new place, tokens int32 [B] and their log-probabilities float32 [B].
    """
    lengths = np.array([len(prompt) for prompt in prompts], np.int32)
    width = round_up(int(lengths.max()))
    tokens = np.zeros((len(prompts), width), np.int32)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = prompt
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(len(prompts)))
    slots = width + round_up(max_new_tokens)
    chosen, logprobs, cache = prefill(
        params, tokens, lengths, keys, allowed_V, config=config, sampling=sampling, slots=slots
    )
    yield np.asarray(chosen), np.asarray(logprobs)
    for place in range(max_new_tokens - 1):
        chosen, logprobs, cache = decode_step(
            params, cache, chosen, lengths + place, keys, allowed_V, config=config, sampling=sampling
        )
        yield np.asarray(chosen), np.asarray(logprobs)
