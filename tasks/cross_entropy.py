"""The loss of all objectives that predict tokens."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from tasks.task import Apply, Batch, LossConfig, Params


def cross_entropy(
    logits: jax.Array, labels: jax.Array, weights: jax.Array, config: LossConfig
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The cross-entropy of `labels` [...] under `logits` [..., V], in nats, times `weights` [...]: float32 [...].

    Written as logsumexp - logit[label], which never makes the whole log-softmax. Label smoothing (Szegedy et al. 2015,
    arXiv:1512.00567) spreads its share evenly over the vocabulary; z-loss (PaLM, arXiv:2204.02311, section 5) is
    z_loss * logsumexp^2, which keeps the logits from drifting.

    Returns:
        what is minimized the sum of, and {"loss", "weight"}.
    """
    logits = logits.astype(jnp.float32)
    log_normalizer = jax.nn.logsumexp(logits, axis=-1)
    label_logit = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    loss = log_normalizer - label_logit
    objective = loss
    if config.label_smoothing:
        uniform = log_normalizer - logits.mean(-1)
        objective = (1 - config.label_smoothing) * loss + config.label_smoothing * uniform
    if config.z_loss:
        objective = objective + config.z_loss * jnp.square(log_normalizer)
    return objective * weights, {"loss": loss * weights, "weight": weights}


def token_loss(apply: Apply, params: Params, batch: Batch, key: jax.Array | None, config: LossConfig):
    """The cross-entropy of a batch's `targets`, counted by its `weights`."""
    output, wanted = apply(params, batch, key), (batch["targets"], batch["weights"])
    if config.chunks == 1:
        return cross_entropy(output.logits_BTV, *wanted, config)

    def loss(hidden_BTD: jax.Array, *part: jax.Array):
        return cross_entropy(apply.logits(params, hidden_BTD), *part, config)

    return chunked(loss, config.chunks, output.hidden_BTD, *wanted)


def chunked(loss: Callable, chunks: int, *arrays: jax.Array):
    """`loss` of arrays [B, T, ...], a part of T after the other, so that what it makes of a part is never there for all.

    Going backwards it is made again. The last part is filled up with zeros, whose results are dropped.
    """
    length = arrays[0].shape[1]
    size = -(-length // chunks)

    def cut(x: jax.Array) -> jax.Array:
        x = jnp.pad(x, [(0, 0), (0, chunks * size - length), *[(0, 0)] * (x.ndim - 2)])
        return x.reshape(x.shape[0], chunks, size, *x.shape[2:]).swapaxes(0, 1)

    def join(x: jax.Array) -> jax.Array:
        return x.swapaxes(0, 1).reshape(x.shape[1], chunks * size, *x.shape[3:])[:, :length]

    _, results = jax.lax.scan(lambda _, part: (None, jax.checkpoint(loss)(*part)), None, tuple(map(cut, arrays)))
    return jax.tree.map(join, results)
