import copy
import dataclasses
import json
import math
import typing
from pathlib import Path

import jax
import pytest

from common.configs import flatten
from common.errors import ConfigError
from tasks import TASKS
from training.config import RunConfig, TrainingConfig, build_config
from training.optimizer import make_optimizer
from training.settings import load_settings
from training.sharding import MeshConfig, batch_divisor, make_mesh
from training.step import abstract_state

ROOT = Path(__file__).parent.parent.parent
BASE = load_settings(ROOT / "configs/base.py")
CONFIGS = sorted(file for file in (ROOT / "configs").rglob("*.py") if file.stem != "__init__")


def changed(**changes) -> dict:
    """base.py with changes by dotted key; the dots of a key are written `__`, and ... takes a key away."""
    settings = copy.deepcopy(BASE)
    for key, value in changes.items():
        *sections, name = key.split("__")
        section = settings
        for part in sections:
            section = section[part]
        if value is ...:
            del section[name]
        else:
            section[name] = value
    return settings


def refusal(vocab_size: int | None = None, /, **changes) -> str:
    with pytest.raises(ConfigError) as caught:
        build_config(changed(**changes), vocab_size)
    assert caught.value.status == 2 and "\n" not in str(caught.value)
    return str(caught.value)


# What a config is.


def test_base_has_every_field_and_no_other():
    expected = set()
    for name, kind in typing.get_type_hints(RunConfig).items():
        fields = [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
        expected |= {f"{name}.{field}" for field in fields} or {name}
    assert set(flatten(BASE)) == expected


def shipped(path):
    """The settings of a config; where it starts from a network of another kind than base's, the layers that come with it."""
    settings = load_settings(path)
    if settings["init_from"] and "decoder" not in TASKS[settings["task"]].networks:
        settings["model"] |= {"encoder_layers": 4, "decoder_layers": 0}
    return settings


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_builds_and_says_what_it_changes(path):
    settings = shipped(path)
    config = build_config(settings)
    assert config.model.max_length >= config.data.sequence_length
    assert config.model.vocab_size >= config.tokenizer.vocab_size
    assert (settings == BASE) == (path.stem == "base")
    assert build_config(json.loads(json.dumps(settings))) == config


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_fits_one_device_and_eight(path, devices):
    """Its arrays and its microbatches come out even; what memory they take is another matter."""
    config = build_config(shipped(path))
    sizes = dataclasses.asdict(config.mesh)
    mesh = make_mesh(MeshConfig(**{axis: devices if size == -1 else size for axis, size in sizes.items()}))
    assert mesh.size == devices
    optimizer = make_optimizer(config.optimizer, config.training.num_steps)
    state = abstract_state(config.model, optimizer, config.seed, mesh)
    assert all(leaf.sharding.mesh == mesh for leaf in jax.tree.leaves(state))
    assert config.training.batch_size % (config.training.microbatches * batch_divisor(mesh)) == 0


def test_what_is_left_open_is_worked_out():
    config = build_config(
        changed(data__sequence_length=96, tokenizer__vocab_size=1000, model__embed_dim=192, model__num_heads=4)
    )
    assert (config.model.max_length, config.model.vocab_size, config.model.dtype) == (96, 1000, "float32")
    assert (config.model.num_kv_heads, config.model.head_dim) == (4, 48)
    assert build_config(BASE, 777).model.vocab_size == 777
    config = build_config(changed(model__max_length=200, model__vocab_size=4096, model__dtype="bfloat16"), 777)
    assert (config.model.max_length, config.model.vocab_size, config.model.dtype) == (200, 4096, "bfloat16")


def test_building_leaves_the_settings_as_they_were():
    settings = copy.deepcopy(BASE)
    build_config(settings, 777)
    assert settings == BASE


def test_a_config_is_frozen():
    config = build_config(BASE)
    for record in (config, config.model, config.data, config.training):
        with pytest.raises(dataclasses.FrozenInstanceError):
            record.seed = 1


# Keys.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": {}}, "modle is not a key (did you mean 'model'?); configs/base.py lists them all"),
        ({"model__embed_dimm": 3}, "model.embed_dimm is not a key (did you mean 'embed_dim'?); configs/base.py"),
        ({"mesh__qqqq": 3}, "mesh.qqqq is not a key; configs/base.py lists them all"),
        ({"model__extra": {"a": 1}}, "model.extra is not a key"),
        ({"model": ...}, "model is missing; start the config from configs/base.py"),
        ({"seed": ...}, "seed is missing"),
        ({"model": 3}, "model=3 must be a section of settings"),
        ({"tokenizer": None}, "tokenizer=None must be a section of settings"),
        ({"data": "a.txt"}, "data='a.txt' must be a section of settings"),
        ({"seed": {"a": 1}}, "seed={'a': 1} must be int, not dict"),
    ],
)
def test_keys_that_are_not_as_in_base_are_refused(changes, message):
    assert message in refusal(**changes)


@pytest.mark.parametrize("key", flatten(BASE))
def test_each_key_is_missed(key):
    for vocab_size in (None, 500):
        message = refusal(vocab_size, **{key.replace(".", "__"): ...})
        assert message == f"{key} is missing; start the config from configs/base.py"


# Types.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": "seven"}, "seed='seven' must be int, not str"),
        ({"seed": None}, "seed=None must be int, not NoneType"),
        ({"task": 3}, "task=3 must be str, not int"),
        ({"model__embed_dim": 192.0}, "model.embed_dim=192.0 must be int, not float"),
        ({"model__embed_dim": True}, "model.embed_dim=True must be int, not bool"),
        ({"model__mlp_dim": "wide"}, "model.mlp_dim='wide' must be int, not str"),
        ({"model__vocab_size": "large"}, "model.vocab_size='large' must be int, not str"),
        ({"model__use_bias": 1}, "model.use_bias=1 must be True or False, not int"),
        ({"model__dtype": None}, "model.dtype=None must be str, not NoneType"),
        ({"tokenizer__vocab_size": "2k"}, "tokenizer.vocab_size='2k' must be int, not str"),
        ({"tokenizer__byte_fallback": "yes"}, "tokenizer.byte_fallback='yes' must be True or False, not str"),
        ({"data__sequence_length": "128 tokens"}, "data.sequence_length='128 tokens' must be int, not str"),
        ({"data__train": 3}, "data.train=3 must be a string or a tuple of strings"),
        ({"data__train": None}, "data.train=None must be a string or a tuple of strings"),
        ({"data__train": ("a.txt", 3)}, "data.train=('a.txt', 3) must be a string or a tuple of strings"),
        ({"data__weights": 0.5}, "data.weights=0.5 must be a tuple of numbers, such as (0.7, 0.3)"),
        ({"data__weights": "0.7;0.3"}, "data.weights='0.7;0.3' must be a tuple of numbers, such as (0.7, 0.3)"),
        ({"data__weights": (0.7, "a")}, "data.weights='a' must be float, not str"),
        ({"training__sample_prompts": {"a"}}, "training.sample_prompts={'a'} must be a string or a tuple of strings"),
        ({"optimizer__learning_rate": "fast"}, "optimizer.learning_rate='fast' must be float, not str"),
        ({"optimizer__learning_rate": False}, "optimizer.learning_rate=False must be float, not bool"),
        (
            {"model__decoder_layers": 0, "model__encoder_layers": 2},
            "task='causal_lm' trains a decoder; set model.encoder_layers and model.decoder_layers for it",
        ),
        (
            {"task": "masked_lm"},
            "task='masked_lm' trains an encoder; set model.encoder_layers and model.decoder_layers for it",
        ),
        ({"optimizer__learning_rate": math.nan}, "optimizer.learning_rate=nan must be a finite number"),
        ({"optimizer__clip_norm": math.inf}, "optimizer.clip_norm=inf must be a finite number"),
        ({"optimizer__warmup_steps": 1e2}, "optimizer.warmup_steps=100.0 must be int, not float"),
    ],
)
def test_a_wrong_type_is_named_with_its_key(changes, message):
    assert refusal(**changes) == message


def test_an_integer_is_a_number_too():
    config = build_config(changed(optimizer__learning_rate=1, loss__z_loss=0, model__dropout=0))
    assert config.optimizer.learning_rate == 1.0
    assert type(config.optimizer.learning_rate) is type(config.loss.z_loss) is type(config.model.dropout) is float


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a.txt", ("a.txt",)),
        ("a.txt, b/*.txt", ("a.txt", "b/*.txt")),
        (("a.txt", "b, c.txt"), ("a.txt", "b, c.txt")),
        (["a.txt", "b.txt"], ("a.txt", "b.txt")),
    ],
)
def test_sources_are_a_tuple_or_a_string_with_commas(given, expected):
    config = build_config(changed(data__train=given, data__valid=given))
    assert config.data.train == config.data.valid == expected


def test_a_file_may_have_a_comma_in_its_name(tmp_path):
    source = str(tmp_path / "a,b.txt")
    Path(source).write_text("text")
    assert build_config(changed(data__train=source)).data.train == (source,)


def test_a_prompt_may_have_commas():
    assert build_config(changed(training__sample_prompts="Yes, I")).training.sample_prompts == ("Yes, I",)
    assert build_config(changed(training__sample_prompts=["a", "b, c"])).training.sample_prompts == ("a", "b, c")
    assert build_config(changed(training__sample_prompts=())).training.sample_prompts == ()


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("data.train=a.txt,b.txt", "train", ("a.txt", "b.txt")),
        ("data.train=('a.txt', 'b.txt')", "train", ("a.txt", "b.txt")),
        ("data.train=['a.txt']", "train", ("a.txt",)),
        ("data.valid=()", "valid", ()),
        ("data.valid=", "valid", ()),
    ],
)
def test_sources_from_the_command_line(override, key, value):
    config = build_config(load_settings(ROOT / "configs/base.py", [override]))
    assert getattr(config.data, key) == value


@pytest.mark.parametrize(
    ("text", "weights"), [("(0.7, 3)", (0.7, 3.0)), ("0.7,3", (0.7, 3.0)), ("()", ()), ("[1, 2]", (1.0, 2.0))]
)
def test_weights_from_the_command_line(text, weights):
    config = build_config(load_settings(ROOT / "configs/base.py", [f"data.weights={text}"]))
    assert config.data.weights == weights


# Values.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed=-1 must be from 0 to 4294967295"),
        ({"seed": 2**32}, "seed=4294967296 must be from 0 to 4294967295"),
        ({"task": "causal-lm"}, "task='causal-lm' is not known (did you mean 'causal_lm'?); choose from: causal_lm"),
        (
            {"model__norm": "RMSNorm"},
            "model.norm='RMSNorm' is not known (did you mean 'rmsnorm'?); choose from: layernorm,",
        ),
        ({"model__dropout": 1.0}, "model.dropout=1.0 must be in [0, 1)"),
        ({"model__embed_dim": 96, "model__num_heads": 5}, "model.num_heads=5 does not divide embed_dim=96"),
        ({"tokenizer__model_type": "BPE"}, "tokenizer.model_type='BPE' is not known (did you mean 'bpe'?)"),
        ({"tokenizer__vocab_size": 2}, "tokenizer.vocab_size=2 must be at least 3"),
        ({"data__train": " , "}, "data.train is empty"),
        ({"data__text_field": ""}, "data.text_field is empty; name the field that holds the text"),
        ({"data__sequence_length": 0}, "data.sequence_length=0 must be at least 2"),
        (
            {"data__train": "a.txt,b.txt,a.txt"},
            "data.train names a.txt twice; data.weights can make a source count for more",
        ),
        ({"data__valid_fraction": 2}, "data.valid_fraction=2.0 must be between 0 and 1"),
        (
            {"data__packing": "bestfit"},
            "data.packing='bestfit' is not known (did you mean 'best_fit'?); choose from: best_fit",
        ),
        ({"data__on_end": "loop"}, "data.on_end='loop' is not known; choose from: repeat, stop"),
        ({"data__temperature": 0}, "data.temperature=0.0 must be above 0"),
        (
            {"data__weights": (1, 2, 3)},
            "data.weights=(1.0, 2.0, 3.0) must be one number for each of the 2 sources",
        ),
        (
            {"data__weights": (1, 0)},
            "data.weights=(1.0, 0.0) must be above 0; leave a source out of data.train instead",
        ),
        ({"data__weights": (1, 2), "data__temperature": 2}, "data.temperature makes weights of the sources' sizes"),
        ({"loss__label_smoothing": -0.1}, "loss.label_smoothing=-0.1 must be in [0, 1)"),
        ({"optimizer__name": "adam_w"}, "optimizer.name='adam_w' is not known (did you mean 'adamw'?)"),
        ({"optimizer__learning_rate": 0}, "optimizer.learning_rate=0.0 must be above 0"),
        ({"training__num_steps": 0}, "training.num_steps=0 must be at least 1"),
        ({"training__epochs": -1}, "training.epochs=-1 must not be negative"),
        ({"training__epochs": 2, "data__on_end": "stop"}, "training.epochs=2 and data.on_end='stop' both say"),
        (
            {"training__batch_size": 8, "training__microbatches": 3},
            "training.microbatches=3 does not divide batch_size=8",
        ),
        ({"training__patience": -1}, "training.patience=-1 must not be negative"),
        ({"mesh__fsdp": 0}, "mesh.fsdp=0"),
        (
            {"data__sequence_length": 128, "model__max_length": 64},
            "data.sequence_length=128 is above model.max_length=64; lower the first or raise the second",
        ),
    ],
)
def test_a_value_out_of_range_is_named_with_its_key(changes, message):
    assert refusal(**changes).startswith(message)


MAY_BE_ZERO = {"patience", "epochs", "activations_every"}
COUNTS = {field.name for field in dataclasses.fields(TrainingConfig) if field.type is int} - MAY_BE_ZERO


@pytest.mark.parametrize("name", sorted(COUNTS))
@pytest.mark.parametrize("value", [0, -1])
def test_counts_are_at_least_one(name, value):
    assert refusal(**{f"training__{name}": value}) == f"training.{name}={value} must be at least 1"


def test_a_vocabulary_below_the_tokenizers_is_refused():
    assert refusal(500, model__vocab_size=499) == (
        "model.vocab_size=499 is below the tokenizer's 500 pieces; raise it, or set None"
    )
    assert build_config(changed(model__vocab_size=500), 500).model.vocab_size == 500
