"""The class of a text, read at one of its places: the first of an encoder (BERT's [CLS]), the last of a decoder (GPT)."""

import jax
import jax.numpy as jnp
import numpy as np

from data.batches import PackedRows, PrepareRow, Row
from data.tokenizer import Tokenizer
from metrics import classification_metrics
from tasks.cross_entropy import token_loss
from tasks.task import Apply, Batch, CorruptionConfig, LossConfig, Params, Task


def prepare(packed: PackedRows, tokenizer: Tokenizer, config: CorruptionConfig, network: str) -> PrepareRow:
    """The class is the target of the one place that sees the whole text; no other has a weight.

    `balance` [T] makes all classes count alike: examples over classes times the examples of the class. In an encoder's row
    that place is what stands before a text: the tokenizer's own ([CLS]), where it has one.
    """
    counts = np.bincount(np.concatenate([text.labels for text in packed.texts]))
    balance = (counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype(np.float32)  # 1 on average
    before = tokenizer.prefix[0] if network == "encoder" and tokenizer.prefix else tokenizer.end_of_text

    def label_row(row: Row, generator: np.random.Generator) -> Row:
        segments = row["segment_ids"]
        first = (row["positions"] == 0) & (segments > 0)
        last = (segments > 0) & (np.append(segments[1:], 0) != segments)
        weights = (first if network == "encoder" else last).astype(np.float32)
        inputs = np.where(first, before, row["inputs"]).astype(np.int32)
        arrays = {name: row[name] for name in ("positions", "segment_ids")}
        return {
            "inputs": inputs,
            "targets": row["labels"],
            **arrays,
            "weights": weights,
            "balance": balance[row["labels"]],
        }

    return label_row


def class_loss(apply: Apply, params: Params, batch: Batch, key: jax.Array | None, config: LossConfig):
    """The cross-entropy of the classes; with loss.class_weights="balanced" each class counts as much in what is minimized."""
    objective, values = token_loss(apply, params, batch, key, config)
    return objective * batch["balance"] if config.class_weights == "balanced" else objective, values


def predict(apply: Apply, params: Params, batch: Batch) -> dict[str, jax.Array]:
    """At each place the likeliest class, int32 [B, T], and its probability, float32 [B, T]."""
    probabilities_BTC = jax.nn.softmax(apply(params, batch, None).logits_BTV)
    return {"prediction": probabilities_BTC.argmax(-1).astype(jnp.int32), "probability": probabilities_BTC.max(-1)}


def score(answers: dict[str, np.ndarray]) -> dict[str, float]:
    return classification_metrics(answers["targets"], answers["prediction"])


CLASSIFICATION = Task(
    ("encoder", "decoder"), prepare, class_loss, examples="labels", head="classes", predict=predict, score=score
)
