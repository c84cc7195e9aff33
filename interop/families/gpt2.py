"""GPT-2 (Radford et al. 2019). Its dense layers are "Conv1D", with kernels [in, out]; queries, keys and values are one."""

from interop.family import Family, Field, words
from interop.layout import TABLE, TABLE_OF_HEADS, VECTOR, Row, dense, embedding, norm

ATTENTION = "decoder/blocks/attention"
ROWS = (
    embedding("token_embedding", "transformer.wte"),
    embedding("position_embedding", "transformer.wpe"),
    *norm("decoder/blocks/attention_norm", "transformer.h.{layer}.ln_1"),
    Row(
        tuple(f"{ATTENTION}/{name}/kernel" for name in ("query", "key", "value")),
        "transformer.h.{layer}.attn.c_attn.weight",
        TABLE,
    ),
    Row(
        tuple(f"{ATTENTION}/{name}/bias" for name in ("query", "key", "value")),
        "transformer.h.{layer}.attn.c_attn.bias",
        VECTOR,
    ),
    *dense(f"{ATTENTION}/out", "transformer.h.{layer}.attn.c_proj", TABLE_OF_HEADS),
    *norm("decoder/blocks/mlp_norm", "transformer.h.{layer}.ln_2"),
    *dense("decoder/blocks/mlp/up", "transformer.h.{layer}.mlp.c_fc", TABLE),
    *dense("decoder/blocks/mlp/down", "transformer.h.{layer}.mlp.c_proj", TABLE),
    *norm("decoder/final_norm", "transformer.ln_f"),
    *dense("head/output", "lm_head"),
)

GPT2 = Family(
    model_type="gpt2",
    classes={"linear": "GPT2LMHeadModel", "none": "GPT2Model"},
    fields=(
        Field("vocab_size", "vocab_size"),
        Field("n_positions", "max_length", 1024),
        Field("n_layer", "decoder_layers"),
        Field("n_embd", "embed_dim"),
        Field("n_head", "num_heads"),
        Field("n_inner", "mlp_dim", None),
        Field("layer_norm_epsilon", "norm_eps", 1e-5),
        Field(
            "activation_function",
            "activation",
            "gelu_new",
            {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu", "relu": "relu"},
        ),
        Field("tie_word_embeddings", "tie_embeddings", True),
        Field("resid_pdrop", "dropout", 0.1),
        Field("initializer_range", "initializer_std", 0.02),
    ),
    always={"norm": "layernorm", "norm_position": "pre", "position": "learned", "use_bias": True},
    only={"scale_attn_weights": (True,), "scale_attn_by_inverse_layer_idx": (False,)},
    ignored=words(
        """n_ctx embd_pdrop attn_pdrop reorder_and_upcast_attn summary_type summary_use_proj summary_activation
        summary_proj_to_labels summary_first_dropout"""
    ),
    rows=lambda config: ROWS,
    prefix="transformer.",
    heads=("lm_head.",),
    copies={"lm_head.weight": "transformer.wte.weight"},
    buffers=(r"transformer\.h\.\d+\.attn\.(masked_)?bias",),
)
