"""The table is complete, and a run is the same on one device and on eight, with its parameters really divided."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from model import TransformerConfig, presets
from model.parameters import abstract_params, parameter_path
from tasks import TASKS
from training.optimizer import make_optimizer
from training.sharding import (
    MESH_OF,
    PARAMETER_AXES,
    SETTING_OF,
    MeshConfig,
    batch_divisor,
    local_rows,
    logical_axes,
    make_mesh,
    parameter_shardings,
    put_batch,
)
from training.step import abstract_state, compile_train_step, init_state, make_train_step, shardings_of

KINDS = {
    "gpt2": presets.gpt2(),
    "llama": presets.llama("llama3-8b"),
    "tied llama": presets.llama("llama3.2-1b"),
    "biases on every norm": TransformerConfig(7, 8, 8, 2, 1, norm="layernorm", qk_norm=True, position="learned"),
    "untied with qk_norm": TransformerConfig(
        7,
        8,
        8,
        4,
        1,
        num_kv_heads=2,
        norm="rmsnorm",
        qk_norm=True,
        tie_embeddings=False,
        activation="geglu",
        use_bias=True,
    ),
    "classes": TransformerConfig(7, 8, 8, 2, 1, head="classes", num_classes=5),
    "2017": TransformerConfig(7, 8, 8, 2, 2, 2, norm_position="post", position="sinusoidal", activation="relu"),
    "bert": TransformerConfig(
        7,
        8,
        8,
        2,
        encoder_layers=2,
        norm_position="post",
        embedding_norm=True,
        num_token_types=3,
        head="transform",
        head_bias=True,
        pooler=True,
    ),
    "t5": TransformerConfig(7, 8, 8, 2, 2, 2, norm="rmsnorm", position="relative_bias", use_bias=False),
}


def paths(tree):
    return [(parameter_path(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_matches_one_row(kind):
    for name, leaf in paths(abstract_params(KINDS[kind])):
        axes = logical_axes(name)
        assert len(axes) == leaf.ndim, name
        sizes = dict(zip(axes, leaf.shape, strict=True))
        config = KINDS[kind]
        expected = {
            "layer": config.decoder_layers or config.encoder_layers,
            "embed": config.embed_dim,
            "heads": config.num_heads,
            "kv_heads": config.num_kv_heads,
            "head": config.head_dim,
            "mlp": config.mlp_dim,
            "vocab": config.vocab_size,
            "features": config.embed_dim,
            "position": config.max_length,
            "type": config.num_token_types,
            "bucket": config.relative_buckets,
            "classes": config.num_classes,
        }
        assert sizes == {axis: expected[axis] for axis in axes}, name


def test_every_axis_that_is_divided_has_a_setting():
    divided = {axis for axis, mesh_axis in MESH_OF.items() if mesh_axis and axis != "batch"}
    assert SETTING_OF.keys() == divided
    assert all(hasattr(MODEL, name) for name in SETTING_OF.values())


def test_every_row_is_needed():
    names = [name for config in KINDS.values() for name, _ in paths(abstract_params(config))]
    for pattern, _ in PARAMETER_AXES:
        assert any(re.search(rf"(^|/){pattern}$", name) for name in names), pattern


@pytest.mark.parametrize(
    "name", ["decoder/blocks/mlp/sideways/kernel", "decoder/blocks/lookahead/kernel", "final_norm/scale/extra", ""]
)
def test_a_made_up_name_fails(name):
    with pytest.raises(KeyError, match="matches 0 rows of PARAMETER_AXES"):
        logical_axes(name)


def test_a_name_that_two_rows_match_fails(monkeypatch):
    monkeypatch.setattr(
        "training.sharding.PARAMETER_AXES", (*PARAMETER_AXES, (r"up/kernel", ("layer", "embed", "mlp")))
    )
    with pytest.raises(KeyError, match="decoder/blocks/mlp/up/kernel matches 2 rows"):
        logical_axes("decoder/blocks/mlp/up/kernel")


def test_a_wrong_number_of_axes_fails():
    mesh = make_mesh(MeshConfig(1, 1, 1))
    with pytest.raises(KeyError, match=r"head/output/kernel has shape \(2, 2, 2\)"):
        parameter_shardings(mesh, {"head": {"output": {"kernel": jax.ShapeDtypeStruct((2, 2, 2), np.float32)}}})


# A model that every mesh of eight divides, with dropout: its masks, too, must not depend on the devices.
MODEL = TransformerConfig(
    vocab_size=32,
    max_length=16,
    decoder_layers=2,
    embed_dim=16,
    num_heads=8,
    head_dim=4,
    mlp_dim=32,
    norm="rmsnorm",
    use_bias=False,
    tie_embeddings=False,
    dropout=0.1,
    activation="swiglu",
)
MESHES = [
    (2, 2, 2),
    *(pytest.param(sizes, marks=pytest.mark.slow) for sizes in ((8, 1, 1), (1, 8, 1), (1, 1, 8), (4, 1, 2))),
]


def random_batch(step, batch_size=8):
    rng = np.random.default_rng(step)
    tokens = rng.integers(0, MODEL.vocab_size, (batch_size, 17)).astype(np.int32)
    lengths = rng.integers(2, 17, (batch_size, 1))  # ragged
    real = np.arange(16) < lengths
    return {
        "inputs": tokens[:, :-1],
        "targets": tokens[:, 1:],
        "positions": np.broadcast_to(np.arange(16, dtype=np.int32), (batch_size, 16)).copy(),
        "segment_ids": real.astype(np.int32),
        "weights": real.astype(np.float32),
    }


def ten_steps(sizes, config):
    """Losses and the last state of ten steps on a mesh."""
    mesh = make_mesh(MeshConfig(*sizes))
    optimizer = make_optimizer(dataclasses.replace(config.optimizer, warmup_steps=2), 10)
    abstract = abstract_state(MODEL, optimizer, 0, mesh)
    state = jax.jit(lambda: init_state(MODEL, optimizer, 0), out_shardings=shardings_of(abstract))()
    step = make_train_step(MODEL, TASKS["causal_lm"], config.loss, optimizer, 1, mesh)
    step = compile_train_step(step, abstract, put_batch(mesh, random_batch(0), 8))
    losses = []
    for number in range(10):
        before = state
        state, metrics = step(state, put_batch(mesh, random_batch(number), 8))
        losses.append(float(metrics["loss"]))
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves((before.params, before.optimizer)))  # donated
    return losses, state


@pytest.fixture(scope="module")
def one_device():
    """Filled by the first test that needs it."""
    return {}


@pytest.mark.parametrize("sizes", MESHES)
def test_a_run_on_eight_devices_is_the_run_on_one(sizes, run_config, one_device):
    if not one_device:
        one_device["losses"], one_device["state"] = ten_steps((1, 1, 1), run_config())
    losses, state = ten_steps(sizes, run_config())
    assert len(set(losses)) == 10  # it moves
    np.testing.assert_allclose(losses, one_device["losses"], rtol=1e-5)

    _, fsdp, tensor = sizes
    parts = {"embed": fsdp, "heads": tensor, "kv_heads": tensor, "mlp": tensor, "vocab": tensor}
    expected = {}
    for name, leaf in paths(state.params):
        axes = logical_axes(name)
        expected[name] = tuple(size // parts.get(axis, 1) for axis, size in zip(axes, leaf.shape, strict=True))
        assert len(leaf.addressable_shards) == 8
        assert {shard.data.shape for shard in leaf.addressable_shards} == {expected[name]}, name
    moments = 0
    for name, leaf in paths(state.optimizer):
        of = [parameter for parameter in expected if name.endswith("/" + parameter)]
        for parameter in of:
            moments += 1
            assert {shard.data.shape for shard in leaf.addressable_shards} == {expected[parameter]}, name
    assert moments == 2 * len(expected)  # AdamW's two
    total = sum(leaf.addressable_shards[0].data.size for _, leaf in paths(state.params))
    whole = sum(leaf.size for _, leaf in paths(state.params))
    assert total < whole if fsdp * tensor > 1 else total == whole


@pytest.mark.parametrize("sizes", [(1, 8, 1), (2, 4, 1)])
def test_each_device_computes_its_own_rows(sizes, run_config):
    """What devices tell each other is parameters and their gradients: nothing of the size of all rows' activations."""
    mesh, config, rows, length = make_mesh(MeshConfig(*sizes)), run_config(), 32, 16
    optimizer = make_optimizer(config.optimizer, 10)
    batch = put_batch(mesh, random_batch(0, rows), rows)
    step = make_train_step(MODEL, TASKS["causal_lm"], config.loss, optimizer, 1, mesh)
    program = compile_train_step(step, abstract_state(MODEL, optimizer, 0, mesh), batch).as_text()
    said = re.findall(
        r"= (.*?) (all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)(?:-start)?\(", program
    )
    assert {kind for _, kind in said} >= {"all-gather"}
    sizes_said = [
        int(size) for shapes, _ in said for dims in re.findall(r"\[([\d,]+)\]", shapes) for size in dims.split(",")
    ]
    assert sizes_said and max(sizes_said) < rows * length


@pytest.mark.slow
def test_microbatches_on_a_divided_mesh(run_config):
    """Four microbatches of two rows over two devices: the same metrics as one batch on one device."""
    config, results = run_config(), []
    for sizes, microbatches in (((1, 1, 1), 1), ((2, 1, 1), 4), ((1, 2, 2), 2)):
        mesh = make_mesh(MeshConfig(*sizes))
        optimizer = make_optimizer(config.optimizer, 10)
        model = dataclasses.replace(MODEL, dropout=0.0)
        abstract = abstract_state(model, optimizer, 0, mesh)
        state = jax.jit(lambda o=optimizer, m=model: init_state(m, o, 0), out_shardings=shardings_of(abstract))()
        batch = put_batch(mesh, random_batch(0), 8)
        step = make_train_step(model, TASKS["causal_lm"], config.loss, optimizer, microbatches, mesh)
        _, metrics = compile_train_step(step, abstract, batch)(state, batch)
        results.append({name: float(value) for name, value in metrics.items()})
    assert results[1] == pytest.approx(results[0], rel=1e-5)
    assert results[2] == pytest.approx(results[0], rel=1e-5)


def test_rows_of_a_batch(run_config):
    mesh = make_mesh(MeshConfig(4, 2, 1))
    assert batch_divisor(mesh) == 8
    assert local_rows(mesh, 16) == slice(0, 16)
    rows = {"inputs": np.arange(48, dtype=np.int32).reshape(16, 3)}
    put = put_batch(mesh, rows, 16)["inputs"]
    assert {shard.data.shape for shard in put.addressable_shards} == {(2, 3)}
    np.testing.assert_array_equal(put, rows["inputs"])
