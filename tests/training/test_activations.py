"""What flows through the layers, against the network written again in NumPy, and in a run."""

import dataclasses

import jax
import numpy as np
import pytest

from common.errors import ConfigError
from model.parameters import abstract_params
from tests.model import reference
from tests.model.networks import NETWORKS, float32, random_params
from training.activations import make_activation_step
from training.metrics_writer import read_metrics
from training.sharding import MeshConfig, make_mesh, put_batch

TITLES = {"attention": "attention_logit_max", "cross_attention": "cross_attention_logit_max"}


def packed_batch(rows=4, length=10):
    """Two texts a row, and padding behind them; the encoder's are shorter."""
    rng, batch = np.random.default_rng(0), {}
    for side, first, both in (("", 4, 8), ("encoder_", 3, 7)):
        places = np.arange(length)
        segments = np.where(places < first, 1, np.where(places < both, 2, 0))
        positions = np.where(segments == 2, places - first, places) * (segments > 0)
        batch |= {
            f"{side}inputs": rng.integers(0, 24, (rows, length)).astype(np.int32),
            f"{side}positions": np.tile(positions.astype(np.int32), (rows, 1)),
            f"{side}segment_ids": np.tile(segments.astype(np.int32), (rows, 1)),
        }
    return batch


def by_hand(params, config, batch) -> dict[str, float]:
    arrays: dict[tuple, list[np.ndarray]] = {}

    def look(what, stack, layer, segments, array):
        real = array[segments > 0] if what == "residual" else array
        arrays.setdefault((what, stack, layer), []).append(real.ravel())

    sides = [
        tuple(batch[f"{side}{name}"] for name in ("inputs", "positions", "segment_ids")) for side in ("", "encoder_")
    ]
    source = sides[1] if config.network == "encoder-decoder" else None
    reference.forward(params, config, *sides[0], source, look)
    found = {}
    for (what, stack, layer), parts in arrays.items():
        values = np.concatenate(parts)
        if what == "residual":
            found[f"residual_rms/{stack}/{layer}"] = np.sqrt(np.mean(values**2))
            found[f"residual_max/{stack}/{layer}"] = np.abs(values).max()
        else:
            found[f"{TITLES[what]}/{stack}/{layer}"] = values.max()
    return found


@pytest.mark.parametrize("kind, scan", [("llama", False), ("bert", True), ("t5", True)])
def test_statistics_against_numpy(kind, scan):
    """Grouped heads, biases by distance, packed texts; over eight devices where the network can be divided."""
    config = dataclasses.replace(NETWORKS[kind], scan_layers=scan, remat="full" if scan else "none")
    params, batch = random_params(abstract_params(config)), packed_batch()
    if config.network != "encoder-decoder":
        batch = {name: array for name, array in batch.items() if not name.startswith("encoder_")}
    expected = by_hand(params, config, packed_batch())
    assert len(expected) == {"decoder": 2 * 3, "encoder": 2 * 3, "encoder-decoder": 3 + 2 * 4}[config.network]
    mesh = make_mesh(MeshConfig(2, 2, 2) if scan else MeshConfig(1, 1, 1))
    found = jax.jit(make_activation_step(config, mesh))(float32(params), put_batch(mesh, batch, 4))
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, rel=1e-4)


def test_a_run_reports_them_and_is_the_same(begin):
    changes = {"training__num_steps": 4, "training__log_every": 1}
    plain, looked = begin("plain", **changes), begin("looked", **changes, training__activations_every=2)
    assert plain.train() == looked.train() == 0
    lines, others = (
        [line for line in read_metrics(trainer.folder.metrics) if line["split"] == "train"]
        for trainer in (looked, plain)
    )
    assert [line["loss"] for line in lines] == [line["loss"] for line in others]
    names = {f"{name}/decoder/{n}" for name in ("residual_rms", "residual_max", TITLES["attention"]) for n in (0, 1)}
    assert [names & line.keys() for line in lines] == [set(), names, set(), names]
    assert not any(names & line.keys() for line in others)
    state = looked.checkpoints.restore(looked.abstract, pytest.fail)
    after = looked.activations(state.params, looked.batch(3, 8))
    assert {name: float(value) for name, value in after.items()} == pytest.approx(
        {name: lines[-1][name] for name in names}, rel=1e-6
    )
    with pytest.raises(ConfigError, match=r"training\.activations_every=3 must be a multiple of log_every=2, or 0"):
        begin("refused", training__log_every=2, training__activations_every=3)
