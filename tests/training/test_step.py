"""One step, however it is cut; penalties against NumPy; dropout by step; precision; donation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import TransformerConfig
from tasks import TASKS, LossConfig
from training.optimizer import OptimizerConfig, make_optimizer
from training.sharding import MeshConfig, make_mesh
from training.step import (
    abstract_state,
    init_state,
    make_eval_step,
    make_train_step,
    penalty,
)

MODEL = TransformerConfig(
    vocab_size=11, max_length=8, decoder_layers=1, embed_dim=8, num_heads=2, norm="layernorm", activation="relu"
)
SGD = OptimizerConfig("sgd", 1.0, "constant", 0, 0.0, 0.0, 0.0, 0.0, 0.0, 1e-8, 0.0)  # parameters less the gradient
LOSS = LossConfig(0.0, 0.0, 0.0, 0.0)
TASK = TASKS["causal_lm"]


ONE = make_mesh(MeshConfig(1, 1, 1))


def ragged_batch(rows=8):
    """Rows of 1 to 8 tokens, and one of none: so microbatches weigh differently."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 11, (rows, 9)).astype(np.int32)
    lengths = np.array([8, 1, 0, 3, 8, 2, 7, 5])[:rows, None]
    real = np.arange(8) < lengths
    return {
        "inputs": tokens[:, :-1] * real,
        "targets": tokens[:, 1:] * real,
        "positions": np.broadcast_to(np.arange(8, dtype=np.int32), (rows, 8)) * real,
        "segment_ids": real.astype(np.int32),
        "weights": real.astype(np.float32),
    }


def take_step(model=MODEL, loss=LOSS, optimizer=SGD, microbatches=1, steps=1, batch=None):
    """The state before, the state after `steps` steps, and the last metrics."""
    optimizer = make_optimizer(optimizer, 10)
    before = state = jax.jit(lambda: init_state(model, optimizer, 0))()
    step = jax.jit(make_train_step(model, TASK, loss, optimizer, microbatches, ONE))
    for _ in range(steps):
        state, metrics = step(state, ragged_batch() if batch is None else batch)
    return before, state, {name: float(value) for name, value in metrics.items()}


@pytest.fixture(scope="module")
def plain():
    return take_step()


def assert_close(tree, other, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), tree, other)


@pytest.mark.parametrize("microbatches", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_microbatches_change_nothing(plain, microbatches):
    _, state, metrics = take_step(microbatches=microbatches)
    assert metrics == pytest.approx(plain[2], rel=1e-5)
    assert_close(state.params, plain[1].params, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{}, {"tie_embeddings": False, "head": "transform", "head_bias": True, "use_bias": True}]
)
def test_chunks_of_logits_change_nothing_and_take_less_memory(changes):
    """Three chunks of eight places; more words than all else together, so that the logits are most of what is taken."""
    model = dataclasses.replace(MODEL, **changes)
    (_, whole, told), (_, parts, told_of_parts) = (
        take_step(model, dataclasses.replace(LOSS, chunks=n)) for n in (1, 3)
    )
    assert told_of_parts == pytest.approx(told, rel=1e-5)
    assert_close(whole.params, parts.params, rtol=1e-4, atol=1e-6)

    def peak(chunks):
        model = dataclasses.replace(MODEL, **changes, vocab_size=4096)
        optimizer = make_optimizer(SGD, 10)
        step = jax.jit(make_train_step(model, TASK, dataclasses.replace(LOSS, chunks=chunks), optimizer, 1, ONE))
        batch = jax.tree.map(lambda rows: np.repeat(rows, 16, axis=0), ragged_batch())
        compiled = step.lower(abstract_state(model, optimizer, 0, ONE), batch).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    logits = 16 * 8 * 8 * 4096 * 4
    assert peak(1) > logits and peak(8) < logits / 2


def test_norms_of_layers(plain):
    """They are parts of the whole norm, and SGD at rate 1 takes away the gradient."""
    model, optimizer = dataclasses.replace(MODEL, decoder_layers=3), make_optimizer(SGD, 10)
    state = init_state(model, optimizer, 0)
    after, metrics = jax.jit(make_train_step(model, TASK, LOSS, optimizer, 2, ONE, True))(state, ragged_batch())
    norms = {name.removeprefix("grad_norm/"): value for name, value in metrics.items() if name.startswith("grad_norm/")}
    parts = ("token_embedding", "position_embedding", "decoder/0", "decoder/1", "decoder/2", "decoder/final_norm")
    assert set(norms) <= {*parts} and len(norms) >= 5
    assert sum(float(norm) ** 2 for norm in norms.values()) == pytest.approx(float(metrics["grad_norm"]) ** 2, rel=1e-5)
    taken = jax.tree.map(lambda x, y: x - y, state.params["decoder"]["blocks"], after.params["decoder"]["blocks"])
    squares = sum(jnp.square(leaf[1]).sum() for leaf in jax.tree.leaves(taken))
    for name in ("grad_norm", "update_norm"):
        assert float(metrics[f"{name}/decoder/1"]) == pytest.approx(float(jnp.sqrt(squares)), rel=1e-3)


def test_metrics_are_those_of_the_whole_batch(plain):
    """The loss from the logits in NumPy; the weight counted; the gradient's norm from what SGD at rate 1 took away."""
    before, after, metrics = plain
    batch = ragged_batch()
    sums = jax.jit(make_eval_step(MODEL, TASK, LOSS, ONE))(before.params, batch)
    assert metrics["tokens"] == batch["weights"].sum() == 34
    assert metrics["loss"] == pytest.approx(float(sums["loss"].sum()) / 34, rel=1e-5)
    gradient = jax.tree.map(lambda x, y: np.asarray(x - y, np.float64), before.params, after.params)
    norm = np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(gradient)))
    assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-4)
    assert int(after.step) == 1 and int(before.step) == 0


def test_the_gradient_against_finite_differences(plain):
    """Along the gradient itself: the loss falls by eps * |g|^2."""
    before, after, _ = plain
    gradient = jax.tree.map(lambda x, y: x - y, before.params, after.params)
    evaluate = jax.jit(make_eval_step(MODEL, TASK, LOSS, ONE))

    def loss(eps):
        moved = jax.tree.map(lambda x, g: x + eps * g, before.params, gradient)
        return float(evaluate(moved, ragged_batch())["loss"].sum()) / 34

    eps = 1e-3
    expected = sum(float(jnp.square(leaf).sum()) for leaf in jax.tree.leaves(gradient))
    assert (loss(eps) - loss(-eps)) / (2 * eps) == pytest.approx(expected, rel=0.02)


def test_a_batch_of_padding_alone_changes_nothing():
    empty = jax.tree.map(np.zeros_like, ragged_batch())
    before, after, metrics = take_step(batch=empty)
    assert metrics == {"loss": 0, "tokens": 0, "grad_norm": 0}
    assert_close(before.params, after.params, rtol=0)


def test_penalties(plain, l1=0.3, l2=0.2):
    """Value in NumPy; gradient l1 * sign(w) + 2 * l2 * w on matrices and embeddings alone, once whatever the microbatches."""
    config = dataclasses.replace(LOSS, l1_penalty=l1, l2_penalty=l2)
    params = jax.tree.map(np.asarray, plain[0].params)
    flat = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    decayed = [leaf for name, leaf in flat.items() if "kernel" in name or "embedding" in name]
    assert 0 < len(decayed) < len(flat)
    expected = sum(l1 * np.abs(leaf).sum() + l2 * np.square(leaf).sum() for leaf in decayed)
    assert float(penalty(params, config)) == pytest.approx(expected, rel=1e-5)

    _, state, metrics = take_step(loss=config, microbatches=2)
    added = jax.tree.map(lambda x, y: x - y, plain[1].params, state.params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(added):
        name = jax.tree_util.keystr(path)
        weight = flat[name]
        wanted = l1 * np.sign(weight) + 2 * l2 * weight if "kernel" in name or "embedding" in name else 0 * weight
        np.testing.assert_allclose(leaf, wanted, rtol=1e-4, atol=1e-5, err_msg=name)
    assert metrics["loss"] == pytest.approx(plain[2]["loss"], rel=1e-5)  # reported without penalties


def test_dropout_depends_on_the_step_and_on_the_seed():
    """Of one state and batch, only the step's number or the key is changed: another mask, another loss."""
    model = dataclasses.replace(MODEL, dropout=0.3)
    optimizer = make_optimizer(SGD, 10)
    state = jax.jit(lambda: init_state(model, optimizer, 0))()
    step = jax.jit(make_train_step(model, TASK, LOSS, optimizer, 1, ONE))

    def loss(**changes):
        return float(step(dataclasses.replace(state, **changes), ragged_batch())[1]["loss"])

    assert loss() == loss()
    others = [loss(step=jnp.int32(number)) for number in range(5)] + [loss(key=state.key + 1)]
    assert len(set(others)) == 6
    assert (
        float(jax.jit(make_eval_step(model, TASK, LOSS, ONE))(state.params, ragged_batch())["loss"].sum()) / 34
        not in others
    )


@pytest.mark.slow
def test_each_microbatch_has_its_own_dropout():
    """The same row in two microbatches: with one mask for both, the mean loss would be that of the row alone."""
    row = jax.tree.map(lambda x: x[:1], ragged_batch())
    twice = jax.tree.map(lambda x: np.concatenate([x, x]), row)
    model = dataclasses.replace(MODEL, dropout=0.5)
    one = take_step(model=model, batch=row)[2]["loss"]
    two = take_step(model=model, batch=twice, microbatches=2)[2]["loss"]
    assert abs(one - two) > 1e-4


def test_bfloat16_keeps_float32_parameters(plain):
    model = dataclasses.replace(MODEL, dtype="bfloat16")
    before, after, metrics = take_step(model=model)
    for state in (before, after):
        kinds = {leaf.dtype for leaf in jax.tree.leaves((state.params, state.optimizer)) if leaf.ndim}
        assert kinds == {jnp.dtype("float32")}
    assert "bf16[" in str(jax.make_jaxpr(make_eval_step(model, TASK, LOSS, ONE))(before.params, ragged_batch()))
    assert metrics["loss"] != plain[2]["loss"]
    assert metrics == pytest.approx(plain[2], rel=0.03)


def test_the_abstract_state_is_that_of_the_real_one():
    mesh = make_mesh(MeshConfig(1, 1, 1))
    optimizer = make_optimizer(dataclasses.replace(SGD, name="adafactor"), 10)
    abstract, real = abstract_state(MODEL, optimizer, 0, mesh), jax.jit(lambda: init_state(MODEL, optimizer, 0))()
    assert jax.tree.structure(abstract) == jax.tree.structure(real)
    for leaf, its in zip(jax.tree.leaves(abstract), jax.tree.leaves(real), strict=True):
        assert (leaf.shape, leaf.dtype) == (its.shape, its.dtype)


def test_the_seed_alone_makes_the_state():
    optimizer = make_optimizer(SGD, 10)
    make = jax.jit(lambda seed: init_state(MODEL, optimizer, seed))
    states = [jax.tree.leaves(make(seed)) for seed in (0, 0, 1)]
    same = [all(np.array_equal(x, y) for x, y in zip(states[0], other, strict=True)) for other in states[1:]]
    assert same == [True, False]
