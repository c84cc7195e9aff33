"""A number of a text, such as a grade: one output, read where a class would be."""

import jax
import jax.numpy as jnp
import numpy as np

from metrics import regression_metrics
from tasks.places import whole_text
from tasks.task import Apply, Batch, LossConfig, Params, Task


def squared_error(apply: Apply, params: Params, batch: Batch, key: jax.Array | None, config: LossConfig):
    """The square of what is between the output and `targets`, float32 [B, T], counted by `weights`."""
    differences = apply(params, batch, key).logits_BTV[..., 0] - batch["targets"]
    loss = jnp.square(differences) * batch["weights"]
    return loss, {"loss": loss, "weight": batch["weights"]}


def predict(apply: Apply, params: Params, batch: Batch) -> dict[str, jax.Array]:
    """The output at each place, float32 [B, T]."""
    return {"prediction": apply(params, batch, None).logits_BTV[..., 0]}


def score(answers: dict[str, np.ndarray]) -> dict[str, float]:
    return regression_metrics(answers["targets"], answers["prediction"])


REGRESSION = Task(
    ("encoder", "decoder"),
    whole_text,
    squared_error,
    examples="scores",
    head="classes",
    outputs=1,
    predict=predict,
    score=score,
    figures=("mse", "pearson", "spearman"),
)
