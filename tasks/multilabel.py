"""Which classes a text is of, each for itself: none, one or several."""

import jax
import jax.numpy as jnp
import numpy as np

from metrics import multilabel_metrics
from tasks.places import whole_text
from tasks.task import Apply, Batch, LossConfig, Params, Task


def binary_cross_entropy(apply: Apply, params: Params, batch: Batch, key: jax.Array | None, config: LossConfig):
    """The mean over the classes of -log p(target), of `targets` [B, T, C] in {0, 1}, in nats: float32 [B, T].

    Label smoothing draws what is learned, not what is reported, towards 1/2.
    """
    logits_BTC = apply(params, batch, key).logits_BTV
    targets_BTC, weights = batch["targets"].astype(logits_BTC.dtype), batch["weights"]
    base_BTC = jax.nn.softplus(logits_BTC)
    smoothed_BTC = targets_BTC * (1 - config.label_smoothing) + config.label_smoothing / 2
    loss, objective = ((base_BTC - logits_BTC * wanted).mean(-1) * weights for wanted in (targets_BTC, smoothed_BTC))
    return objective, {"loss": loss, "weight": weights}


def predict(apply: Apply, params: Params, batch: Batch) -> dict[str, jax.Array]:
    """At each place the probability of each class, float32 [B, T, C], and whether it is above 1/2, int32 [B, T, C]."""
    probability_BTC = jax.nn.sigmoid(apply(params, batch, None).logits_BTV)
    return {"prediction": (probability_BTC > 0.5).astype(jnp.int32), "probability": probability_BTC}


def score(answers: dict[str, np.ndarray]) -> dict[str, float]:
    return multilabel_metrics(answers["targets"], answers["prediction"])


MULTILABEL = Task(
    ("encoder", "decoder"),
    whole_text,
    binary_cross_entropy,
    examples="label_sets",
    head="classes",
    predict=predict,
    score=score,
    figures=("micro_f1", "macro_f1", "exact_match"),
)
