"""The class of a text, read at one of its places: the first of an encoder (BERT's [CLS]), the last of a decoder (GPT)."""

import jax
import jax.numpy as jnp
import numpy as np

from data.batches import PackedRows, PrepareRow, Row
from data.tokenizer import Tokenizer
from metrics import classification_metrics
from tasks.cross_entropy import token_loss
from tasks.places import whole_text
from tasks.task import Apply, Batch, CorruptionConfig, LossConfig, Params, Task


def prepare(packed: PackedRows, tokenizer: Tokenizer, config: CorruptionConfig, network: str) -> PrepareRow:
    """`whole_text`, and `balance` [T], which makes all classes count alike: examples over classes times those of the class."""
    counts = np.bincount(np.concatenate([text.labels for text in packed.texts]))
    balance = (counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype(np.float32)  # 1 on average
    label_row = whole_text(packed, tokenizer, config, network)

    def balanced_row(row: Row, generator: np.random.Generator) -> Row:
        return label_row(row, generator) | {"balance": balance[row["labels"]]}

    return balanced_row


def class_loss(apply: Apply, params: Params, batch: Batch, key: jax.Array | None, config: LossConfig):
    """The cross-entropy of the classes; with loss.class_weights="balanced" each class counts as much in what is minimized."""
    objective, values = token_loss(apply, params, batch, key, config)
    return objective * batch["balance"] if config.class_weights == "balanced" else objective, values


def predict(apply: Apply, params: Params, batch: Batch) -> dict[str, jax.Array]:
    """At each place the likeliest class, int32 [B, T], and the probability of each, float32 [B, T, C]."""
    probability_BTC = jax.nn.softmax(apply(params, batch, None).logits_BTV)
    return {"prediction": probability_BTC.argmax(-1).astype(jnp.int32), "probability": probability_BTC}


FIGURES = ("accuracy", "macro_f1")


def score(answers: dict[str, np.ndarray]) -> dict[str, float]:
    found = classification_metrics(answers["targets"], answers["prediction"])
    return {name: found[name] for name in FIGURES}


CLASSIFICATION = Task(
    ("encoder", "decoder"),
    prepare,
    class_loss,
    examples="labels",
    head="classes",
    predict=predict,
    score=score,
    figures=FIGURES,
)
