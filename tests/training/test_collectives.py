"""What devices tell each other in a step, read from the compiled program: parameters one layer at a time, and no more."""

import re

import numpy as np
import pytest

import training.step
from model import TransformerConfig
from model.parameters import abstract_params, by_path
from tests.training.steps import step_and_arguments
from training.sharding import MeshConfig, batch_divisor, logical_axes, make_mesh
from training.step import compile_train_step

ROWS, LENGTH, LAYERS, VOCABULARY, WIDTH = 16, 24, 3, 416, 64
NETWORKS = {"causal_lm": (0, LAYERS), "masked_lm": (LAYERS, 0), "span_corruption": (LAYERS, LAYERS)}
KINDS = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"
# Each network on a mesh of all axes; on one axis at a time that which has all kinds of layers.
CASES = [
    *((task, (2, 2, 2)) for task in NETWORKS),
    *(pytest.param("span_corruption", sizes, marks=pytest.mark.slow) for sizes in ((8, 1, 1), (1, 8, 1), (1, 1, 8))),
]


def make_model(task):
    encoder, decoder = NETWORKS[task]
    return TransformerConfig(
        VOCABULARY,
        LENGTH,
        WIDTH,
        8,
        decoder,
        encoder,
        head_dim=10,
        mlp_dim=160,
        norm="rmsnorm",
        tie_embeddings=False,
        activation="swiglu",
        use_bias=False,
    )


def collectives(task, sizes, run_config):
    """Of each collective of the compiled step its kind, the elements of its result, and the shape."""
    mesh = make_mesh(MeshConfig(*sizes))
    program = compile_train_step(
        *step_and_arguments(make_model(task), task, ROWS, LENGTH, mesh, run_config())
    ).as_text()
    for results, kind in re.findall(rf"= (.*?) ({KINDS})(?:-start)?\(", program):
        for dims in re.findall(r"\[([\d,]*)\]", results):
            shape = tuple(int(size) for size in dims.split(",") if size)
            yield kind, int(np.prod(shape)), shape


def check(task, sizes, run_config):
    mesh = make_mesh(MeshConfig(*sizes))
    _, fsdp, tensor = sizes
    one_layer = set()  # elements of a parameter, of one layer, whole or as it is divided
    for path, leaf in by_path(abstract_params(make_model(task))).items():
        size = leaf.size // LAYERS if logical_axes(path)[0] == "layer" else leaf.size
        one_layer |= {size // parts for parts in (1, fsdp, tensor, fsdp * tensor)}
    here = ROWS // batch_divisor(mesh) * LENGTH  # the places that are a device's own
    activations = {here, here * WIDTH}
    found = list(collectives(task, sizes, run_config))
    for kind, size, shape in found:
        told = f"{kind} of {shape}"
        assert kind in ("all-gather", "all-reduce"), told
        if kind == "all-gather":
            assert fsdp > 1 and size in one_layer, told
        else:
            assert size in one_layer | {1} | (activations if tensor > 1 else set()), told
        assert not (VOCABULARY // tensor in shape and (LENGTH in shape or here in shape)), f"logits in an {told}"
    assert {kind for kind, _, _ in found} == ({"all-gather", "all-reduce"} if fsdp > 1 else {"all-reduce"})


@pytest.mark.parametrize(("task", "sizes"), CASES)
def test_devices_tell_each_other_one_layer_at_a_time(task, sizes, run_config):
    check(task, sizes, run_config)


def test_activations_of_all_rows_would_be_found(run_config, monkeypatch):
    """As they are put together where tables are looked up in parts."""
    monkeypatch.setattr(training.step, "gather_tables", lambda mesh, params: params)
    with pytest.raises(AssertionError, match=r"(all-gather|collective-permute) of"):
        check("causal_lm", (2, 2, 2), run_config)
