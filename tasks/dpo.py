"""Direct preference optimization: of two answers the better one becomes likelier than it was, against the worse one.

Rafailov et al. 2023 (arXiv:2305.18290), equation 7; the reference is the network that the run starts from.
"""

import jax
import jax.numpy as jnp
import numpy as np

from common.errors import require
from data.batches import PackedRows, PrepareRow, Row
from data.forms.preferences import CHOSEN, END, REJECTED
from data.tokenizer import Tokenizer
from tasks.cross_entropy import token_loss
from tasks.task import Apply, Batch, CorruptionConfig, LossConfig, Params, Task


def prepare(packed: PackedRows, tokenizer: Tokenizer, config: CorruptionConfig, network: str) -> PrepareRow:
    """The pair of a row becomes two segments, which do not see each other; its first place alone has a weight, for the pair.

    `chosen` and `rejected`, float32 [T], are 1 at the targets of these answers; `reference`, float32 [2], are their
    log-probabilities under the reference.

    Raises:
        ConfigError: there are several pairs in a row.
    """
    alone = all((counts == 1).all() for _, _, counts in packed.pieces())
    require(alone, "task='dpo' takes one pair a row; set data.packing=pad")
    return split_row


def split_row(row: Row, generator: np.random.Generator) -> Row:
    marks, segments, places = row["marks"], row["segment_ids"], np.arange(len(row["marks"]))
    begin = int(np.argmax(marks & END)) + 1  # of the second text
    second = (segments > 0) & (places >= begin)
    return {
        "inputs": row["inputs"],
        "targets": row["targets"],
        "positions": np.where(second, places - begin, row["positions"]).astype(np.int32),
        "segment_ids": segments + second.astype(np.int32),
        "weights": row["weights"] * (places == 0),
        "chosen": (marks & CHOSEN > 0).astype(np.float32),
        "rejected": (marks & REJECTED > 0).astype(np.float32),
        "reference": row["labels"][0],
    }


def log_probs(
    apply: Apply, params: Params, batch: Batch, key: jax.Array | None, config: LossConfig
) -> tuple[jax.Array, jax.Array]:
    """The log-probabilities of the chosen and of the rejected answers in nats, float32 [B] each."""
    learned = batch | {"weights": batch["chosen"] + batch["rejected"]}
    _, values = token_loss(apply, params, learned, key, config)
    return -(values["loss"] * batch["chosen"]).sum(-1), -(values["loss"] * batch["rejected"]).sum(-1)


def preference_loss(apply: Apply, params: Params, batch: Batch, key: jax.Array | None, config: LossConfig):
    """-log sigmoid(beta margin) of each pair, log 2 where the network is the reference.

    The margin is by how many nats the log-probability of the chosen answer has grown more than that of the rejected one; the
    reward is accurate where it is above 0. `loss.label_smoothing` is the share of pairs that are believed to be labelled the
    wrong way round (Mitchell 2023, "A note on DPO with noisy preferences").
    """
    chosen_B, rejected_B = log_probs(apply, params, batch, key, config)
    margin_B = (chosen_B - batch["reference"][:, 0]) - (rejected_B - batch["reference"][:, 1])
    loss_B, flipped_B = (-jax.nn.log_sigmoid(sign * config.dpo_beta * margin_B) for sign in (1, -1))
    objective_B = (1 - config.label_smoothing) * loss_B + config.label_smoothing * flipped_B
    of_pairs = {"loss": loss_B, "reward_accuracy": (margin_B > 0).astype(jnp.float32), "margin": margin_B}
    of_pairs |= {"chosen": chosen_B, "rejected": rejected_B}  # log-probabilities: asked of the reference
    values = {name: values_B[:, None] * batch["weights"] for name, values_B in of_pairs.items()}
    return objective_B[:, None] * batch["weights"], values | {"weight": batch["weights"]}


def score(answers: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(answers[name].mean(dtype=np.float64)) for name in FIGURES}


FIGURES = ("reward_accuracy", "margin")
DPO = Task(
    ("decoder",),
    prepare,
    preference_loss,
    examples="preferences",
    score=score,
    figures=FIGURES,
    has_reference=True,
)
