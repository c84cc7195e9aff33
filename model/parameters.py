"""The parameters of a network: fresh ones, their shapes, and their names."""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import unflatten_dict

from common.errors import require
from model.attention import Tokens
from model.config import TransformerConfig
from model.transformer import Transformer

Params = dict[str, Any]
STACKED = "/blocks/"  # in the path of arrays [L, ...] that hold all layers of a stack


@functools.partial(jax.jit, static_argnames="config")
def init_params(config: TransformerConfig, key: jax.Array) -> Params:
    """Fresh parameters, float32, as nested dicts."""
    one = jnp.ones((1, 1), jnp.int32)
    tokens = Tokens(one, one - 1, one)
    return Transformer(config).init(key, tokens, tokens)["params"]


def abstract_params(config: TransformerConfig) -> Params:
    """Their shapes and dtypes; no array is made."""
    return jax.eval_shape(lambda: init_params(config, jax.random.key(0)))


def parameter_path(path) -> str:
    """A tree path as `decoder/blocks/mlp/up/kernel`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def by_path(params) -> dict[str, Any]:
    """The leaves of a tree, real or abstract, by their paths."""
    return {parameter_path(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def nested(leaves: Mapping[str, Any]) -> Params:
    """The opposite of `by_path`: nested dicts."""
    return unflatten_dict(dict(leaves), sep="/")


def find(
    leaves: Mapping[str, Any], patterns: Sequence[str], key: str, kind: str = "parameter"
) -> dict[str, list[bool]]:
    """Whether each array, by its path, is matched by one of the patterns; of one that holds all layers of a stack, each layer.

    Args:
        patterns: regular expressions, searched for in paths such as `decoder/blocks/0/mlp/up/kernel`.
        key, kind: the setting that they are, and what the arrays are, for messages.

    Raises:
        ConfigError: one is no regular expression, or matches nothing.
    """
    expressions = []
    for pattern in patterns:
        try:
            expressions.append(re.compile(pattern))
        except re.error as error:
            require(False, f"{key}: {pattern!r} is no regular expression ({error})")

    def names(path: str, leaf) -> list[str]:
        numbers = range(leaf.shape[0]) if STACKED in path else ()
        return [path.replace(STACKED, f"{STACKED}{layer}/") for layer in numbers] or [path]

    every = {path: names(path, leaf) for path, leaf in leaves.items()}
    for expression in expressions:
        require(
            any(expression.search(name) for names in every.values() for name in names),
            f"{key}: {expression.pattern!r} matches no {kind}; they have names such as "
            f"{', '.join(names[0] for names in list(every.values())[:3])}",
        )
    return {
        path: [any(expression.search(name) for expression in expressions) for name in names]
        for path, names in every.items()
    }


def split_layers(params: Params) -> Params:
    """The same parameters with each stack's blocks in a list, one by one, instead of stacked on a leading axis.

    A product with a layer that lies in a stack first copies it out (XLA), which takes longer than the product where the
    batch is small. It needs as much memory again while it runs.
    """

    @jax.jit
    def split(blocks):
        depth = len(jax.tree.leaves(blocks)[0])
        return [jax.tree.map(lambda leaf, layer=layer: leaf[layer], blocks) for layer in range(depth)]

    return {
        name: part | {"blocks": split(part["blocks"])} if "blocks" in part else part for name, part in params.items()
    }


def join_layers(params: Params) -> Params:
    """Blocks in lists stacked again. To be called within `jit`, where XLA sees through it and nothing is copied."""

    def join(part):
        if not isinstance(part.get("blocks"), list):
            return part
        return part | {"blocks": jax.tree.map(lambda *leaves: jnp.stack(leaves), *part["blocks"])}

    return {name: join(part) for name, part in params.items()}
