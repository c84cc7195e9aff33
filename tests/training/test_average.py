"""The average of the weights, by hand and in runs, whose optimizer is Muon with bfloat16 momentum and a frozen table."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import ConfigError
from model.lora import LoraConfig, merge
from model.parameters import by_path
from tests.training.runs import left, valid_lines
from training.average import add_to_average, begin_average
from training.metrics_writer import read_metrics
from training.plan import Devices, plan
from training.trained_model import load_model

CHANGES = {
    "training__ema_decay": 0.4,
    "training__checkpoint_every": 1,
    "training__keep_checkpoints": 9,
    "optimizer__name": "muon",
    "optimizer__state_dtype": "bfloat16",
    "optimizer__schedule": "constant",
    "optimizer__learning_rate": 0.02,
    "optimizer__frozen": "token_embedding",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def states():
    """Those of steps 0 to 6 of the whole run, once it was made."""
    return []


@pytest.fixture
def whole(shared, states, begin):
    def make():
        trainer = begin("whole", **CHANGES)
        save = trainer.checkpoints.save
        states.append(jax.device_get(trainer.init()))
        trainer.checkpoints.save = lambda state, figures: (states.append(jax.device_get(state)), save(state, figures))
        return trainer

    return left(shared / "whole", make)


def assert_equal(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def losses(folder):
    return [line["loss"] for line in read_metrics(folder / "metrics.jsonl")]


def test_worked_by_hand():
    """From 1, then 2, 3 and, much later, 5: the share of what was is 2/11, then 3/12, then 0.9."""
    average, second = begin_average({"w": jnp.float32(1)}, True), 5 / 11 + 9 / 4
    for step, value, expected in ((1, 2, 20 / 11), (2, 3, second), (1000, 5, 0.9 * second + 0.5)):
        average = add_to_average(average, {"w": jnp.float32(value)}, jnp.int32(step), 0.9, True)
        assert float(average["w"]) == pytest.approx(expected, rel=1e-6)
    assert begin_average({"w": jnp.float32(1)}, False) == {} == add_to_average({}, {"w": 1.0}, jnp.int32(1), 0.0, True)


def test_what_a_run_averages_is_validated_and_read(whole, states, begin, tmp_path):
    """Worked out in NumPy from what each step has left."""
    expected = states[0].params
    for step, state in enumerate(states[1:], 1):
        d = min(0.4, (1 + step) / (10 + step))
        expected = jax.tree.map(lambda mean, leaf, d=d: d * mean + (1 - d) * leaf, expected, state.params)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7), state.average, expected)
    assert len(states) == 7
    last, said = states[-1], []
    assert_equal(load_model(str(whole), said.append).params, last.average)
    assert said == [f"{whole}, step 6: the averaged weights (training.ema_decay=0.4)"]
    trainer = begin("other", **CHANGES)
    assert trainer.evaluate(last.average)["loss"] == pytest.approx(valid_lines(whole)[-1]["loss"], rel=1e-6)
    assert trainer.evaluate(last.params)["loss"] != pytest.approx(valid_lines(whole)[-1]["loss"], rel=1e-4)
    for tree in (last.params, last.average):
        assert_equal(tree["token_embedding"], states[0].params["token_embedding"])
    assert {leaf.dtype.name for leaf in jax.tree.leaves(last.optimizer) if leaf.ndim} == {"float32", "bfloat16"}


def test_a_run_resumed_is_the_run_uninterrupted(whole, states, begin, said, tmp_path):
    shutil.copytree(whole, tmp_path / "resumed")
    for step in (4, 5, 6):
        shutil.rmtree(tmp_path / "resumed" / "checkpoints" / str(step))
    trainer = begin("resumed", **CHANGES)
    assert trainer.train() == 0 and "resuming at step 3 of 6" in said.lines
    again = begin("resumed", **CHANGES)
    assert_equal(jax.device_get(again.checkpoints.restore(again.abstract, pytest.fail)), states[-1])
    assert losses(trainer.folder.path) == losses(whole)
    with pytest.raises(ConfigError, match=r"training\.ema_decay: 0\.4 -> 0\.0"):
        begin("resumed", **CHANGES | {"training__ema_decay": 0.0})


def test_on_eight_devices_the_losses_are_the_same(whole, begin):
    trainer = begin("eight", drop=("mesh.",), **CHANGES, mesh__data=2, mesh__fsdp=2, mesh__tensor=2)
    leaves = by_path(trainer.init()).items()
    kernels = [leaf for path, leaf in leaves if path.endswith("decoder/blocks/mlp/up/kernel")]
    assert len(kernels) == 3, "itself, its momentum and its average"
    assert {tuple(leaf.sharding.spec) for leaf in kernels} == {(None, "fsdp", "tensor")}
    assert trainer.train() == 0
    assert losses(trainer.folder.path) == pytest.approx(losses(whole), rel=1e-3)


def test_losses_are_about_those_of_a_float32_momentum(whole, begin):
    trainer = begin("float32", **CHANGES | {"optimizer__state_dtype": "float32", "training__checkpoint_every": 6})
    assert trainer.train() == 0
    assert losses(trainer.folder.path) == pytest.approx(losses(whole), rel=1e-3)
    assert losses(trainer.folder.path) != losses(whole)


def test_adapters_of_an_averaged_run_are_averaged(whole, begin, said):
    """They begin at its average; what is read is the average of the factors, multiplied."""
    given = load_model(str(whole), lambda line: None).params
    changes = {"init_from": whole, "lora__rank": 2, "training__num_steps": 3, "optimizer__frozen": "()"}
    trainer = begin("lora", "base.py", ("model.", "tokenizer."), **CHANGES | changes)
    assert_equal(trainer.base.merged(trainer.init().params), given)
    assert trainer.train() == 0
    state = trainer.checkpoints.restore(trainer.abstract, pytest.fail)
    expected = merge(given, state.average, LoraConfig(2))
    found = load_model(str(trainer.folder.path), lambda line: None).params
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-7), found, expected)
    kernel = found["decoder"]["blocks"]["attention"]["query"]["kernel"]
    assert not np.array_equal(kernel, given["decoder"]["blocks"]["attention"]["query"]["kernel"])


def test_the_plan_counts_it(begin):
    trainer = begin("planned", **CHANGES)
    told = "\n".join(plan(trainer, Devices.read("1 x TPU v4"), 0.4))
    size = sum(leaf.size for leaf in jax.tree.leaves(trainer.abstract.params))
    blocks = sum(leaf.size for leaf in jax.tree.leaves(trainer.abstract.params["decoder"]["blocks"]) if leaf.ndim > 2)
    others = size - blocks - trainer.abstract.params["token_embedding"]["embedding"].size
    for line, number in (("averaged parameters", 4 * size), ("optimizer state", 2 * blocks + 6 * others + 8)):
        (shown,) = (each for each in told.splitlines() if each.startswith(line))
        assert shown == f"{line}: {number / 1024:.4g} KiB a device", shown
