import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import Tokens, Transformer
from model.layers import ACTIVATIONS, INITIALIZERS, NORMS, Dense, Dropout, Embedding, FeedForward, norm
from tests.model import reference
from tests.model.networks import NETWORKS, assert_close, float32, random_params

CONFIG = NETWORKS["gpt2"]
X = np.random.default_rng(0).normal(1.0, 2.0, (2, 3, CONFIG.embed_dim))


def _params(module, *arrays):
    return random_params(jax.eval_shape(module.init, jax.random.key(0), *arrays)["params"])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("use_bias", [True, False])
def test_feed_forward_equals_numpy(activation, use_bias):
    config = dataclasses.replace(CONFIG, activation=activation, use_bias=use_bias)
    module, x = FeedForward(config), jnp.asarray(X, jnp.float32)
    params = _params(module, x)
    assert ("bias" in params["up"]) == use_bias
    assert_close(jax.jit(module.apply)({"params": float32(params)}, x), reference.feed_forward(params, config, X))


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("use_bias", [True, False])
def test_norm_equals_numpy(name, use_bias):
    config = dataclasses.replace(CONFIG, norm=name, use_bias=use_bias, norm_eps=0.1)
    module, x = norm(config, None), jnp.asarray(X, jnp.float32)
    params = _params(module, x)
    assert ("bias" in params) == (use_bias and name == "layernorm")
    assert_close(module.apply({"params": float32(params)}, x), reference.norm(params, config, X), relative=1e-5)


@pytest.mark.parametrize("name", NORMS)
def test_norm_s_statistics_are_float32(name):
    """In float16 the squares of 300 would be infinite."""
    config = dataclasses.replace(CONFIG, norm=name)
    x = 300 * jnp.asarray(X, jnp.float16)
    module = norm(config, None)
    params = _params(module, x)
    y = module.apply({"params": float32(params)}, x)
    assert y.dtype == jnp.float16
    assert_close(y, reference.norm(params, config, np.asarray(x, np.float64)), relative=2e-3)


def test_dense_contracts_several_axes():
    module, x = Dense(CONFIG, features=(3, 2), contract=2), np.random.default_rng(0).normal(size=(2, 5, 4, 6))
    params = _params(module, jnp.asarray(x, jnp.float32))
    assert params["kernel"].shape == (4, 6, 3, 2)
    y = module.apply({"params": float32(params)}, jnp.asarray(x, jnp.float32))
    assert_close(y, np.einsum("btnh,nhkm->btkm", x, params["kernel"]) + params["bias"], relative=1e-5)


def test_embedding_looks_rows_up_and_multiplies_by_their_transpose():
    module, ids = Embedding(CONFIG, rows=7), np.array([[0, 6], [3, 3]])
    params = _params(module, ids)
    np.testing.assert_array_equal(module.apply({"params": float32(params)}, ids), np.float32(params["embedding"][ids]))
    logits = module.apply({"params": float32(params)}, jnp.asarray(X, jnp.float32), method="logits")
    assert_close(logits, X @ params["embedding"].T, relative=1e-5)


# name -> (standard deviation, largest value) of a kernel [in, out], as the papers have them; initializer_std is 0.05.
# A normal cut at 2 deviations has 0.8796 of its deviation left; He's is widened to make up for that.
CUT = 0.87962566
INITIAL = {
    "normal": lambda fan_in, fan_out: (0.05, math.inf),
    "truncated_normal": lambda fan_in, fan_out: (0.05 * CUT, 0.1),
    "xavier": lambda fan_in, fan_out: (math.sqrt(2 / (fan_in + fan_out)), math.sqrt(6 / (fan_in + fan_out))),
    "he": lambda fan_in, fan_out: (math.sqrt(2 / fan_in), 2 * math.sqrt(2 / fan_in) / CUT),
}


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_initial_deviation_of_a_kernel(name, scale):
    """Over all the axes that are summed."""
    config = dataclasses.replace(CONFIG, initializer=name, initializer_std=0.05)
    dense = Dense(config, features=(16, 24), contract=2, start=scale)
    kernel = np.asarray(dense.init(jax.random.key(0), jnp.zeros((1, 8, 20)))["params"]["kernel"])
    deviation, largest = INITIAL[name](8 * 20, 16 * 24)
    _assert_random(kernel, scale * deviation)
    if math.isfinite(largest):
        assert np.abs(kernel).max() == pytest.approx(scale * largest, rel=0.01)
    else:
        assert np.abs(kernel).max() > 3.5 * scale * deviation


def _assert_random(leaf, deviation):
    """About mean 0 and this deviation, within five standard errors."""
    assert abs(leaf.mean()) < 5 * deviation / math.sqrt(leaf.size)
    assert leaf.std() == pytest.approx(deviation, rel=5 / math.sqrt(2 * leaf.size))


@pytest.mark.parametrize("scale_attention", [True, False])
def test_start_of_the_whole_network(scale_attention):
    """Each layer has its own draw; attention/out and mlp/down are 1 / sqrt(2 L) of the rest; scales are 1, biases 0.

    Where scores are not divided by sqrt(H), the queries' kernels are.
    """
    shape = {"embed_dim": 48, "head_dim": 12, "mlp_dim": 96, "decoder_layers": 3, "scale_attention": scale_attention}
    config = dataclasses.replace(CONFIG, **shape, tie_embeddings=False)
    ids = jnp.zeros((1, 2), jnp.int32)
    params = jax.jit(Transformer(config).init)(jax.random.key(0), Tokens(ids, ids, ids))["params"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        path, leaf = jax.tree_util.keystr(path, simple=True, separator="/"), np.asarray(leaf)
        assert leaf.dtype == np.float32
        if path.endswith(("scale", "bias")):
            np.testing.assert_array_equal(leaf, 1 if path.endswith("scale") else 0)
        elif path.startswith("decoder"):
            divisor = 2 * 3 if path.endswith(("attention/out/kernel", "mlp/down/kernel")) else 1
            divisor = 12 if "query" in path and not scale_attention else divisor
            for layer in leaf:
                _assert_random(layer, 0.02 / math.sqrt(divisor))
            assert np.abs(np.corrcoef(leaf.reshape(3, -1)) - np.eye(3)).max() < 5 / math.sqrt(leaf[0].size), path
        else:
            _assert_random(leaf, 0.02)


def _drop(rate, seed=0, shape=(256, 384)):
    return np.asarray(Dropout(rate).apply({}, jnp.ones(shape), rngs={"dropout": jax.random.key(seed)}))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_at_its_rate_and_scales_the_rest(rate):
    y = _drop(rate)
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - rate)], rtol=1e-6)
    error = math.sqrt(rate * (1 - rate) / y.size)
    assert abs((y == 0).mean() - rate) < 4 * error
    assert abs(y.mean() - 1) < 4 * error / (1 - rate)


def test_dropout_is_the_key_s_and_off_without_one():
    np.testing.assert_array_equal(_drop(0.3), _drop(0.3))
    correlation = np.corrcoef(*(_drop(0.3, seed).reshape(-1) for seed in (0, 1)))[0, 1]
    assert abs(correlation) < 5 / math.sqrt(256 * 384)
    np.testing.assert_array_equal(Dropout(0.3).apply({}, jnp.ones((4, 4))), 1)
    np.testing.assert_array_equal(_drop(0.0), 1)


@pytest.mark.parametrize("seed", range(3))
def test_dropout_s_mask_has_no_rows_columns_or_neighbours(seed):
    rate = 0.2
    z = ((_drop(rate, seed) == 0) - rate) / math.sqrt(rate * (1 - rate))  # mean 0, deviation 1
    for axis in (0, 1):
        means = z.mean(axis) * math.sqrt(z.shape[axis])  # about normal(0, 1), if all is well
        assert np.abs(means).max() < 5
        assert means.std() == pytest.approx(1, abs=5 / math.sqrt(2 * means.size))
        for lag in (1, 2, 3, 4, 8, 16, 32, 64, 128):
            near, far = (np.moveaxis(z, axis, 0)[part] for part in (slice(None, -lag), slice(lag, None)))
            assert abs((near * far).mean()) < 5 / math.sqrt(near.size), (axis, lag)


@pytest.mark.parametrize("layout", [("d", None), (None, "d")])
def test_dropout_is_the_same_on_one_device_and_on_eight(layout):
    mesh = jax.sharding.Mesh(jax.devices(), "d")
    x = jax.device_put(jnp.ones((16, 24)), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*layout)))
    assert len(x.sharding.device_set) == 8
    dropped = jax.jit(Dropout(0.4).apply)({}, x, rngs={"dropout": jax.random.key(0)})
    np.testing.assert_array_equal(dropped, _drop(0.4, shape=(16, 24)))
