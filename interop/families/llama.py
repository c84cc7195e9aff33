"""Llama and the families that are Llama but for a choice or two: Mistral, Qwen2, Qwen3."""

import math

from interop.family import Family, Field, Json, take, unsupported
from interop.layout import LINEAR_OF_HEADS, dense, embedding, norm
from model import TransformerConfig

LAYER = "model.layers.{layer}"
ROWS = (
    embedding("token_embedding", "model.embed_tokens"),
    *norm("decoder/blocks/attention_norm", f"{LAYER}.input_layernorm"),
    *dense("decoder/blocks/attention/query", f"{LAYER}.self_attn.q_proj"),
    *dense("decoder/blocks/attention/key", f"{LAYER}.self_attn.k_proj"),
    *dense("decoder/blocks/attention/value", f"{LAYER}.self_attn.v_proj"),
    *dense("decoder/blocks/attention/out", f"{LAYER}.self_attn.o_proj", LINEAR_OF_HEADS),
    *norm("decoder/blocks/attention/query_norm", f"{LAYER}.self_attn.q_norm"),
    *norm("decoder/blocks/attention/key_norm", f"{LAYER}.self_attn.k_norm"),
    *norm("decoder/blocks/mlp_norm", f"{LAYER}.post_attention_layernorm"),
    *dense("decoder/blocks/mlp/gate", f"{LAYER}.mlp.gate_proj"),
    *dense("decoder/blocks/mlp/up", f"{LAYER}.mlp.up_proj"),
    *dense("decoder/blocks/mlp/down", f"{LAYER}.mlp.down_proj"),
    *norm("decoder/final_norm", "model.norm"),
    *dense("head/output", "lm_head"),
)

# kind -> (our field, their name, what is taken where it is absent), after "factor", which all have.
ROPE_SCALINGS = {
    "linear": (),
    "llama3": (
        ("rope_original_length", "original_max_position_embeddings", None),
        ("rope_low_rotations", "low_freq_factor", 1.0),
        ("rope_high_rotations", "high_freq_factor", 4.0),
    ),
    "yarn": (
        ("rope_original_length", "original_max_position_embeddings", None),
        ("rope_low_rotations", "beta_slow", 1.0),
        ("rope_high_rotations", "beta_fast", 32.0),
    ),
}


def rope(theirs: Json) -> Json:
    """Our fields of RoPE, from `rope_theta` and `rope_scaling`, or from `rope_parameters`, which has come to hold both."""
    given: Json = {}
    for name in ("rope_scaling", "rope_parameters"):
        given |= take(theirs, name, dict | None, None) or {}

    def pop(name: str, kind: type):
        value = take(given, name, kind | None, None, under="rope_scaling.")
        given.pop(name, None)
        return value

    kinds = [pop(name, str) for name in ("rope_type", "type")]
    kind = kinds[0] or kinds[1] or "default"
    ours: Json = {"rope_theta": pop("rope_theta", float) or take(theirs, "rope_theta", float | None, None) or 10000.0}
    if kind != "default":
        if kind not in ROPE_SCALINGS:
            raise unsupported("rope_scaling", kind, f"supported: {', '.join(ROPE_SCALINGS)}")
        factor = pop("factor", float)
        ours |= {"rope_scaling": kind, "rope_factor": 1.0 if factor is None else factor}
        if ours["rope_factor"] < 1:
            raise unsupported("rope_scaling.factor", factor, "at least 1 is")
        for our, their, default in ROPE_SCALINGS[kind]:
            value = pop(their, int if our == "rope_original_length" else float)
            ours[our] = default if value is None else value
        usual = 0.1 * math.log(ours["rope_factor"]) + 1
        given = {name: value for name, value in given.items() if value is not None}
        factor = take(given, "attention_factor", float, usual, under="rope_scaling.")
        if kind == "yarn" and math.isclose(factor, usual, rel_tol=1e-6):
            given.pop("attention_factor", None)
        if given.get("truncate") is True:
            given.pop("truncate")
    given.pop("original_max_position_embeddings", None)
    if given.get("partial_rotary_factor") == 1:
        given.pop("partial_rotary_factor")
    if given:
        name, value = next(iter(given.items()))
        raise unsupported(f"rope_scaling.{name}", value, f"with rope_type={kind!r}")
    return ours


def rope_json(config: TransformerConfig) -> Json:
    """Both spellings of RoPE's fields: of transformers up to 4, and from 5 on."""
    parameters: Json = {"rope_type": "default"}
    if config.rope_scaling != "none":
        parameters = {"rope_type": config.rope_scaling, "factor": config.rope_factor}
        parameters |= {their: getattr(config, our) for our, their, _ in ROPE_SCALINGS[config.rope_scaling]}
    scaling = None if config.rope_scaling == "none" else parameters
    with_theta = parameters | {"rope_theta": config.rope_theta}
    return {"rope_theta": config.rope_theta, "rope_scaling": scaling, "rope_parameters": with_theta}


def one_window(theirs: Json, default: int | None = None) -> Json:
    """The window of all layers, or none; where only some layers have it, we cannot."""
    size = take(theirs, "sliding_window", int | None, default)
    layers = take(theirs, "num_hidden_layers", int)
    first = 0
    if "use_sliding_window" in theirs:  # Qwen
        size = size if take(theirs, "use_sliding_window", bool) else None
        first = take(theirs, "max_window_layers", int, 28)
    some = {"full_attention"} if size is None or first > 0 else set()
    some |= set() if size is None or first >= layers else {"sliding_attention"}
    kinds = set(map(str, take(theirs, "layer_types", list | None, None) or some))
    if not kinds <= {"full_attention"} and (size is None or kinds != {"sliding_attention"}):
        raise unsupported("layer_types", sorted(kinds), "one kind of attention for all layers is")
    return {"sliding_window": size if kinds == {"sliding_attention"} else None}


def qwen_window_json(config: TransformerConfig) -> Json:
    size = config.sliding_window
    kind = "full_attention" if size is None else "sliding_attention"
    window = {"use_sliding_window": size is not None, "sliding_window": size, "max_window_layers": 0}
    return window | {"layer_types": [kind] * config.decoder_layers}


def llama_biases(theirs: Json) -> Json:
    """Llama's two switches are our `use_bias`; all dense layers have a bias, or none."""
    attention, mlp = (bool(take(theirs, name, bool | None, None)) for name in ("attention_bias", "mlp_bias"))
    if attention != mlp:
        raise unsupported("attention_bias", attention, f"with mlp_bias={mlp}; supported: both or neither")
    return {"use_bias": attention}


def _family(
    model_type: str, class_prefix: str, kv_heads: int | None, head_dim: int | None, always: Json, **more
) -> Family:
    """A family, with what transformers takes for key/value heads and head size where config.json is silent."""
    more.setdefault("ignored", frozenset())
    return Family(
        model_type=model_type,
        classes={"linear": f"{class_prefix}ForCausalLM", "none": f"{class_prefix}Model"},
        fields=(
            Field("vocab_size", "vocab_size"),
            Field("max_position_embeddings", "max_length", 2048),
            Field("num_hidden_layers", "decoder_layers"),
            Field("hidden_size", "embed_dim"),
            Field("num_attention_heads", "num_heads"),
            Field("num_key_value_heads", "num_kv_heads", kv_heads),
            Field("head_dim", "head_dim", head_dim),
            Field("intermediate_size", "mlp_dim"),
            Field("rms_norm_eps", "norm_eps", 1e-6),
            Field("hidden_act", "activation", "silu", {"silu": "swiglu", "gelu_pytorch_tanh": "geglu"}),
            Field("tie_word_embeddings", "tie_embeddings", False),
            Field("initializer_range", "initializer_std", 0.02),
        ),
        always={"norm": "rmsnorm", "norm_position": "pre", "position": "rope", "use_bias": False} | always,
        rows=lambda config: ROWS,
        prefix="model.",
        heads=("lm_head.",),
        copies={"lm_head.weight": "model.embed_tokens.weight"},
        buffers=(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq", r"model\.rotary_emb\.inv_freq"),
        **more | {"ignored": more["ignored"] | {"rope_theta", "rope_scaling", "rope_parameters", "attention_dropout"}},
    )


WINDOW_FIELDS = frozenset({"sliding_window", "layer_types"})
QWEN_FIELDS = WINDOW_FIELDS | {"use_sliding_window", "max_window_layers"}

LLAMA = _family(
    "llama",
    "Llama",
    None,
    None,
    {},
    ignored=frozenset({"attention_bias", "mlp_bias", "pretraining_tp"}),
    to_ours=lambda theirs, names: rope(theirs) | llama_biases(theirs),
    to_theirs=lambda config: rope_json(config) | {"attention_bias": config.use_bias, "mlp_bias": config.use_bias},
)
MISTRAL = _family(
    "mistral",
    "Mistral",
    8,
    None,
    {},
    ignored=WINDOW_FIELDS,
    to_ours=lambda theirs, names: rope(theirs) | one_window(theirs, default=4096),
    to_theirs=lambda config: rope_json(config) | {"sliding_window": config.sliding_window},
)
QWEN2 = _family(
    "qwen2",
    "Qwen2",
    32,
    None,
    {"qkv_bias": True},
    ignored=QWEN_FIELDS,
    to_ours=lambda theirs, names: rope(theirs) | one_window({"use_sliding_window": False} | theirs, default=4096),
    to_theirs=lambda config: rope_json(config) | qwen_window_json(config),
)
QWEN3 = _family(
    "qwen3",
    "Qwen3",
    32,
    128,
    {"qk_norm": True},
    only={"attention_bias": (False,)},
    ignored=QWEN_FIELDS,
    to_ours=lambda theirs, names: rope(theirs) | one_window({"use_sliding_window": False} | theirs, default=4096),
    to_theirs=lambda config: rope_json(config) | qwen_window_json(config),
)
