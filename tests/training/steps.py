"""The step of a small network, as it is compiled."""

import numpy as np

from tasks import TASKS
from training.optimizer import make_optimizer
from training.sharding import put_batch
from training.step import abstract_state, make_train_step


def step_and_arguments(model, task, rows, length, mesh, config):
    """The step, the abstract state and a batch [rows, length]; loss and optimizer are those of a run's config."""
    ids = np.zeros((rows, length), np.int32)
    sides = ["", "encoder_"] if task == "span_corruption" else [""]
    batch = {side + name: ids for side in sides for name in ("inputs", "positions", "segment_ids")}
    batch |= {"targets": ids, "weights": np.ones((rows, length), np.float32)}
    optimizer = make_optimizer(config.optimizer, 10)
    step = make_train_step(model, TASKS[task], config.loss, optimizer, 1, mesh)
    return step, abstract_state(model, optimizer, 0, mesh), put_batch(mesh, batch, rows)
