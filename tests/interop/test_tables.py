"""The name tables and configs of the families, against our own networks: nothing unnamed, nothing named twice."""

import dataclasses

import numpy as np
import pytest

from common.errors import UserError
from interop.families import FAMILIES
from interop.layout import LINEAR, LINEAR_OF_HEADS, TABLE, VECTOR, nameless, views
from interop.weights import empty_params, family_of
from model import TransformerConfig, presets
from model.parameters import by_path
from tests.conftest import ROOT
from training.config import build_config
from training.settings import load_settings

PUBLISHED = {
    name: family for name, family in presets.FAMILIES.items() if name != "vaswani2017"
}  # its weights were not published


def small(family: str, size: str) -> TransformerConfig:
    """The preset, made small: what it is, is not changed."""
    config = presets.preset(family, size)
    changes = {name: 2 for name in ("encoder_layers", "decoder_layers") if getattr(config, name)}
    return dataclasses.replace(
        config, vocab_size=40, max_length=32, embed_dim=12, num_heads=2, num_kv_heads=1, **changes
    )


def numbered(config: TransformerConfig):
    """Parameters of which every number is another."""
    params = by_path(empty_params(config))
    start = 0
    for leaf in params.values():
        leaf[...] = np.arange(start, start + leaf.size).reshape(leaf.shape)
        start += leaf.size
    return params, start


@pytest.mark.parametrize(("name", "size"), [(name, size) for name in PUBLISHED for size in PUBLISHED[name].sizes])
def test_every_preset_is_of_its_family(name, size):
    config = presets.preset(name, size)
    assert family_of(config, preferred=name).model_type == name
    family = FAMILIES[name]
    names = views(family.rows(config), by_path(empty_params(config))).keys()
    back = family.config(family.config_json(config), names)
    starts = {name: getattr(back, name) for name in ("initializer", "initializer_std")}
    assert dataclasses.replace(back, dropout=config.dropout) == dataclasses.replace(config, **starts)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_number_has_one_place_in_theirs(name):
    family = FAMILIES[name]
    size = next(iter(PUBLISHED[name].sizes))
    config = dataclasses.replace(
        small(name, size),
        num_kv_heads=2 if name in ("gpt2", "bert", "roberta", "t5", "mt5") else 1,
        tie_embeddings=False,
    )
    params, count = numbered(config)
    assert nameless(family.rows(config), params) == []
    parts = [part for pieces in views(family.rows(config), params).values() for part in pieces]
    assert sorted(np.concatenate([part.reshape(-1) for part in parts])) == list(range(count))
    assert all(any(np.shares_memory(part, leaf) for leaf in params.values()) for part in parts)


def test_layouts_by_hand():
    kernel = np.arange(24).reshape(2, 3, 4)  # [D, N, H]
    assert LINEAR.view(kernel).shape == (12, 2) and LINEAR.view(kernel)[4 * 1 + 2, 1] == kernel[1, 1, 2]
    assert (
        LINEAR_OF_HEADS.view(kernel).shape == (4, 6) and LINEAR_OF_HEADS.view(kernel)[3, 3 * 1 + 2] == kernel[1, 2, 3]
    )
    assert TABLE.view(kernel).shape == (2, 12) and VECTOR.view(kernel[0]).shape == (12,)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"position": "learned"}, ("nearest is llama", "position='learned' (llama: 'rope')")),
        ({"norm": "layernorm", "position": "sinusoidal"}, ("norm='layernorm'", "position='sinusoidal'")),
        ({"qkv_bias": True, "qk_norm": True}, ("qk_norm=True (qwen2: False)",)),
        ({"scale_embeddings": True, "norm_position": "post"}, ("scale_embeddings=True", "norm_position='post'")),
    ],
)
def test_what_is_no_family_says_what_stands_in_the_way(changes, parts):
    config = dataclasses.replace(presets.llama("tinyllama-1.1b"), **changes)
    with pytest.raises(UserError) as caught:
        family_of(config)
    assert all(part in str(caught.value) for part in (*parts, "; to write it as one, train")), caught.value


@pytest.mark.parametrize(
    ("name", "changes", "family"),
    [
        ("base", [], "llama"),
        ("tiny", [], "llama"),
        ("char", [], "llama"),
        ("gpt2_tiny", [], "gpt2"),
        ("llama_tiny", [], "llama"),
        ("bert_tiny", ["model.position=learned", "model.num_token_types=2"], "bert"),
        ("t5_tiny", ["model.position=relative_bias", "model.qk_norm=False", "model.scale_attention=False"], "t5"),
    ],
)
def test_the_small_configs_are_of_the_families_that_the_readme_says(name, changes, family):
    def kind(changes) -> str:
        return family_of(build_config(load_settings(ROOT / "configs" / f"{name}.py", changes), 600).model).model_type

    assert kind(changes) == family
    for dropped in range(len(changes)):  # and none of them may be left out
        with pytest.raises(UserError, match=changes[dropped].split("=")[0].removeprefix("model.")):
            kind(changes[:dropped] + changes[dropped + 1 :])


LLAMA = FAMILIES["llama"].config_json(presets.llama("llama3.2-1b"))
ROPE = LLAMA["rope_parameters"]


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("llama", {"rope_scaling": {"rope_type": "longrope"}, "rope_parameters": None}, "rope_scaling='longrope'"),
        ("llama", {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "rope_parameters": None}, "'dynamic' is not"),
        ("llama", {"rope_parameters": ROPE | {"partial_rotary_factor": 0.5}}, "partial_rotary_factor=0.5"),
        ("llama", {"rope_parameters": ROPE | {"rope_type": "yarn", "mscale": 0.7}}, "low_freq_factor"),
        ("llama", {"mlp_bias": True}, "attention_bias=False is not supported (with mlp_bias=True"),
        ("llama", {"hidden_act": "relu"}, "hidden_act='relu' is not supported (supported: 'silu'"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config={'bits': 4} is not a field"),
        ("llama", {"hidden_size": None}, "config.json: hidden_size=None must be int, not NoneType"),
        ("llama", {"hidden_size": 48.0}, "hidden_size=48.0 must be int, not float"),
        ("llama", {"hidden_size": "48"}, "hidden_size='48' must be int, not str"),
        ("llama", {"num_hidden_layers": True}, "num_hidden_layers=True must be int, not bool"),
        ("llama", {"num_hidden_layers": -1}, "num_hidden_layers=-1 must not be negative"),
        ("llama", {"num_attention_heads": 7, "head_dim": None}, "num_attention_heads=7 does not divide hidden_size="),
        ("llama", {"hidden_act": ["silu"]}, "hidden_act=['silu'] must be str, not list"),
        ("llama", {"rms_norm_eps": "1e-5"}, "rms_norm_eps='1e-5' must be float, not str"),
        ("llama", {"rms_norm_eps": float("nan")}, "rms_norm_eps=nan must be a finite number"),
        ("llama", {"rms_norm_eps": 10**400}, "must be a finite number"),
        ("llama", {"attention_bias": "yes"}, "attention_bias='yes' must be True or False, not str"),
        ("llama", {"rope_parameters": "x"}, "rope_parameters='x' must be dict, not str"),
        ("llama", {"rope_scaling": [1, 2]}, "rope_scaling=[1, 2] must be dict, not list"),
        ("llama", {"rope_theta": "abc", "rope_parameters": None}, "rope_theta='abc' must be float, not str"),
        ("llama", {"rope_parameters": {"rope_theta": "abc"}}, "rope_scaling.rope_theta='abc' must be float, not str"),
        ("llama", {"rope_parameters": {"rope_type": ["yarn"]}}, "rope_scaling.rope_type=['yarn'] must be str"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 0}}, "rope_scaling.factor=0.0 is not supported"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": -2.0}}, "rope_scaling.factor=-2.0 is not"),
        ("mistral", {"sliding_window": "16"}, "sliding_window='16' must be int, not str"),
        ("qwen2", {"layer_types": "all"}, "layer_types='all' must be list, not str"),
        ("roberta", {"pad_token_id": None}, "pad_token_id=None must be int, not NoneType"),
        ("roberta", {"pad_token_id": "1"}, "pad_token_id='1' must be int, not str"),
        ("t5", {"num_decoder_layers": "2"}, "num_decoder_layers='2' must be int, not str"),
        ("t5", {"feed_forward_proj": ["relu"]}, "feed_forward_proj=['relu'] must be str, not list"),
        (
            "qwen2",
            {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1, "layer_types": None},
            "layer_types=",
        ),
        ("qwen3", {"attention_bias": True}, "attention_bias=True is not supported"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention=True"),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type='relative_key'"),
        ("bert", {"is_decoder": True}, "is_decoder=True"),
        ("bert", {"pruned_heads": {"1": [0]}}, "pruned_heads={'1': [0]}"),
        ("t5", {"feed_forward_proj": "gated-tanh"}, "feed_forward_proj='gated-tanh'"),
        ("t5", {"dense_act_fn": "silu"}, "dense_act_fn='silu' is not supported (with feed_forward_proj="),
    ],
)
def test_fields_that_are_not_supported_are_named(family, changes, message):
    config = presets.preset(family)
    theirs = FAMILIES[family].config_json(config) | changes
    names = views(FAMILIES[family].rows(config), by_path(empty_params(config))).keys()
    with pytest.raises(UserError) as caught:
        FAMILIES[family].config(theirs, names)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["hidden_size", "num_hidden_layers", "vocab_size"])
def test_fields_that_are_missing_are_named(field):
    theirs = {name: value for name, value in LLAMA.items() if name != field}
    with pytest.raises(UserError, match=rf"config.json has no {field}"):
        FAMILIES["llama"].config(theirs, ())
