"""How much of the learning rate each parameter gets: none where it is frozen, less in lower layers where that is asked for."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import optax

from common.errors import require
from model.parameters import STACKED, by_path, find, parameter_path


def layer_rates(params: Any, frozen: Sequence[str] = (), layer_decay: float = 1.0) -> Any:
    """Of each array, float32, what its updates are multiplied by: [1, ...], or [L, 1, ...] where it holds L layers.

    With `layer_decay` d, layer l of L gets d^(L - l), counted from 0; what comes before the layers d^(L + 1) of the deepest
    stack, what comes after them 1 (Clark et al. 2020, arXiv:2003.10555, appendix A).

    Args:
        frozen: regular expressions, searched for in paths such as `decoder/blocks/0/mlp/up/kernel`.

    Raises:
        ConfigError: an expression that is none, that matches nothing, or with which all is frozen.
    """
    leaves = by_path(params)
    is_frozen = find(leaves, frozen, "optimizer.frozen")
    depth = max((leaf.shape[0] for path, leaf in leaves.items() if STACKED in path), default=0)

    def rates(path, leaf) -> np.ndarray:
        path = parameter_path(path)
        if STACKED in path:
            exponents = range(leaf.shape[0], 0, -1)
        else:
            exponents = [depth + 1 if "embedding" in path else 0]
        values = np.where(is_frozen[path], 0, layer_decay ** np.array(exponents, float))
        return values.astype(np.float32).reshape(-1, *[1] * (leaf.ndim - 1))

    tree = jax.tree_util.tree_map_with_path(rates, params)
    require(any(rates.any() for rates in jax.tree.leaves(tree)), "optimizer.frozen: nothing is left to train")
    return tree


def with_layer_rates(
    optimizer: optax.GradientTransformation, frozen: Sequence[str], layer_decay: float
) -> optax.GradientTransformation:
    """The optimizer, with its updates multiplied by `layer_rates`. It never sees the gradients of what is frozen, and keeps
    no state for arrays that are wholly so."""

    def rates_of(tree):
        return layer_rates(tree, frozen, layer_decay)

    def multiply(updates, _):
        return jax.tree.map(lambda update, rate: update * rate, updates, rates_of(updates))

    def drop_frozen(updates, _):
        return jax.tree.map(lambda update, rate: update * (rate > 0), updates, rates_of(updates))

    learns = optax.masked(optimizer, lambda tree: jax.tree.map(lambda rate: bool(rate.any()), rates_of(tree)))
    return optax.chain(optax.stateless(drop_frozen), learns, optax.stateless(multiply))
