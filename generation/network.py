"""The one way in which generation calls the network."""

import dataclasses

import jax

from model import Cache, Output, Tokens, Transformer, TransformerConfig
from model.parameters import Params, join_layers


def apply(
    params: Params,
    config: TransformerConfig,
    tokens: Tokens,
    source: Tokens | None = None,
    cache: Cache | None = None,
    places_B: jax.Array | None = None,
) -> Output:
    """See `Transformer.__call__`. Unrolled, so that XLA sees each layer's parameters where they lie; to be called within `jit`.

    `params`: as trained, or as `split_layers` gives them.
    """
    network = Transformer(dataclasses.replace(config, scan_layers=False, remat="none"))
    return network.apply({"params": join_layers(params)}, tokens, source, cache, places_B)
