"""How large what flows through the layers is: where a run that will go wrong can be seen to, before its loss tells.

Largest attention logits and the growth of the residual stream foretell instabilities (Wortsman et al. 2023,
arXiv:2309.14322).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from model import TransformerConfig
from model.parameters import Params
from tasks import Batch
from training.step import MeshedNetwork

# What attention layers sow -> what it is called.
ATTENTIONS = {"attention": "attention_logit_max", "cross_attention": "cross_attention_logit_max"}


def make_activation_step(model: TransformerConfig, mesh: Mesh) -> Callable[[Params, Batch], dict[str, jax.Array]]:
    """The pure function `(params, batch) -> statistics`, without dropout: float32 scalars by "NAME/STACK/LAYER".

    "residual_rms" and "residual_max" (of absolute values) are of the residual stream behind a layer, at tokens that are no
    padding; "attention_logit_max" and "cross_attention_logit_max" are before the softmax, of keys that are seen.
    """
    network = MeshedNetwork(model, mesh)

    def activation_step(params: Params, batch: Batch) -> dict[str, jax.Array]:
        seen = network.intermediates(params, batch)
        return {
            f"{name}/{stack}/{layer}": values_L[layer]
            for stack, segments_BT in _stacks(batch, seen)
            for name, values_L in _statistics(seen[stack]["blocks"], segments_BT > 0).items()
            for layer in range(len(values_L))
        }

    return activation_step


def _stacks(batch: Batch, seen: Mapping[str, Any]) -> Iterator[tuple[str, jax.Array]]:
    """The stacks there are, each with the segment ids of what it reads."""
    for stack in seen:
        read = "encoder_segment_ids" if stack == "encoder" and "decoder" in seen else "segment_ids"
        yield stack, batch[read]


def _statistics(blocks: Mapping[str, Any], real_BT: jax.Array) -> dict[str, jax.Array]:
    """Of all layers of a stack, by name; float32 [L]."""
    (x_LBTD,) = blocks["x_BTD"]
    x_LBTD = jnp.where(real_BT[..., None], x_LBTD.astype(jnp.float32), 0)
    count = jnp.maximum(real_BT.sum(), 1) * x_LBTD.shape[-1]
    logits = {title: blocks[name]["largest_logit"][0] for name, title in ATTENTIONS.items() if name in blocks}
    return {
        "residual_rms": jnp.sqrt(jnp.square(x_LBTD).sum((1, 2, 3)) / count),
        "residual_max": jnp.abs(x_LBTD).max((1, 2, 3)),
    } | logits
