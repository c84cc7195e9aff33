"""The choices that make a Transformer, as one frozen record."""

import dataclasses

import jax

from common.errors import check_choice, require
from model.attend import ATTENTIONS
from model.layers import ACTIVATIONS, INITIALIZERS, NORMS
from model.positions import ROPE_SCALINGS

POSITIONS = ("learned", "sinusoidal", "rope", "relative_bias", "none")
NORM_POSITIONS = ("pre", "post")
HEADS = ("linear", "transform", "classes", "none")
REMAT_POLICIES = {  # what is kept for the backward pass, less and less
    "none": None,  # every intermediate result
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,  # each block's input and its dense layers' outputs
    "full": jax.checkpoint_policies.nothing_saveable,  # each block's input; the rest is computed again
}
DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """A Transformer. `configs/base.py` says what each field means; None is worked out from the others.

    `decoder_layers` alone make a decoder-only model (GPT, Llama), `encoder_layers` alone an encoder-only one (BERT), both an
    encoder-decoder (T5).

    Raises:
        ConfigError: a value or a combination of values makes no network.
    """

    vocab_size: int
    max_length: int
    embed_dim: int
    num_heads: int
    decoder_layers: int = 0
    encoder_layers: int = 0
    num_kv_heads: int | None = None
    head_dim: int | None = None
    mlp_dim: int | None = None
    norm: str = "layernorm"
    norm_position: str = "pre"
    norm_eps: float = 1e-5
    embedding_norm: bool = False
    position: str = "learned"
    position_offset: int = 0
    num_token_types: int = 0
    rope_theta: float = 10000.0
    rope_scaling: str = "none"
    rope_factor: float = 1.0
    rope_original_length: int | None = None
    rope_low_rotations: float = 1.0
    rope_high_rotations: float = 32.0
    relative_buckets: int = 32
    relative_max_distance: int = 128
    sliding_window: int | None = None
    bidirectional_prefix: bool | None = None
    activation: str = "gelu_tanh"
    use_bias: bool = True
    qkv_bias: bool | None = None
    qk_norm: bool = False
    scale_attention: bool = True
    head: str = "linear"
    head_bias: bool = False
    num_classes: int | None = None
    pooler: bool = False
    tie_embeddings: bool = True
    scale_embeddings: bool = False
    scale_logits: bool = False
    dropout: float = 0.0
    initializer: str = "normal"
    initializer_std: float = 0.02
    attention: str = "auto"
    dtype: str = "float32"
    remat: str = "none"
    scan_layers: bool = True

    def __post_init__(self):
        for name in ("vocab_size", "max_length", "embed_dim", "num_heads", "relative_max_distance"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)} must be at least 1")
        for name in ("decoder_layers", "encoder_layers", "position_offset", "num_token_types"):
            require(getattr(self, name) >= 0, f"{name}={getattr(self, name)} must not be negative")
        require(self.num_layers >= 1, "decoder_layers=0 and encoder_layers=0 make no network; set one of them")
        if self.head_dim is None:
            require(
                self.embed_dim % self.num_heads == 0,
                f"num_heads={self.num_heads} does not divide embed_dim={self.embed_dim}; change one, or set head_dim",
            )
        self._default("head_dim", self.embed_dim // self.num_heads)
        self._default("num_kv_heads", self.num_heads)
        self._default("mlp_dim", 4 * self.embed_dim)
        self._default("qkv_bias", self.use_bias)
        self._default("bidirectional_prefix", False)
        self._default("rope_original_length", self.max_length)
        self._default("num_classes", 2)
        for name in ("num_kv_heads", "head_dim", "mlp_dim", "num_classes", "rope_original_length"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)} must be at least 1")
        require(
            self.num_heads % self.num_kv_heads == 0,
            f"num_kv_heads={self.num_kv_heads} does not divide num_heads={self.num_heads}",
        )
        for name, allowed in {
            "norm": NORMS,
            "norm_position": NORM_POSITIONS,
            "position": POSITIONS,
            "rope_scaling": ROPE_SCALINGS,
            "activation": ACTIVATIONS,
            "head": HEADS,
            "initializer": INITIALIZERS,
            "attention": ATTENTIONS,
            "dtype": DTYPES,
            "remat": REMAT_POLICIES,
        }.items():
            check_choice(allowed, getattr(self, name), name)
        if self.position == "rope":
            require(self.head_dim % 2 == 0, f"head_dim={self.head_dim} must be even for position='rope'")
        if self.position == "sinusoidal":
            require(self.embed_dim % 2 == 0, f"embed_dim={self.embed_dim} must be even for position='sinusoidal'")
        require(
            self.relative_buckets >= 4 and self.relative_buckets % 4 == 0,
            f"relative_buckets={self.relative_buckets} must be a multiple of 4",
        )
        require(
            self.relative_max_distance > self.relative_buckets // 2,
            f"relative_max_distance={self.relative_max_distance} must be above half of relative_buckets",
        )
        require(
            self.sliding_window is None or self.sliding_window >= 1,
            f"sliding_window={self.sliding_window} must be at least 1, or None",
        )
        require(0 <= self.dropout < 1, f"dropout={self.dropout} must be in [0, 1)")
        for name in ("norm_eps", "rope_theta", "rope_low_rotations", "initializer_std"):
            require(getattr(self, name) > 0, f"{name}={getattr(self, name)} must be above 0")
        require(self.rope_factor >= 1, f"rope_factor={self.rope_factor} must be at least 1")
        require(
            self.rope_high_rotations > self.rope_low_rotations,
            f"rope_high_rotations={self.rope_high_rotations} must be above rope_low_rotations={self.rope_low_rotations}",
        )

    @property
    def network(self) -> str:
        """The kind: "decoder", "encoder" or "encoder-decoder"."""
        kinds = {"encoder": self.encoder_layers, "decoder": self.decoder_layers}
        return "-".join(kind for kind, layers in kinds.items() if layers)

    @property
    def residual_start(self) -> float:
        """What the start of layers is multiplied by that add to the residual stream, so that its variance does not grow with
        depth: 1 / sqrt(2 L) (GPT-2)."""
        return (2 * self.num_layers) ** -0.5

    @property
    def gives_tokens(self) -> bool:
        """Whether the logits are of the vocabulary."""
        return self.head in ("linear", "transform")

    @property
    def num_layers(self) -> int:
        """Of both stacks together."""
        return self.encoder_layers + self.decoder_layers

    def _default(self, name: str, value: int) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)
