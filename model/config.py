"""The choices that make a Transformer, as one frozen record."""

import dataclasses

import jax

from common.errors import choose, require
from model.layers import ACTIVATIONS, INITIALIZERS, NORMS

POSITIONS = ("learned", "sinusoidal", "rope", "none")
NORM_POSITIONS = ("pre", "post")
REMAT_POLICIES = {
    "none": None,  # keep every intermediate result for the backward pass
    "full": jax.checkpoint_policies.nothing_saveable,  # keep each block's input, compute the rest again
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,  # keep the dense layers' outputs as well
}
DTYPES = ("float32", "bfloat16", "float16")
ATTENTIONS = ("auto", "xla", "cudnn")


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """A decoder-only Transformer. `configs/base.py` says what each field means; None is worked out from the others.

    Raises:
        ConfigError: a value or a combination of values makes no network.
    """

    vocab_size: int
    max_length: int
    decoder_layers: int
    embed_dim: int
    num_heads: int
    num_kv_heads: int | None = None
    head_dim: int | None = None
    mlp_dim: int | None = None
    norm: str = "layernorm"
    norm_position: str = "pre"
    norm_eps: float = 1e-5
    position: str = "learned"
    rope_theta: float = 10000.0
    activation: str = "gelu_tanh"
    use_bias: bool = True
    qk_norm: bool = False
    tie_embeddings: bool = True
    scale_embeddings: bool = False
    dropout: float = 0.0
    initializer: str = "normal"
    initializer_std: float = 0.02
    attention: str = "auto"
    dtype: str = "float32"
    remat: str = "none"
    scan_layers: bool = True

    def __post_init__(self):
        for name in ("vocab_size", "max_length", "decoder_layers", "embed_dim", "num_heads"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)} must be at least 1")
        if self.head_dim is None:
            require(
                self.embed_dim % self.num_heads == 0,
                f"num_heads={self.num_heads} does not divide embed_dim={self.embed_dim}; change one, or set head_dim",
            )
        self._default("head_dim", self.embed_dim // self.num_heads)
        self._default("num_kv_heads", self.num_heads)
        self._default("mlp_dim", 4 * self.embed_dim)
        for name in ("num_kv_heads", "head_dim", "mlp_dim"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)} must be at least 1")
        require(
            self.num_heads % self.num_kv_heads == 0,
            f"num_kv_heads={self.num_kv_heads} does not divide num_heads={self.num_heads}",
        )
        for name, allowed in {
            "norm": NORMS,
            "norm_position": NORM_POSITIONS,
            "position": POSITIONS,
            "activation": ACTIVATIONS,
            "initializer": INITIALIZERS,
            "attention": ATTENTIONS,
            "dtype": DTYPES,
            "remat": REMAT_POLICIES,
        }.items():
            choose(dict.fromkeys(allowed), getattr(self, name), name)
        if self.position == "rope":
            require(self.head_dim % 2 == 0, f"head_dim={self.head_dim} must be even for position='rope'")
        if self.position == "sinusoidal":
            require(self.embed_dim % 2 == 0, f"embed_dim={self.embed_dim} must be even for position='sinusoidal'")
        require(0 <= self.dropout < 1, f"dropout={self.dropout} must be in [0, 1)")
        for name in ("norm_eps", "rope_theta", "initializer_std"):
            require(getattr(self, name) > 0, f"{name}={getattr(self, name)} must be above 0")

    def _default(self, name: str, value: int) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)
