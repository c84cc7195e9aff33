"""What an encoder takes each token of a text to be."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from generation.network import apply
from generation.processors import NEVER, Seen
from generation.rows import Method, choose_tokens, row_keys
from generation.sizes import pad, round_up
from model import Tokens, TransformerConfig
from model.parameters import Params


@functools.partial(jax.jit, static_argnames=("config", "candidates"))
def _predict(
    params: Params,
    tokens: Tokens,
    is_text_V: jax.Array,
    seed: jax.Array,
    first_row: jax.Array,
    method: Method,
    *,
    config: TransformerConfig,
    candidates: int,
):
    logits_BTV = apply(params, config, tokens).logits_BTV

    def predict_text(logits_TV, ids_T, length, key):
        seen = Seen(*(jnp.broadcast_to(each, (len(ids_T), *each.shape)) for each in (ids_T, length, jnp.int32(0))))
        keys_T = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(ids_T)))
        text_TV = jnp.where(is_text_V, logits_TV, NEVER)
        probabilities, likeliest = jax.lax.top_k(jax.nn.softmax(text_TV), candidates)
        return *choose_tokens(logits_TV, seen, keys_T, method), likeliest, probabilities

    lengths_B = tokens.segments.sum(-1)
    return jax.vmap(predict_text)(logits_BTV, tokens.ids, lengths_B, row_keys(seed, len(lengths_B), first_row))


def predict(
    params: Params,
    config: TransformerConfig,
    texts: Sequence[Sequence[int]],
    method: Method,
    is_text: np.ndarray,
    seed: int = 0,
    first_row: int = 0,
    candidates: int = 5,
) -> tuple[np.ndarray, ...]:
    """What an encoder takes each token of each text to be, all places at once.

    Returns:
        of each place, padded on the right: the token that `method` chooses, int32 [B, T], its log-probability float32, whether
        something is wrong (a `Status`); and, whatever the method, the likeliest of the tokens that `is_text` (bool [V]) and
        their probabilities among those, int32 and float32 [B, T, candidates].
    """
    blank = [[0]] * (round_up(len(texts), 1) - len(texts))
    tokens = pad([*texts, *blank], config.max_length)
    results = _predict(
        params,
        tokens,
        is_text,
        np.uint32(seed),
        np.int32(first_row),
        method,
        config=config,
        candidates=min(candidates, config.vocab_size),
    )
    return tuple(np.asarray(result)[: len(texts)] for result in results)
