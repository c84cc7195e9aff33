"""By hand, against plain SGD, and in a run: what is frozen does not move by a bit."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from common.errors import ConfigError
from training.layer_rates import layer_rates
from training.optimizer import OptimizerConfig, make_optimizer

SGD = OptimizerConfig("sgd", 1.0, "constant", 0, 0.0, 0.0, 0.0, 0.0, 0.0, 1e-8, 0.0)
ADAMW = dataclasses.replace(SGD, name="adamw", learning_rate=0.1, weight_decay=0.3, b1=0.9, b2=0.95)
SHAPES = {
    "token_embedding": {"embedding": (5, 4)},
    "decoder": {
        "blocks": {"mlp": {"up": {"kernel": (3, 4, 2)}}, "mlp_norm": {"scale": (3, 4)}},
        "final_norm": {"scale": (4,)},
    },
    "head": {"output": {"kernel": (4, 5)}},
}


def draw(seed: int):
    leaves, tree = jax.tree.flatten(SHAPES, is_leaf=lambda node: isinstance(node, tuple))
    rng = np.random.default_rng(seed)
    return tree.unflatten([jnp.float32(rng.normal(size=shape)) for shape in leaves])


def steps(config: OptimizerConfig, number: int = 3):
    """The parameters before and after."""
    optimizer, params = make_optimizer(config, 10), draw(0)
    state, before = optimizer.init(params), params
    for seed in range(1, number + 1):
        updates, state = jax.jit(optimizer.update)(draw(seed), state, params)
        params = optax.apply_updates(params, updates)
    return before, params


def kernel(params) -> np.ndarray:
    return np.asarray(params["decoder"]["blocks"]["mlp"]["up"]["kernel"])


def test_rates_by_hand():
    rates = layer_rates(draw(0), ("blocks/1/", "^head/"), 0.5)
    assert rates["token_embedding"]["embedding"].tolist() == [[1 / 16]]
    assert rates["decoder"]["blocks"]["mlp"]["up"]["kernel"].tolist() == [[[1 / 8]], [[0]], [[1 / 2]]]
    assert rates["decoder"]["blocks"]["mlp_norm"]["scale"].tolist() == [[1 / 8], [0], [1 / 2]]
    assert rates["decoder"]["final_norm"]["scale"].tolist() == [1]
    assert rates["head"]["output"]["kernel"].tolist() == [[0]]


@pytest.mark.parametrize("config", [SGD, ADAMW, dataclasses.replace(ADAMW, name="adafactor")])
def test_what_is_frozen_stays_to_the_bit_and_the_rest_learns_as_without_it(config):
    frozen = ("token_embedding", "blocks/[01]/", "final_norm")
    before, after = steps(dataclasses.replace(config, frozen=frozen))
    np.testing.assert_array_equal(after["token_embedding"]["embedding"], before["token_embedding"]["embedding"])
    np.testing.assert_array_equal(after["decoder"]["final_norm"]["scale"], before["decoder"]["final_norm"]["scale"])
    np.testing.assert_array_equal(kernel(after)[:2], kernel(before)[:2])
    assert (kernel(after)[2] != kernel(before)[2]).all()
    _, free = steps(config)
    np.testing.assert_array_equal(after["head"]["output"]["kernel"], free["head"]["output"]["kernel"])


def test_lower_layers_take_smaller_steps():
    before, after = steps(dataclasses.replace(SGD, layer_decay=0.5), 1)
    _, plain = steps(SGD, 1)
    share = (kernel(after) - kernel(before)) / (kernel(plain) - kernel(before))
    np.testing.assert_allclose(
        share, np.broadcast_to(np.reshape([1 / 8, 1 / 4, 1 / 2], (3, 1, 1)), share.shape), rtol=1e-4
    )
    np.testing.assert_array_equal(after["head"]["output"]["kernel"], plain["head"]["output"]["kernel"])


def test_gradients_of_what_is_frozen_are_not_clipped_with():
    """One step of SGD at rate 1 on gradients of which the frozen ones are huge."""
    config = dataclasses.replace(SGD, clip_norm=1.0, frozen=("token", "decoder"))
    optimizer, params = make_optimizer(config, 1), draw(0)
    gradients = draw(1) | {"token_embedding": {"embedding": jnp.full((5, 4), 1e6)}}
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    gradient = np.asarray(gradients["head"]["output"]["kernel"])
    assert math.sqrt((gradient**2).sum()) > 1
    np.testing.assert_allclose(
        updates["head"]["output"]["kernel"], -gradient / math.sqrt((gradient**2).sum()), rtol=1e-5
    )


def test_nothing_is_kept_for_arrays_that_are_wholly_frozen():
    def size(config) -> int:
        state = jax.eval_shape(make_optimizer(config, 1).init, draw(0))
        return sum(leaf.size for leaf in jax.tree.leaves(state))

    assert size(ADAMW) - size(dataclasses.replace(ADAMW, frozen=("token_embedding", "blocks/0/"))) == 2 * 5 * 4


@pytest.mark.parametrize(
    "frozen, message",
    [
        (("blocks/7/",), r"optimizer.frozen: 'blocks/7/' matches no parameter; .*decoder/blocks/0/mlp/up/kernel"),
        (("(",), r"optimizer.frozen: '\(' is no regular expression"),
        (("",), "optimizer.frozen: nothing is left to train"),
    ],
)
def test_patterns_that_cannot_be_meant_are_refused(frozen, message):
    with pytest.raises(ConfigError, match=message):
        make_optimizer(dataclasses.replace(SGD, frozen=frozen), 1).init(draw(0))


def test_layer_decay_has_bounds():
    for value in (0.0, 1.5, math.nan):
        with pytest.raises(ConfigError, match="layer_decay"):
            dataclasses.replace(SGD, layer_decay=value)


def test_a_run_with_a_frozen_layer_resumes_on_eight_devices(make_trainer, said):
    changes = {
        "optimizer__frozen": "blocks/0/|token_embedding",
        "optimizer__layer_decay": 0.9,
        "mesh__data": 2,
        "mesh__fsdp": 4,
    }
    trainer = make_trainer(**changes)
    before = jax.device_get(trainer.init().params)
    assert trainer.train() == 0 and any("learn; the others are frozen" in line for line in said.lines)
    again = make_trainer(**changes)
    after = again.checkpoints.restore(again.abstract, print, again.init).params
    np.testing.assert_array_equal(after["token_embedding"]["embedding"], before["token_embedding"]["embedding"])
    up, old = (params["decoder"]["blocks"]["mlp"]["up"]["kernel"] for params in (after, before))
    np.testing.assert_array_equal(up[0], old[0])
    assert (np.asarray(up[1]) != old[1]).any()
