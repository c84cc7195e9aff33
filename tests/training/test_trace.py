"""A trace holds the steps that it says, is written however the run ends, and changes nothing."""

import gzip
import json

import jax
import numpy as np

from training.loop import Trainer
from training.trace import BEFORE, STEPS


def steps_in(folder) -> list[int]:
    (file,) = folder.glob("plugins/profile/*/*.trace.json.gz")
    events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    assert any(event.get("name") == "waiting for a batch" for event in events)
    return sorted(int(event["args"]["step_num"]) for event in events if event.get("name") == "train")


def profiled(trainer: Trainer) -> Trainer:
    trainer.profile = True
    return trainer


def test_a_few_steps_are_traced_and_nothing_is_changed(make_trainer):
    plain, traced = make_trainer("plain"), profiled(make_trainer("traced", training__num_steps=6))
    assert plain.train() == traced.train() == 0
    assert steps_in(traced.folder.path / "profile") == list(range(BEFORE + 1, 7))  # the run ends within it
    assert not (plain.folder.path / "profile").exists()
    states = [trainer.checkpoints.restore(trainer.abstract, print) for trainer in (plain, traced)]
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_a_resumed_run_traces_its_own_steps(make_trainer):
    changes = {"training__num_steps": 12, "optimizer__schedule": "constant"}
    make_trainer(**changes | {"training__num_steps": 3}).train()
    trainer = profiled(make_trainer(**changes))
    assert trainer.train() == 0
    first = 3 + BEFORE + 1
    assert steps_in(trainer.folder.path / "profile") == list(range(first, first + STEPS))
