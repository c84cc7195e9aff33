"""The answer to a question as a span of a text: where it begins and ends (Devlin et al. 2018, arXiv:1810.04805, 4.2)."""

import jax
import jax.numpy as jnp
import numpy as np

from data.batches import PackedRows, PrepareRow, Row
from data.forms.answers import BEGINS, BEHIND, ENDS, READ
from data.tokenizer import Tokenizer
from metrics import span_accuracy
from tasks.places import before_text, first_places, marks_of_inputs
from tasks.task import Apply, Batch, CorruptionConfig, LossConfig, Params, Task


def prepare(packed: PackedRows, tokenizer: Tokenizer, config: CorruptionConfig, network: str) -> PrepareRow:
    """The targets are 1 where an answer begins and 2 where it ends (3: both); without one both are at the first place.

    `types` [T] is 1 for the text and what stands behind it, as BERT has it, `context` [T] (bool) where an answer may be.
    Weights are such that each window counts 1, evenly over its places.
    """

    def point(row: Row, generator: np.random.Generator) -> Row:
        segments, first, marks = row["segment_ids"], first_places(row), marks_of_inputs(row, 0)
        sizes = np.bincount(segments)[segments]
        answered = np.zeros(segments.max(initial=0) + 1, bool)
        answered[segments[(marks & BEGINS) > 0]] = True
        targets = np.where(first & ~answered[segments], BEGINS + ENDS, marks & (BEGINS + ENDS))
        return before_text(row, tokenizer, network) | {
            "targets": targets.astype(np.int32),
            "types": ((marks & (READ + BEHIND)) > 0).astype(np.int32),
            "context": (marks & READ) > 0,
            "weights": np.where(segments > 0, 1 / sizes, 0).astype(np.float32),
        }

    return point


def segment_logsumexp(x_BT: jax.Array, segments_BT: jax.Array) -> jax.Array:
    """At each place the logsumexp of x over its segment, float32 [B, T]."""

    def of_row(x_T: jax.Array, segments_T: jax.Array) -> jax.Array:
        most = len(x_T) + 1
        highest = jax.lax.stop_gradient(jax.ops.segment_max(x_T, segments_T, most))[segments_T]
        return highest + jnp.log(jax.ops.segment_sum(jnp.exp(x_T - highest), segments_T, most)[segments_T])

    return jax.vmap(of_row)(x_BT, segments_BT)


def span_loss(apply: Apply, params: Params, batch: Batch, key: jax.Array | None, config: LossConfig):
    """The mean of two cross-entropies over the places of a window: of where the answer begins, and of where it ends.

    Each stands at its target's place. Label smoothing and z-loss are as in `cross_entropy`, with places for classes.
    """
    logits_BTC = apply(params, batch, key).logits_BTV.astype(jnp.float32)
    targets, weights = batch["targets"], batch["weights"]
    loss = objective = jnp.zeros(targets.shape, jnp.float32)
    for side, mark in enumerate((BEGINS, ENDS)):
        log_normalizer = segment_logsumexp(logits_BTC[..., side], batch["segment_ids"])
        surprise = log_normalizer - logits_BTC[..., side]
        at_target = jnp.where((targets & mark) > 0, surprise, 0) / 2
        loss += at_target
        smoothing = config.label_smoothing
        objective += (1 - smoothing) * at_target
        objective += weights * (smoothing * surprise + config.z_loss * jnp.square(log_normalizer)) / 2
    return objective, {"loss": loss, "weight": weights}


def predict(apply: Apply, params: Params, batch: Batch) -> dict[str, jax.Array]:
    """At each place how much speaks for an answer that begins or ends there ("start", "end": logits, float32 [B, T]).

    And where a window begins ("first") and where its answer may be ("context"), bool [B, T].
    """
    logits_BTC = apply(params, batch, None).logits_BTV.astype(jnp.float32)
    sides = {name: logits_BTC[..., side] for side, name in enumerate(("start", "end"))}
    return sides | {"first": batch["positions"] == 0, "context": batch["context"]}


QUESTION_ANSWERING = Task(
    ("encoder",),
    prepare,
    span_loss,
    examples="answers",
    head="classes",
    outputs=2,
    pooled=False,
    predict=predict,
    score=span_accuracy,
    figures=("span_accuracy",),
)
