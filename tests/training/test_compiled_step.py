"""What the step's program does not do: multiply in float32 what is bfloat16, keep two states, or wait for the host."""

import re

import jax
import pytest

from model import TransformerConfig
from tests.training.steps import step_and_arguments
from training.sharding import MeshConfig, make_mesh
from training.step import compile_train_step

ROWS, LENGTH = 4, 16
NETWORKS = {
    "causal_lm": {"decoder_layers": 2},
    "masked_lm": {"encoder_layers": 2, "head": "transform"},
    "span_corruption": {"encoder_layers": 2, "decoder_layers": 2, "tie_embeddings": False, "activation": "swiglu"},
}
WITH_HOST = r"callback|infeed|outfeed|stablehlo\.(send|recv)"


@pytest.fixture(params=NETWORKS)
def step(request, run_config):
    """A task's step in bfloat16, with the abstract state and batch that it takes."""
    model = TransformerConfig(97, LENGTH, 32, 4, dtype="bfloat16", **NETWORKS[request.param])
    return step_and_arguments(model, request.param, ROWS, LENGTH, make_mesh(MeshConfig(1, 1, 1)), run_config())


def test_dense_layers_multiply_bfloat16_alone(step):
    """Forward and backward, the logits' too, which are float32 themselves; attention is JAX's or cuDNN's."""
    train_step, state, batch = step
    program = jax.jit(train_step).lower(state, batch).as_text()
    operands = re.findall(r"dot_general.* : \(tensor<\d+x\d+x(b?f\d+)>, tensor<\d+x\d+x(b?f\d+)>\)", program)
    assert len(operands) > 20 and set(operands) == {("bf16", "bf16")}


def test_the_new_state_takes_the_place_of_the_old(step):
    train_step, state, batch = step
    memory = compile_train_step(train_step, state, batch).memory_analysis()
    assert memory.alias_size_in_bytes == sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def test_nothing_waits_for_the_host(step):
    train_step, state, batch = step

    def told(state, batch):
        jax.debug.print("{}", batch["inputs"][0, 0])
        return train_step(state, batch)

    assert not re.search(WITH_HOST, jax.jit(train_step).lower(state, batch).as_text())
    assert re.search(WITH_HOST, jax.jit(told).lower(state, batch).as_text())
