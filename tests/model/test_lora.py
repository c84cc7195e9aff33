"""Adapters against plain matrices in NumPy: in layers of a stack, in heads, alone; and the network that is fed with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import ConfigError
from model import Tokens, Transformer, TransformerConfig
from model.lora import A, B, LoraConfig, adapted, merge, trainable
from model.parameters import by_path, init_params, nested

CONFIG = TransformerConfig(
    vocab_size=13,
    max_length=8,
    embed_dim=8,
    num_heads=2,
    num_kv_heads=1,
    decoder_layers=3,
    encoder_layers=2,
    mlp_dim=12,
    activation="swiglu",
    pooler=True,
    tie_embeddings=False,
)
EVERYWHERE = LoraConfig(rank=3, alpha=6.0, targets=("",))
KEY = jax.random.key(1)


@pytest.fixture(scope="module")
def base():
    return init_params(CONFIG, jax.random.key(0))


def drawn(base, config: LoraConfig):
    """Adapters whose B are not 0, as after training."""
    params = by_path(trainable(base, base, config, KEY))
    generator = np.random.default_rng(0)
    return nested({path: jnp.float32(generator.normal(size=leaf.shape)) for path, leaf in params.items()})


def test_it_begins_as_the_base_to_the_bit_and_with_unit_variance(base):
    params = trainable(base, base, EVERYWHERE, KEY)
    jax.tree.map(np.testing.assert_array_equal, merge(base, params, EVERYWHERE), base)
    wide = {"head": {"output": {"kernel": jnp.zeros((400, 5))}}}
    a = by_path(trainable(wide, wide, LoraConfig(50, 1.0, ("head",)), KEY))[f"head/output/kernel/{A}"]
    x = np.random.default_rng(0).normal(size=(50, 400))
    assert np.std(x @ np.asarray(a)) == pytest.approx(1, rel=0.1)


def test_every_kernel_is_x_w_and_its_share_of_x_a_b(base):
    """Each layer as one matrix: x W + alpha / rank (x A) B, for kernels of one, two and three axes, stacked or not."""
    params = drawn(base, EVERYWHERE)
    old, adapters, new = (by_path(tree) for tree in (base, params, merge(base, params, EVERYWHERE)))
    kernels = [path for path in old if path.endswith("/kernel")]
    assert len(kernels) == 2 * 7 + 4 + 2 and len(adapters) == 2 * len(kernels)  # cross-attention; head and pooler
    generator = np.random.default_rng(1)
    for path in kernels:
        stacked = "/blocks/" in path
        layers = range(len(old[path])) if stacked else [...]
        for layer in layers:
            w, merged, a, b = (
                np.asarray(leaf, np.float64)[layer] if stacked else np.asarray(leaf, np.float64)
                for leaf in (old[path], new[path], adapters[f"{path}/{A}"], adapters[f"{path}/{B}"])
            )
            a, b = a.reshape(-1, 3), b.reshape(3, -1)
            inputs = 2 * 4 if path.endswith("attention/out/kernel") else w.shape[0]
            assert a.shape[0] == inputs, path
            x = generator.normal(size=(5, inputs))
            expected = x @ w.reshape(inputs, -1) + 2.0 * (x @ a) @ b
            np.testing.assert_allclose(x @ merged.reshape(inputs, -1), expected, rtol=1e-4, atol=1e-4, err_msg=path)
    for path in old.keys() - set(kernels):
        assert new[path] is old[path], path


def test_only_the_layers_that_are_meant(base):
    config = LoraConfig(2, 2.0, ("decoder/blocks/[02]/attention/(query|out)",))
    assert adapted(base, config) == {
        f"decoder/blocks/attention/{name}/kernel": [True, False, True] for name in ("query", "out")
    }
    params = drawn(base, config)
    shapes = {path: leaf.shape for path, leaf in by_path(params).items()}
    assert shapes == {
        f"decoder/blocks/attention/query/kernel/{A}": (2, 8, 2),
        f"decoder/blocks/attention/query/kernel/{B}": (2, 2, 2, 4),
        f"decoder/blocks/attention/out/kernel/{A}": (2, 2, 4, 2),
        f"decoder/blocks/attention/out/kernel/{B}": (2, 2, 8),
    }
    old, new = (by_path(tree) for tree in (base, merge(base, params, config)))
    for path in old:
        changed = [not np.array_equal(*layers) for layers in zip(old[path], new[path], strict=True)]
        if path in adapted(base, config):
            assert changed == [True, False, True]
            a, b = (np.asarray(by_path(params)[f"{path}/{name}"][1]) for name in (A, B))
            expected = np.asarray(old[path][2]) + np.tensordot(a, b, 1)
            np.testing.assert_allclose(new[path][2], expected, rtol=1e-5, atol=1e-6)
        else:
            assert not any(changed), path


def test_what_the_base_lacks_is_trained_in_full(base):
    lacking = {name: part for name, part in base.items() if name != "head"}
    params = trainable(base, lacking, LoraConfig(2), KEY)
    np.testing.assert_array_equal(params["head"]["output"]["kernel"], base["head"]["output"]["kernel"])
    assert set(merge(lacking, params, LoraConfig(2))) == set(base)
    assert trainable(base, {}, LoraConfig(), KEY).keys() == base.keys()


def test_bfloat16_weights_stay_so_where_nothing_is_added(base):
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), base)
    merged = by_path(merge(half, drawn(half, LoraConfig(2)), LoraConfig(2)))
    for path, leaf in merged.items():
        assert leaf.dtype == (jnp.float32 if path in adapted(half, LoraConfig(2)) else jnp.bfloat16), path


def test_gradients_reach_both_factors_once_b_has_moved(base):
    tokens = Tokens(jnp.ones((1, 4), jnp.int32), jnp.arange(4)[None], jnp.ones((1, 4), jnp.int32))

    def loss(params):
        weights = merge(base, params, LoraConfig(2))
        return jnp.square(Transformer(CONFIG).apply({"params": weights}, tokens, tokens).logits_BTV).sum()

    first = by_path(jax.grad(loss)(trainable(base, base, LoraConfig(2), KEY)))
    then = by_path(jax.grad(loss)(drawn(base, LoraConfig(2))))
    for path in first:
        is_a = path.endswith(A)
        assert np.any(np.asarray(first[path])) != is_a, "A learns nothing while B is 0"
        assert np.any(np.asarray(then[path]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ("mlpp",)}, r"lora\.targets: 'mlpp' matches no kernel; they have names such as .*kernel"),
        ({"targets": ("attention/", "token_embedding")}, "'token_embedding' matches no kernel"),
        ({"targets": ("(",)}, r"lora\.targets: '\(' is no regular expression"),
        ({"targets": ()}, "targets is empty"),
        ({"rank": -1}, "rank=-1 must not be negative"),
        ({"alpha": 0.0}, "alpha=0.0 must be above 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(base, changes, message):
    with pytest.raises(ConfigError, match=message):
        adapted(base, LoraConfig(**{"rank": 2} | changes))
