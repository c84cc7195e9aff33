"""BERT (Devlin et al. 2018), with MiniLM and others of its shape, and RoBERTa (Liu et al. 2019)."""

from collections.abc import Collection

from interop.family import Family, Field, Json, take
from interop.layout import LINEAR_OF_HEADS, VECTOR, Row, dense, embedding, norm
from model import TransformerConfig


def encoder_rows(prefix: str) -> tuple[Row, ...]:
    layer, blocks = f"{prefix}encoder.layer.{{layer}}", "encoder/blocks"
    return (
        embedding("token_embedding", f"{prefix}embeddings.word_embeddings"),
        embedding("position_embedding", f"{prefix}embeddings.position_embeddings"),
        embedding("token_type_embedding", f"{prefix}embeddings.token_type_embeddings"),
        *norm("embedding_norm", f"{prefix}embeddings.LayerNorm"),
        *dense(f"{blocks}/attention/query", f"{layer}.attention.self.query"),
        *dense(f"{blocks}/attention/key", f"{layer}.attention.self.key"),
        *dense(f"{blocks}/attention/value", f"{layer}.attention.self.value"),
        *dense(f"{blocks}/attention/out", f"{layer}.attention.output.dense", LINEAR_OF_HEADS),
        *norm(f"{blocks}/attention_norm", f"{layer}.attention.output.LayerNorm"),
        *dense(f"{blocks}/mlp/up", f"{layer}.intermediate.dense"),
        *dense(f"{blocks}/mlp/down", f"{layer}.output.dense"),
        *norm(f"{blocks}/mlp_norm", f"{layer}.output.LayerNorm"),
        *dense("pooler", f"{prefix}pooler.dense"),
    )


def rows(prefix: str, transform: str, norm_name: str, head: str):
    """The name tables. A tied output layer's bias stands beside it in the file, one of its own in it."""

    def of(config: TransformerConfig) -> tuple[Row, ...]:
        return (
            *encoder_rows(prefix),
            *dense("head/transform", transform),
            *norm("head/norm", norm_name),
            *dense("head/output", f"{head}.decoder")[:1],
            Row("head/bias", f"{head}.bias" if config.tie_embeddings else f"{head}.decoder.bias", VECTOR),
        )

    return of


FIELDS = (
    Field("vocab_size", "vocab_size"),
    Field("num_hidden_layers", "encoder_layers"),
    Field("hidden_size", "embed_dim"),
    Field("num_attention_heads", "num_heads"),
    Field("intermediate_size", "mlp_dim"),
    Field("type_vocab_size", "num_token_types", 2),
    Field("layer_norm_eps", "norm_eps", 1e-12),
    Field("tie_word_embeddings", "tie_embeddings", True),
    Field("hidden_dropout_prob", "dropout", 0.1),
    Field("initializer_range", "initializer_std", 0.02),
)
ALWAYS = {
    "norm": "layernorm",
    "norm_position": "post",
    "position": "learned",
    "embedding_norm": True,
    "use_bias": True,
    "initializer": "truncated_normal",
}
ABSOLUTE = {"position_embedding_type": ("absolute",)}
IGNORED = frozenset({"attention_probs_dropout_prob"})
OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


def parts(prefix: str, head: str):
    """Whether a file has a head and a pooler, its names alone tell; and the least that there is of token types."""

    def to_ours(theirs: Json, names: Collection[str]) -> Json:
        has_head = any(name.startswith(head) for name in names)
        return {
            "head": "transform" if has_head else "none",
            "head_bias": has_head,
            "pooler": f"{prefix}pooler.dense.weight" in names,
            "num_token_types": max(1, take(theirs, "type_vocab_size", int, 2)),  # transformers cannot do without
        }

    return to_ours


def roberta_positions(theirs: Json) -> Json:
    """Positions start after the padding's id, and the rows before the first are counted."""
    offset = take(theirs, "pad_token_id", int, 1) + 1
    return {"position_offset": offset, "max_length": take(theirs, "max_position_embeddings", int, 512) - offset}


def roberta_positions_json(config: TransformerConfig) -> Json:
    return {
        "pad_token_id": config.position_offset - 1,
        "max_position_embeddings": config.max_length + config.position_offset,
    }


BERT = Family(
    model_type="bert",
    classes={"transform": "BertForMaskedLM", "none": "BertModel"},
    fields=(
        *FIELDS,
        Field("max_position_embeddings", "max_length", 512),
        Field(
            "hidden_act",
            "activation",
            "gelu",
            {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"},
        ),
    ),
    always=ALWAYS,
    only=ABSOLUTE,
    ignored=IGNORED
    | {"directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers"}
    | {"pooler_size_per_head", "pooler_type"},
    rows=rows("bert.", "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions"),
    prefix="bert.",
    heads=("cls.",),
    copies={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    buffers=(r"bert\.embeddings\.(position_ids|token_type_ids)", r"cls\.predictions\.bias"),  # untied, it is not used
    left_out=(r"cls\.seq_relationship\.(weight|bias)",),
    renamed=OLD_NAMES,
    to_ours=parts("bert.", "cls.predictions."),
)
ROBERTA = Family(
    model_type="roberta",
    classes={"transform": "RobertaForMaskedLM", "none": "RobertaModel"},
    fields=(*FIELDS, Field("hidden_act", "activation", "gelu", {"gelu": "gelu"})),
    always=ALWAYS,
    only=ABSOLUTE,
    ignored=IGNORED | {"max_position_embeddings"},
    rows=rows("roberta.", "lm_head.dense", "lm_head.layer_norm", "lm_head"),
    prefix="roberta.",
    heads=("lm_head.",),
    copies={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    buffers=(r"roberta\.embeddings\.(position_ids|token_type_ids)", r"lm_head\.bias"),
    renamed=OLD_NAMES,
    to_ours=lambda theirs, names: parts("roberta.", "lm_head.")(theirs, names) | roberta_positions(theirs),
    to_theirs=roberta_positions_json,
)
