"""Each layer's matrix against its singular vectors in NumPy; what is no matrix against AdamW, to the bit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from common.errors import ConfigError
from tests.training.test_optimizer import CONFIG
from training.muon import as_matrices
from training.optimizer import make_optimizer

MUON = dataclasses.replace(CONFIG, name="muon", learning_rate=1.0, warmup_steps=0, weight_decay=0.3)
# Of two layers, with 3 heads of size 2 and a width of 4. Path -> shape, and the shape of a layer's matrix.
MATRICES = {
    "decoder/blocks/attention/query/kernel": ((2, 4, 3, 2), (4, 6)),
    "decoder/blocks/attention/out/kernel": ((2, 3, 2, 4), (6, 4)),
    "decoder/blocks/mlp/up/kernel": ((2, 4, 9), (4, 9)),
    "decoder/blocks/attention/query/kernel/lora_a": ((2, 4, 3), (4, 3)),
    "decoder/blocks/attention/query/kernel/lora_b": ((2, 3, 3, 2), (3, 6)),
    "decoder/blocks/attention/out/kernel/lora_a": ((2, 3, 2, 3), (6, 3)),
    "decoder/blocks/attention/out/kernel/lora_b": ((2, 3, 4), (3, 4)),
    "pooler/kernel": ((4, 4), (4, 4)),
}
OTHERS = {
    "token_embedding/embedding": (7, 4),
    "decoder/blocks/attention/query/bias": (2, 3, 2),
    "decoder/blocks/mlp_norm/scale": (2, 4),
    "head/output/kernel": (4, 7),
}


def draw(seed: int) -> dict:
    """Arrays like the parameters, by path."""
    rng = np.random.default_rng(seed)
    shapes = {path: shape for path, (shape, _) in MATRICES.items()} | OTHERS
    return {path: jnp.float32(rng.normal(size=shape)) for path, shape in shapes.items()}


def follow(config, steps: int = 3) -> list[dict]:
    """The updates of each step."""
    optimizer, params, seen = make_optimizer(config, 10), draw(0), []
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    for seed in range(1, steps + 1):
        updates, state = update(draw(seed), state, params)
        params = optax.apply_updates(params, updates)
        seen.append(updates)
    return seen


def test_arrays_as_matrices():
    assert {path: as_matrices(path, shape)[1:] for path, (shape, _) in MATRICES.items()} == {
        path: matrix for path, (_, matrix) in MATRICES.items()
    }
    assert (
        as_matrices("decoder/blocks/mlp/up/kernel", (5, 4, 9))[0] == 5 and as_matrices("pooler/kernel", (4, 4))[0] == 1
    )


def test_updates_against_singular_vectors_in_numpy():
    """-(0.2 sqrt(max(M, N)) U S' V^T + 0.3 W), S' from 0.65 to 1.25, where U S V^T is g_3 + b m_3, m_t = g_t + b m_t-1."""
    updates, params, b = follow(MUON), draw(0), MUON.b1
    for path, (_, matrix) in MATRICES.items():
        g1, g2, g3 = (np.asarray(draw(seed)[path], np.float64).reshape(-1, *matrix) for seed in (1, 2, 3))
        moved = sum(np.asarray(step[path], np.float64) for step in updates[:2]).reshape(-1, *matrix)
        weights = np.asarray(params[path]).reshape(-1, *matrix) + moved
        momentum = g3 + b * (g3 + b * (g2 + b * g1))
        direction = -np.asarray(updates[2][path]).reshape(-1, *matrix) - 0.3 * weights
        for layer, (m, d) in enumerate(zip(momentum, direction, strict=True)):
            u, _, vt = np.linalg.svd(m, full_matrices=False)
            s = u.T @ d @ vt.T / (0.2 * np.sqrt(max(matrix)))
            np.testing.assert_allclose(s - np.diag(np.diag(s)), 0, atol=1e-4, err_msg=f"{path} {layer}")
            assert (np.diag(s) > 0.65).all() and (np.diag(s) < 1.25).all(), (path, layer, np.diag(s))
            np.testing.assert_allclose(u @ s @ vt, d / (0.2 * np.sqrt(max(matrix))), atol=1e-4)  # and nothing beside it


def test_what_is_no_matrix_goes_by_adamw():
    for muon, adamw in zip(follow(MUON), follow(dataclasses.replace(MUON, name="adamw")), strict=True):
        for path in OTHERS:
            np.testing.assert_array_equal(muon[path], adamw[path], path)


def test_it_keeps_one_number_for_an_element_of_a_matrix_and_none_of_what_is_frozen():
    def size(**changes) -> int:
        state = jax.eval_shape(make_optimizer(dataclasses.replace(MUON, **changes), 10).init, draw(0))
        return sum(leaf.size for leaf in jax.tree.leaves(state) if leaf.ndim)

    params = draw(0)
    matrices, others = (sum(params[path].size for path in paths) for paths in (MATRICES, OTHERS))
    assert size() == matrices + 2 * others
    up = params["decoder/blocks/mlp/up/kernel"].size
    assert size(frozen=("mlp/up", "token")) == matrices - up + 2 * (others - 7 * 4)


def test_a_frozen_layer_stays_and_the_other_learns_as_without_it():
    path = "decoder/blocks/mlp/up/kernel"
    frozen, free = (follow(dataclasses.replace(MUON, frozen=patterns))[-1][path] for patterns in (("blocks/0/",), ()))
    assert not np.asarray(frozen[0]).any()
    np.testing.assert_allclose(frozen[1], free[1], rtol=1e-4, atol=1e-6)


def test_a_gradient_of_zeros_moves_nothing():
    """As of an adapter's A in the first step, while its B is zero."""
    optimizer, params = make_optimizer(dataclasses.replace(MUON, weight_decay=0.0), 10), draw(0)
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(updates))


def test_without_matrices_it_is_refused():
    with pytest.raises(ConfigError, match=r"optimizer\.name='muon' is for the matrices of layers, and none is trained"):
        make_optimizer(MUON, 10).init({"word_embedding": {"embedding": jnp.ones((5, 4))}})
