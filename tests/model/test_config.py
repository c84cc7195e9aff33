import dataclasses

import pytest

from common.errors import ConfigError
from model import TransformerConfig
from model.config import ATTENTIONS, DTYPES, NORM_POSITIONS, POSITIONS, REMAT_POLICIES
from model.layers import ACTIVATIONS, INITIALIZERS, NORMS
from tests.model.networks import NETWORKS

BASE = {"vocab_size": 24, "max_length": 12, "decoder_layers": 2, "embed_dim": 12, "num_heads": 4}


def test_what_is_not_given_is_worked_out():
    config = TransformerConfig(**BASE)
    assert (config.num_kv_heads, config.head_dim, config.mlp_dim) == (4, 3, 48)
    given = TransformerConfig(**BASE, num_kv_heads=2, head_dim=5, mlp_dim=7)
    assert (given.num_kv_heads, given.head_dim, given.mlp_dim) == (2, 5, 7)


def test_a_head_dim_of_its_own_frees_num_heads_from_dividing_embed_dim():
    assert TransformerConfig(**BASE | {"num_heads": 5}, head_dim=8).head_dim == 8


def test_a_config_is_a_frozen_value():
    config = TransformerConfig(**BASE)
    assert config == TransformerConfig(**BASE) and hash(config) == hash(TransformerConfig(**BASE))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.embed_dim = 16


@pytest.mark.parametrize(
    "name",
    ["vocab_size", "max_length", "embed_dim", "num_heads", "num_kv_heads", "head_dim", "mlp_dim"],
)
@pytest.mark.parametrize("value", [0, -1])
def test_sizes_are_at_least_one(name, value):
    with pytest.raises(ConfigError, match=f"{name}={value} must be at least 1"):
        TransformerConfig(**BASE | {name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 5}, "num_heads=5 does not divide embed_dim=12; change one, or set head_dim"),
        ({"num_kv_heads": 3}, "num_kv_heads=3 does not divide num_heads=4"),
        ({"num_kv_heads": 8}, "num_kv_heads=8 does not divide num_heads=4"),
        ({"position": "rope"}, "head_dim=3 must be even for position='rope'"),
        ({"position": "sinusoidal", "embed_dim": 15, "num_heads": 3}, "embed_dim=15 must be even"),
        ({"dropout": 1.0}, "dropout=1.0 must be in [0, 1)"),
        ({"dropout": -0.1}, "dropout=-0.1 must be in [0, 1)"),
        ({"norm_eps": 0.0}, "norm_eps=0.0 must be above 0"),
        ({"rope_theta": -1.0}, "rope_theta=-1.0 must be above 0"),
        ({"initializer_std": 0.0}, "initializer_std=0.0 must be above 0"),
    ],
)
def test_what_makes_no_network_is_refused(changes, message):
    with pytest.raises(ConfigError) as caught:
        TransformerConfig(**BASE | changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "wrong", "nearest", "choices"),
    [
        ("norm", "layer_norm", "layernorm", NORMS),
        ("norm_position", "prenorm", "pre", NORM_POSITIONS),
        ("position", "learnt", "learned", POSITIONS),
        ("activation", "swishglu", "swiglu", ACTIVATIONS),
        ("initializer", "normall", "normal", INITIALIZERS),
        ("attention", "cudn", "cudnn", ATTENTIONS),
        ("dtype", "bf16", "bfloat16", DTYPES),
        ("remat", "dot", "dots", REMAT_POLICIES),
    ],
)
def test_an_unknown_name_lists_the_choices_and_the_nearest(name, wrong, nearest, choices):
    with pytest.raises(ConfigError) as caught:
        TransformerConfig(**BASE | {name: wrong})
    message = str(caught.value)
    assert f"{name}={wrong!r} is not known (did you mean {nearest!r}?)" in message
    assert all(choice in message.split("choose from:")[1] for choice in choices)


def test_a_name_like_no_other_gets_no_guess():
    with pytest.raises(ConfigError) as caught:
        TransformerConfig(**BASE, norm="xyz")
    assert "did you mean" not in str(caught.value)
    assert caught.value.status == 2


def test_the_tested_networks_have_every_norm_position_and_activation():
    """So that the comparison with NumPy leaves none out."""
    for name, choices in {
        "norm": NORMS,
        "norm_position": NORM_POSITIONS,
        "position": POSITIONS,
        "activation": ACTIVATIONS,
        "use_bias": (True, False),
        "qk_norm": (True, False),
        "tie_embeddings": (True, False),
        "scale_embeddings": (True, False),
        "scale_attention": (True, False),
        "scale_logits": (True, False),
        "embedding_norm": (True, False),
        "qkv_bias": (True, False),
        "head": {"linear", "transform"},
        "sliding_window": {None, 3},
    }.items():
        assert {getattr(config, name) for config in NETWORKS.values()} == set(choices), name
