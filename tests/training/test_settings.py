import json
import re
from pathlib import Path

import pytest

from common.configs import flatten
from common.errors import ConfigError
from configs import base
from training.config import build_config
from training.settings import load_settings

ROOT = Path(__file__).parent.parent.parent
BASE = ROOT / "configs/base.py"
CHANGED = "from configs import base\n\ndef get_config():\n    config = base.get_config()\n    {}\n    return config\n"


@pytest.fixture
def write(tmp_path):
    """`write(source)`: a config file with this source."""

    def make(source: str | bytes, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
        return path

    return make


def refusal(path, *overrides: str) -> str:
    """The message with which settings are refused; it is one line that fits on a screen."""
    with pytest.raises(ConfigError) as caught:
        load_settings(path, overrides)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    return message


# The config file.


def test_a_config_is_base_with_changes(write):
    path = write(CHANGED.format("config.model.embed_dim = 24; config.training.update({'num_steps': 3})"))
    changed, unchanged = flatten(load_settings(path)), flatten(load_settings(BASE))
    assert changed == unchanged | {"model.embed_dim": 24, "training.num_steps": 3}
    assert unchanged == flatten(base.get_config().to_dict())


def test_a_config_is_found_from_any_directory(write, tmp_path, monkeypatch):
    path = write(CHANGED.format("config.seed = 7"))
    for folder, relative in ((tmp_path, "mine.py"), (tmp_path.parent, f"{tmp_path.name}/mine.py")):
        monkeypatch.chdir(folder)
        assert load_settings(relative)["seed"] == 7
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings("~/mine.py") == load_settings(path)


def test_a_config_that_is_changed_at_once_is_read_anew(write):
    for seed in range(5):
        assert load_settings(write(CHANGED.format(f"config.seed = {seed}")))["seed"] == seed


def test_reading_a_config_leaves_nothing_behind(write, tmp_path):
    load_settings(write(CHANGED.format("pass")))
    assert [file.name for file in tmp_path.iterdir()] == ["mine.py"]


def test_what_is_no_file_is_refused(tmp_path, write):
    write("", "tiny.py")
    assert refusal(tmp_path / "tny.py") == (
        f"--config: cannot read {tmp_path}/tny.py (No such file or directory); did you mean {tmp_path}/tiny.py?"
    )
    (tmp_path / "folder.py").mkdir()
    assert f"cannot read {tmp_path}/folder.py (Is a directory); give a path" in refusal(tmp_path / "folder.py")
    for path in (tmp_path, write("{}", "config.yaml")):
        assert refusal(path) == f"--config: '{path}' is not a Python file; try configs/base.py"


def test_a_relative_path_is_said_in_full_with_one_to_paste(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    no_file = f"--config: cannot read {tmp_path}/configs/{{}} (No such file or directory); "
    assert refusal("configs/base.py") == no_file.format("base.py") + f"did you mean {BASE}?"
    assert refusal("configs/no.py") == no_file.format("no.py") + f"give a path from anywhere, such as {BASE}"
    monkeypatch.chdir(ROOT)
    assert refusal("configs/tny.py").endswith("; did you mean configs/tiny.py?")


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("import os\n\nundefined\n", 3, "NameError: name 'undefined' is not defined"),
        ("def get_config():\n    return 1 / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("def get_config():\n    helper()\n\ndef helper():\n    raise ValueError('no')\n", 5, "ValueError: no"),
        ("\ndef get_config(:\n    pass\n", 2, "SyntaxError: invalid syntax"),
        ("x = 1\nimport no_such_package\n", 2, "ModuleNotFoundError: No module named 'no_such_package'"),
        ("x = 1\nraise SystemExit(3)\n", 2, "SystemExit: 3"),
        ("x = {}\nx['key']\n", 2, "KeyError: key"),
        ("import json\njson.loads('{')\n", 2, "JSONDecodeError: Expecting property name"),
        ("x = '\xe9'".encode("latin-1"), 1, "SyntaxError: (unicode error) 'utf-8' codec can't decode byte 0xe9"),
        (
            "def get_config():\n    from model import presets\n    presets.gpt2('124')\n",
            3,
            "size='124' is not known (did",
        ),
    ],
)
@pytest.mark.parametrize("relative", [False, True], ids=["absolute path", "relative path"])
def test_a_file_that_fails_is_named_with_the_line(write, monkeypatch, tmp_path, source, line, reason, relative):
    path = write(source)
    if relative:
        monkeypatch.chdir(tmp_path)
        path = "mine.py"
    assert refusal(path).startswith(f"{path}, line {line}: {reason}")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "there is no get_config() in it; start from configs/tiny.py"),
        ("def config(): pass", "there is no get_config() in it"),
        ("def get_config(): return {}", "get_config() returned dict, not an ml_collections.ConfigDict"),
        ("def get_config(): pass", "get_config() returned NoneType, not an ml_collections.ConfigDict"),
        ("def get_config(size): pass", "TypeError: get_config() missing 1 required positional argument: 'size'"),
        ("get_config = 3", "TypeError: 'int' object is not callable"),
        ("x = 1\0", "SyntaxError: source code string cannot contain null bytes"),
    ],
)
def test_a_file_without_a_config_is_refused(write, source, reason):
    path = write(source)
    assert refusal(path).startswith(f"{path}: {reason}")


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("config.model.embed_dimm = 3", 'Key "embed_dimm" does not exist.* Did you mean "embed_dim"'),
        ("config.model.update({'embed_dimm': 3})", 'Key "embed_dimm" does not exist.* Did you mean "embed_dim"'),
        ("config.modle.embed_dim = 3", 'Did you mean "model" instead of "modle"'),
        ("config.model.embed_dim = config.model.num_head", 'Did you mean "num_heads" instead of "num_head"'),
        ("config.dropout = 0.1", 'Key "dropout" does not exist'),
    ],
)
def test_a_typo_in_a_file_is_named_with_its_line_and_the_nearest_key(write, statement, reason):
    path = write(CHANGED.format(statement))
    message = refusal(path)
    assert message.startswith(f"{path}, line 5: ")
    assert re.search(reason, message)


def test_types_are_left_to_build_config(write):
    path = write(CHANGED.format("config.data.train = 'a.txt, b.txt'; config.optimizer.learning_rate = 1"))
    config = build_config(load_settings(path))
    assert config.data.train == ("a.txt", "b.txt")
    assert config.optimizer.learning_rate == 1.0
    path = write(CHANGED.format("config.model.embed_dim = '192'"))
    with pytest.raises(ConfigError, match=r"model.embed_dim='192' must be int, not str"):
        build_config(load_settings(path))


# Overrides.


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("seed=7", 7),
        ("seed= 7", 7),
        ("seed=0x10", 16),
        ("optimizer.learning_rate=3e-4", 3e-4),
        ("optimizer.learning_rate=1", 1),
        ("loss.z_loss=-1.5", -1.5),
        ("corruption.rate=inf", float("inf")),
        ("model.use_bias=true", True),
        ("model.use_bias=False", False),
        ("model.mlp_dim=None", None),
        ("model.mlp_dim=none", None),
        ("model.num_kv_heads=2", 2),
        ("model.remat=none", "none"),  # text stays text
        ("task=1", "1"),
        ("training.wandb_project=a=b", "a=b"),
        ("training.wandb_project=", ""),
        ("data.train=a.txt,b.txt", "a.txt,b.txt"),
        ("data.train=('a.txt', 'b.txt')", ("a.txt", "b.txt")),
        ("data.train=[]", []),
        ("data.train=corpus/*.txt", "corpus/*.txt"),
        ("training.sample_prompts=Hello, world", "Hello, world"),
        ("seed=seven", "seven"),
        ("seed={[]: 1}", "{[]: 1}"),
        ("seed=" + "(" * 5000, "(" * 5000),
        ("seed=" + "9" * 5000, "9" * 5000),
    ],
)
def test_an_override_is_a_literal_or_else_text(override, value):
    key, _, _ = override.partition("=")
    settings = flatten(load_settings(BASE, [override]))
    assert settings[key] == value and type(settings[key]) is type(value)
    assert {k: v for k, v in settings.items() if k != key} == {
        k: v for k, v in flatten(load_settings(BASE)).items() if k != key
    }


def test_the_last_override_of_a_key_holds():
    assert load_settings(BASE, ["seed=1", "seed=2"])["seed"] == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "model.embed_dimm=3",
            "--config.model.embed_dimm is not a key (did you mean 'model.embed_dim'?); configs/base.py",
        ),
        ("modle.embed_dim=3", "--config.modle.embed_dim is not a key (did you mean 'model.embed_dim'?)"),
        ("learning_rate=3", "--config.learning_rate is not a key (did you mean 'optimizer.learning_rate'?)"),
        ("b1=0.9", "--config.b1 is not a key (did you mean 'optimizer.b1'?)"),
        ("vocab_size=99", "(did you mean 'model.vocab_size' or 'tokenizer.vocab_size'?)"),
        ("Model.Embed_Dim=3", "(did you mean 'model.embed_dim'?)"),
        ("qqqq=3", "--config.qqqq is not a key; configs/base.py lists them all"),
        ("=3", "--config. is not a key"),
        ("seed.x=3", "--config.seed.x is not a key"),
        ("seed", "--config.seed has no value; write --config.seed=VALUE"),
        ("nothing", "--config.nothing has no value; write --config.nothing=VALUE"),
        ("mesh=3", "--config.mesh is a section; set one of its keys: mesh.data, mesh.fsdp, mesh.tensor"),
    ],
)
def test_an_override_of_no_key_is_refused(override, message):
    assert message in refusal(BASE, override)


def test_a_section_is_flat_by_dotted_key():
    assert flatten({"a": 1, "b": {"c": {"d": (2,)}, "e": None}}) == {"a": 1, "b.c.d": (2,), "b.e": None}


def test_the_command_says_it_in_one_line(command, tmp_path):
    (tmp_path / "mine.py").write_text(CHANGED.format("config.modle = 3"))
    done = command("train.py", "--config", "mine.py", "--config.data.train=a.txt")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("train.py: mine.py, line 5: ") and done.stderr.count("\n") == 1


def test_config_json_of_an_older_version_gets_the_defaults_of_the_keys_it_lacks(tmp_path):
    older = json.loads(json.dumps(load_settings(BASE)))
    del older["corruption"], older["model"]["sliding_window"], older["tokenizer"]["special_tokens"]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(older))
    settings = load_settings(path, ["model.sliding_window=8"])
    assert settings["corruption"]["rate"] == 0.15 and settings["tokenizer"]["special_tokens"] == ()
    config = build_config(settings, vocab_size=2048)
    assert config.model.sliding_window == 8
    assert load_settings(path)["model"]["sliding_window"] is None


@pytest.mark.parametrize("content", ["{", "[]", '{"model_type": "llama"}'])
def test_what_is_no_config_json_of_a_run_says_what_to_give(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"config.json.*; give a run's config.json, or a Python file"):
        load_settings(tmp_path / "config.json")
