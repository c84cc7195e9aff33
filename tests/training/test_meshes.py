"""Meshes that can be made, and what one that cannot be, or that does not divide a run, is told."""

import types

import jax
import pytest

from common.errors import ConfigError
from training.sharding import MeshConfig, make_mesh


@pytest.mark.parametrize(
    "config, shape",
    [((-1, 1, 1), (8, 1, 1)), ((1, -1, 2), (1, 4, 2)), ((2, 2, -1), (2, 2, 2)), ((3, 1, 1), (3, 1, 1))],
)
def test_meshes(config, shape):
    assert tuple(make_mesh(MeshConfig(*config)).shape.values()) == shape


@pytest.mark.parametrize(
    "config, message",
    [
        ((16, 1, 1), "mesh.data=16 mesh.fsdp=1 mesh.tensor=1 asks for 16 devices, but 8 are here"),
        ((3, -1, 1), "mesh.data=3 mesh.fsdp=-1 mesh.tensor=1: 3 does not divide the 8 devices"),
        ((4, 4, -1), "16 does not divide the 8 devices"),
    ],
)
def test_meshes_that_cannot_be(config, message):
    with pytest.raises(ConfigError, match=message):
        make_mesh(MeshConfig(*config))


def test_a_mesh_that_leaves_a_process_without_devices_is_refused(monkeypatch):
    hosts = [types.SimpleNamespace(process_index=number // 4) for number in range(8)]
    monkeypatch.setattr("jax.devices", lambda: hosts)
    monkeypatch.setattr("jax.process_count", lambda: 2)
    with pytest.raises(ConfigError, match="leaves some of the 2 processes without a device; take all 8"):
        make_mesh(MeshConfig(4, 1, 1))


@pytest.mark.parametrize(
    "config, message",
    [((0, 1, 1), "data=0 must be at least 1"), ((1, -2, 1), "fsdp=-2 must be"), ((-1, -1, 1), "only one of")],
)
def test_mesh_sizes_that_make_no_sense(config, message):
    with pytest.raises(ConfigError, match=message):
        MeshConfig(*config)


@pytest.fixture
def compiled():
    """Fills with the seconds of each compilation."""
    seconds = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            seconds.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return seconds


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"mesh__tensor": 8},
            "mesh.tensor=8 does not divide the kv_heads axis of .*key/kernel, which is 2; .* for model.num_kv_heads",
        ),
        (
            {"mesh__fsdp": 8, "model__embed_dim": 20},
            "mesh.fsdp=8 does not divide the embed axis of .*, which is 20; .* for model.embed_dim",
        ),
        (
            {"mesh__tensor": 4, "model__num_heads": 4, "model__mlp_dim": 18},
            "mesh.tensor=4 does not divide the mlp axis of .* for model.mlp_dim",
        ),
        (
            {"mesh__tensor": 2, "model__num_kv_heads": 1},
            "mesh.tensor=2 does not divide the kv_heads axis of .*, which is 1",
        ),
        (
            {"mesh__tensor": 2, "model__vocab_size": 33},
            "which is 33; take a divisor of it, or a multiple of 2 for model.vocab_size",
        ),
        ({"mesh__data": 8, "training__batch_size": 12}, "training.batch_size=12 must be a multiple of 8"),
        (
            {"mesh__data": 2, "training__microbatches": 8},
            "training.batch_size=8 must be a multiple of 16: training.microb",
        ),
        ({"mesh__data": 9, "training__batch_size": 9}, "asks for 9 devices, but 8 are here"),
    ],
)
def test_what_the_mesh_cannot_divide_is_said_before_anything_is_compiled(changes, message, make_trainer, compiled):
    with pytest.raises(ConfigError, match=message):
        make_trainer(**changes)
    assert compiled == []


def test_the_guard_above_sees_compilations(compiled):
    jax.jit(lambda x: x * 7 + 3)(2)
    assert compiled
