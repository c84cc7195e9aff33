"""What an encoder takes each token of a text to be."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from generation.decoder import network
from generation.processors import Seen, apply_chain
from generation.rows import Method, choose_tokens, row_keys
from generation.sizes import pad, round_up
from model import Tokens, TransformerConfig
from model.parameters import Params, join_layers


@functools.partial(jax.jit, static_argnames=("config", "candidates"))
def _predict(
    params: Params, tokens: Tokens, seed: jax.Array, first_row: jax.Array, method: Method, *, config, candidates: int
):
    logits_BTV = network(config).apply({"params": join_layers(params)}, tokens).logits_BTV

    def predict_text(logits_TV, ids_T, length, key):
        seen = Seen(*(jnp.broadcast_to(each, (len(ids_T), *each.shape)) for each in (ids_T, length, length)))
        keys_T = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(ids_T)))
        scores_TV = apply_chain(method.chain, logits_TV, seen)
        probabilities, likeliest = jax.lax.top_k(jax.nn.softmax(scores_TV), candidates)
        return *choose_tokens(logits_TV, seen, keys_T, method), likeliest, probabilities

    lengths_B = tokens.segments.sum(-1)
    return jax.vmap(predict_text)(logits_BTV, tokens.ids, lengths_B, row_keys(seed, len(lengths_B), first_row))


def predict(
    params: Params,
    config: TransformerConfig,
    texts: Sequence[Sequence[int]],
    method: Method,
    seed: int = 0,
    first_row: int = 0,
    candidates: int = 5,
) -> tuple[np.ndarray, ...]:
    """What an encoder takes each token of each text to be, all places at once.

    Returns:
        of each place, padded on the right: the token int32 [B, T], its log-probability float32, whether something is wrong
        (a `Status`); the likeliest tokens int32 and their probabilities float32, [B, T, candidates].
    """
    blank = [[0]] * (round_up(len(texts), 1) - len(texts))
    tokens = pad([*texts, *blank], config.max_length)
    results = _predict(
        params,
        tokens,
        np.uint32(seed),
        np.int32(first_row),
        method,
        config=config,
        candidates=min(candidates, config.vocab_size),
    )
    return tuple(np.asarray(result)[: len(texts)] for result in results)
