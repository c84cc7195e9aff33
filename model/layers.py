"""The small parts: dense layers, norms, feed-forward, embedding, dropout, and the tables that name their variants."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import linen as nn

if TYPE_CHECKING:
    from model.config import TransformerConfig

# name -> (function, gated). A gated activation multiplies a second projection (Shazeer 2020, arXiv:2002.05202).
ACTIVATIONS = {
    "relu": (jax.nn.relu, False),
    "gelu": (functools.partial(jax.nn.gelu, approximate=False), False),
    "gelu_tanh": (functools.partial(jax.nn.gelu, approximate=True), False),
    "swiglu": (jax.nn.silu, True),
    "geglu": (functools.partial(jax.nn.gelu, approximate=True), True),
}

# name -> function of the standard deviation that gives a Flax initializer for a kernel [in, out].
INITIALIZERS = {
    "normal": lambda std: nn.initializers.normal(std),  # GPT-2
    "truncated_normal": lambda std: nn.initializers.truncated_normal(std),  # BERT
    "xavier": lambda std: nn.initializers.xavier_uniform(),  # Glorot and Bengio 2010
    "he": lambda std: nn.initializers.he_normal(),  # He et al. 2015, arXiv:1502.01852
}


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def matmul_float32(x_NI: jax.Array, y: jax.Array, axis: int) -> jax.Array:
    """x summed with `axis` of y, [I, O] or [O, I]: [N, O], in float32.

    The gradient's products are of the dtype of x and y, as this one is: left to itself JAX would make them in float32.
    """
    return jax.lax.dot_general(x_NI, y, (((1,), (axis,)), ((), ())), preferred_element_type=jnp.float32)


def _matmul_float32_backward(axis, operands, gradient):
    x, y = operands
    gradient = gradient.astype(x.dtype)
    of_x = jax.lax.dot_general(gradient, y, (((1,), (1 - axis,)), ((), ())))
    pair = (gradient, x) if axis else (x, gradient)
    return of_x, jax.lax.dot_general(*pair, (((0,), (0,)), ((), ())))


matmul_float32.defvjp(lambda x, y, axis: (matmul_float32(x, y, axis), (x, y)), _matmul_float32_backward)


class Dense(nn.Module):
    """`x W + b`, over the last `contract` axes of x, as one product of two-dimensional operands.

    XLA's CPU matrix product is fast only for plain two-dimensional operands, and no accelerator is slower for it.

    Attributes:
        features: shape of the output's new axes.
        contract: how many trailing axes of x are summed over.
        start: what the kernel's random start is multiplied by.
        use_bias: None: as the config says.
        float32: whether the output is float32, whatever x is.
    """

    config: TransformerConfig
    features: tuple[int, ...]
    contract: int = 1
    start: float = 1.0
    use_bias: bool | None = None
    float32: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x [..., *inner] -> [..., *features]."""
        config = self.config
        lead, inner = x.shape[: -self.contract], x.shape[-self.contract :]
        fan_in, fan_out = math.prod(inner), math.prod(self.features)
        initializer = INITIALIZERS[config.initializer](config.initializer_std)

        def initialize(key, shape):
            return (self.start * initializer(key, (fan_in, fan_out))).reshape(shape)

        kernel = self.param("kernel", initialize, inner + self.features)
        kernel = kernel.reshape(fan_in, fan_out).astype(x.dtype)
        x_NI = x.reshape(-1, fan_in)
        y = matmul_float32(x_NI, kernel, 0) if self.float32 else x_NI @ kernel
        if config.use_bias if self.use_bias is None else self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, self.features)
            y = y + bias.reshape(-1).astype(y.dtype)
        return y.reshape(lead + self.features)


class LayerNorm(nn.Module):
    """Ba et al. 2016 (arXiv:1607.06450), over the last axis, statistics in float32."""

    config: TransformerConfig

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x32 = x.astype(jnp.float32)
        centred = x32 - x32.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        y = centred * jax.lax.rsqrt(variance + self.config.norm_eps)
        y = y * self.param("scale", nn.initializers.ones, x.shape[-1:])
        if self.config.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, x.shape[-1:])
        return y.astype(x.dtype)


class RMSNorm(nn.Module):
    """Zhang and Sennrich 2019 (arXiv:1910.07467), over the last axis, statistics in float32."""

    config: TransformerConfig

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x32 = x.astype(jnp.float32)
        y = x32 * jax.lax.rsqrt(jnp.square(x32).mean(-1, keepdims=True) + self.config.norm_eps)
        return (y * self.param("scale", nn.initializers.ones, x.shape[-1:])).astype(x.dtype)


NORMS = {"layernorm": LayerNorm, "rmsnorm": RMSNorm}


def norm(config: TransformerConfig, name: str | None = None) -> nn.Module:
    """The norm that `config.norm` names."""
    return NORMS[config.norm](config, name=name)


class FeedForward(nn.Module):
    """Two dense layers about an activation, or three where it is gated."""

    config: TransformerConfig

    @nn.compact
    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        config = self.config
        activation, gated = ACTIVATIONS[config.activation]
        activation = jax.checkpoint(activation)  # computed again in the backward pass: cheaper than its parts kept
        h_BTF = Dense(config, (config.mlp_dim,), name="up")(x_BTD)
        if gated:
            h_BTF = h_BTF * activation(Dense(config, (config.mlp_dim,), name="gate")(x_BTD))
        else:
            h_BTF = activation(h_BTF)
        return Dense(config, (config.embed_dim,), start=config.residual_start, name="down")(h_BTF)


class Embedding(nn.Module):
    """A table [rows, D]: `__call__` looks rows up, `logits` multiplies by its transpose (Press and Wolf 2017).

    Attributes:
        features: None: D.
    """

    config: TransformerConfig
    rows: int
    features: int | None = None

    def setup(self):
        initializer = nn.initializers.normal(self.config.initializer_std)
        self.embedding = self.param("embedding", initializer, (self.rows, self.features or self.config.embed_dim))

    def __call__(self, ids: jax.Array) -> jax.Array:
        return jnp.take(self.embedding, ids, axis=0).astype(self.config.dtype)

    def logits(self, x_BTD: jax.Array) -> jax.Array:
        """Float32, whatever x is: a bfloat16 logit would be wrong in its third digit."""
        x = x_BTD.reshape(-1, x_BTD.shape[-1])
        logits = matmul_float32(x, self.embedding.astype(x.dtype), 1)
        return logits.reshape(*x_BTD.shape[:-1], self.rows)


class Head(nn.Module):
    """The output layer, to logits [B, T, V] in float32; tied, it is the transpose of the embedding that it is given.

    `head="transform"` puts a dense layer, the activation and a norm before it (BERT, arXiv:1810.04805). `head="classes"` gives
    the logits of so many classes instead, by a layer of its own: [B, T, C].
    """

    config: TransformerConfig

    @nn.compact
    def __call__(self, x_BTD: jax.Array, embedding: Embedding) -> jax.Array:
        config = self.config
        if config.head == "classes":
            return Dense(config, (config.num_classes,), use_bias=True, float32=True, name="classes")(x_BTD)
        if config.head == "transform":
            x_BTD = ACTIVATIONS[config.activation][0](Dense(config, (config.embed_dim,), name="transform")(x_BTD))
            x_BTD = norm(config, "norm")(x_BTD)
        if config.scale_logits:
            x_BTD = x_BTD * config.embed_dim**-0.5
        if config.tie_embeddings:
            logits_BTV = embedding.logits(x_BTD)
        else:
            output = Dense(config, (config.vocab_size,), use_bias=False, float32=True, name="output")
            logits_BTV = output(x_BTD)
        if config.head_bias:
            logits_BTV = logits_BTV + self.param("bias", nn.initializers.zeros, (config.vocab_size,))
        return logits_BTV


class Dropout(nn.Module):
    """Srivastava et al. 2014, active where a "dropout" key is given.

    Each row over the last axis draws a number from the key, and an element hashes it plus its column (the finalizer of
    MurmurHash3): many times cheaper than `jax.random.bernoulli` on a CPU, and the same whatever the devices.
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.rate == 0 or not self.has_rng("dropout"):
            return x
        rows = jax.random.bits(self.make_rng("dropout"), (*x.shape[:-1], 1), jnp.uint32)
        bits = rows + jnp.arange(x.shape[-1], dtype=jnp.uint32)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            bits = (bits ^ (bits >> shift)) * jnp.uint32(factor)
        keep = (bits ^ (bits >> 16)) >= jnp.uint32(round(self.rate * 2**32))
        return jnp.where(keep, x / (1 - self.rate), 0)
