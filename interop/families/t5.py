"""T5 and T5 v1.1 (Raffel et al. 2020), and mT5 (Xue et al. 2021)."""

from collections.abc import Collection

from interop.family import Family, Field, Json, take, unsupported, words
from interop.layout import LINEAR_OF_HEADS, Row, dense, embedding, norm
from model import TransformerConfig

# feed_forward_proj -> our activation, and the pair (dense_act_fn, is_gated_act) that transformers makes of it.
FEED_FORWARD = {
    "relu": ("relu", "relu", False),
    "gated-gelu": ("geglu", "gelu_new", True),
    "gated-silu": ("swiglu", "silu", True),
    "gelu": ("gelu", "gelu", False),
    "gelu_new": ("gelu_tanh", "gelu_new", False),
}
GATED = {ours for ours, _, gated in FEED_FORWARD.values() if gated}


def attention(ours: str, theirs: str) -> tuple[Row, ...]:
    return (
        *dense(f"{ours}/query", f"{theirs}.q"),
        *dense(f"{ours}/key", f"{theirs}.k"),
        *dense(f"{ours}/value", f"{theirs}.v"),
        *dense(f"{ours}/out", f"{theirs}.o", LINEAR_OF_HEADS),
    )


def stack(side: str, mlp: int, up: str) -> tuple[Row, ...]:
    """The rows of one side, whose feed-forward is sub-layer number `mlp`; the first layer's bias serves all."""
    blocks, layer = f"{side}/blocks", f"{side}.block.{{layer}}.layer"
    return (
        embedding(f"{side}/relative_bias", f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias"),
        *attention(f"{blocks}/attention", f"{layer}.0.SelfAttention"),
        *norm(f"{blocks}/attention_norm", f"{layer}.0.layer_norm"),
        *dense(f"{blocks}/mlp/gate", f"{layer}.{mlp}.DenseReluDense.wi_0"),
        *dense(f"{blocks}/mlp/up", f"{layer}.{mlp}.DenseReluDense.{up}"),
        *dense(f"{blocks}/mlp/down", f"{layer}.{mlp}.DenseReluDense.wo"),
        *norm(f"{blocks}/mlp_norm", f"{layer}.{mlp}.layer_norm"),
        *norm(f"{side}/final_norm", f"{side}.final_layer_norm"),
    )


def rows(config: TransformerConfig) -> tuple[Row, ...]:
    up = "wi_1" if config.activation in GATED else "wi"
    return (
        embedding("token_embedding", "shared"),
        *stack("encoder", 1, up),
        *stack("decoder", 2, up),
        *attention("decoder/blocks/cross_attention", "decoder.block.{layer}.layer.1.EncDecAttention"),
        *norm("decoder/blocks/cross_attention_norm", "decoder.block.{layer}.layer.1.layer_norm"),
        *dense("head/output", "lm_head"),
    )


def common(theirs: Json, names: Collection[str], feed_forward: str) -> Json:
    """Whether the head is tied, the tensors tell: config.json has come to say that it always is."""
    feed_forward = take(theirs, "feed_forward_proj", str, feed_forward)
    _, function, gated = FEED_FORWARD.get(feed_forward, (None, None, None))
    for name, made in (("dense_act_fn", function), ("is_gated_act", gated)):
        if made is not None and theirs.get(name, made) != made:
            raise unsupported(name, theirs[name], f"with feed_forward_proj={feed_forward!r}")
    layers = take(theirs, "num_decoder_layers", int | None, None)
    return {
        "decoder_layers": take(theirs, "num_layers", int, 6) if layers is None else layers,
        "tie_embeddings": "lm_head.weight" not in names,
    }


def is_scaled(theirs: Json) -> bool:
    return take(theirs, "scale_decoder_outputs", bool, theirs.get("tie_word_embeddings", True) is not False)


def to_theirs(config: TransformerConfig) -> Json:
    return {
        "num_decoder_layers": config.decoder_layers,
        "tie_word_embeddings": config.tie_embeddings,
        "is_encoder_decoder": True,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
        "eos_token_id": 1,
    }


def _family(model_type: str, class_prefix: str, feed_forward: str, scales: bool) -> Family:
    return Family(
        model_type=model_type,
        classes={"linear": f"{class_prefix}ForConditionalGeneration", "none": f"{class_prefix}Model"},
        fields=(
            Field("vocab_size", "vocab_size"),
            Field("n_positions", "max_length", 512),
            Field("num_layers", "encoder_layers", 6),
            Field("d_model", "embed_dim", 512),
            Field("num_heads", "num_heads", 8),
            Field("d_kv", "head_dim", 64),
            Field("d_ff", "mlp_dim", 2048),
            Field("relative_attention_num_buckets", "relative_buckets", 32),
            Field("relative_attention_max_distance", "relative_max_distance", 128),
            Field("layer_norm_epsilon", "norm_eps", 1e-6),
            Field("dropout_rate", "dropout", 0.1),
            Field(
                "feed_forward_proj",
                "activation",
                feed_forward,
                {theirs: ours for theirs, (ours, *_) in FEED_FORWARD.items()},
            ),
        ),
        always={
            "norm": "rmsnorm",
            "norm_position": "pre",
            "position": "relative_bias",
            "use_bias": False,
            "scale_attention": False,
        },
        ignored=words(
            """initializer_factor dense_act_fn is_gated_act num_decoder_layers tie_word_embeddings
            scale_decoder_outputs tokenizer_class"""
        ),
        rows=rows,
        copies={
            name: "shared.weight"
            for name in ("lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
        },
        left_out=(r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",),
        to_ours=lambda theirs, names: (
            common(theirs, names, feed_forward) | {"scale_logits": scales and is_scaled(theirs)}
        ),
        to_theirs=lambda config: to_theirs(config) | ({"scale_decoder_outputs": config.scale_logits} if scales else {}),
    )


T5 = _family("t5", "T5", "relu", scales=True)
MT5 = _family("mt5", "MT5", "gated-gelu", scales=False)
