"""A folder that is used, damaged, or begun with something else is refused in one line that says what to do."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.configs import flatten
from common.errors import ConfigError, UserError
from data.corpus import load_corpus
from training.changes import HARMLESS
from training.config import RunConfig
from training.run_folder import RunFolder
from training.settings import load_settings


@pytest.fixture
def begun(tmp_path, run_config, overrides):
    """A folder with a run begun in it, its settings and its tokenizer."""
    config = run_config()
    corpus = load_corpus(config.data, config.tokenizer)
    given = [f"{key}={value}" for key, value in overrides().items()]
    settings = load_settings("configs/tiny.py", given)
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.begin(settings, corpus.tokenizer, {"sources": {}, "fingerprint": corpus.fingerprint})
    return folder, settings, corpus


def test_a_folder_explains_itself(begun):
    folder, settings, corpus = begun
    again = RunFolder(folder.path)
    assert flatten(again.settings()).keys() == flatten(settings).keys()
    assert again.tokenizer().model == corpus.tokenizer.model
    config = again.config(again.tokenizer())
    assert isinstance(config, RunConfig) and config.model.vocab_size == corpus.tokenizer.vocab_size
    assert again.data()["fingerprint"] == corpus.fingerprint
    assert RunFolder(folder.path.parent / "other").settings() is None


def test_a_run_that_was_begun_before_a_key_came_to_be(begun):
    """It goes on with the default; a key that has none, and one that is not known, are refused as ever."""
    folder, settings, corpus = begun
    stored = json.loads((folder.path / "config.json").read_text())
    before = folder.settings()
    del stored["corruption"], stored["model"]["sliding_window"], stored["tokenizer"]["special_tokens"]
    (folder.path / "config.json").write_text(json.dumps(stored))
    assert folder.settings() | before == before
    folder.refuse_changes(settings)
    config = folder.config(corpus.tokenizer)
    assert config.corruption.rate == 0.15 and config.model.sliding_window is None
    with pytest.raises(ConfigError, match=r"model\.sliding_window: None -> 8\)"):
        folder.refuse_changes(settings | {"model": settings["model"] | {"sliding_window": 8}})

    for section, change in (("optimizer", {}), ("model", stored["model"] | {"breadth": 3})):
        (folder.path / "config.json").write_text(json.dumps(stored | {section: change}))
        with pytest.raises(ConfigError, match=r"optimizer\.name is missing|model\.breadth is not a key"):
            folder.config(corpus.tokenizer)


def test_begun_again_writes_only_what_changed(begun):
    folder, settings, corpus = begun
    times = {path.name: path.stat().st_mtime_ns for path in folder.path.iterdir()}
    data = {"sources": {}, "fingerprint": corpus.fingerprint}
    folder.begin(settings, corpus.tokenizer, data)
    assert {path.name: path.stat().st_mtime_ns for path in folder.path.iterdir()} == times
    settings["training"]["log_every"] = 77
    folder.refuse_changes(settings)
    folder.begin(settings, corpus.tokenizer, data)
    assert RunFolder(folder.path).settings()["training"]["log_every"] == 77


@pytest.mark.parametrize("key", HARMLESS)
def test_harmless_changes_are_accepted(begun, key):
    folder, settings, _ = begun
    section, name = key.split(".")
    settings[section][name] = "something else"
    folder.refuse_changes(settings)


def test_harmful_changes_are_listed(begun):
    folder, settings, _ = begun
    settings["model"]["embed_dim"] = 99
    settings["seed"] = 5
    with pytest.raises(ConfigError) as caught:
        folder.refuse_changes(settings)
    assert str(caught.value) == (
        f"{folder.path} was begun with other settings (model.embed_dim: 16 -> 99; seed: 0 -> 5); "
        "set them back to resume, or give another --workdir=DIR"
    )


def test_a_changed_text_is_refused(begun):
    folder, settings, corpus = begun
    with pytest.raises(UserError, match=r"the training text .* has changed since .* bring the old one back"):
        folder.begin(settings, corpus.tokenizer, {"sources": {}, "fingerprint": "another"})


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("config.json", b"{", "config.json cannot be read"),
        ("config.json", b"", "config.json cannot be read"),
        ("config.json", b"[]", "config.json is not a JSON object"),
        ("config.json", b"\xff\xfe", "config.json cannot be read"),
        ("config.json", b"{}", "was begun with other settings"),
        ("tokenizer.model", b"nonsense", "tokenizer.model: the tokenizer is not a SentencePiece model"),
        ("tokenizer.model", b"", "tokenizer.model"),
        ("tokenizer.model", None, r"has no tokenizer \(tokenizer.model"),
        ("data.json", b"{", "data.json cannot be read"),
        ("data.json", b'{"a": 1}', "has changed since"),
        ("data.json", b"{}", "has changed since"),
    ],
)
def test_damaged_small_files(begun, name, content, message):
    """As train.py reads them when it resumes."""
    folder, settings, corpus = begun
    path = folder.path / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        folder.refuse_changes(settings)
        tokenizer = folder.tokenizer()
        folder.begin(settings, tokenizer, {"sources": {}, "fingerprint": corpus.fingerprint})
    assert "\n" not in str(caught.value)


def test_a_folder_killed_before_it_was_complete_begins_anew(begun):
    """config.json comes last: without it nothing else counts."""
    folder, settings, corpus = begun
    (folder.path / "config.json").unlink()
    (folder.path / "data.json").write_text("{}")
    folder.refuse_changes({"anything": 1})
    folder.begin(settings, corpus.tokenizer, {"sources": {}, "fingerprint": "another"})
    assert folder.data()["fingerprint"] == "another"


# The lock


@pytest.mark.parametrize("path", ["file", "file/below", "/proc/run", "/dev/null", "/sys/run"])
def test_a_folder_that_cannot_be_written(tmp_path, path):
    (tmp_path / "file").write_text("text")
    with (
        pytest.raises(UserError, match=r"^--workdir: cannot write in .* \(.+\); give another --workdir=DIR$"),
        RunFolder(tmp_path / path).lock(),
    ):
        pytest.fail("locked")


def test_a_locked_folder_is_refused_and_free_afterwards(tmp_path):
    folder = RunFolder(tmp_path / "run")
    refused = pytest.raises(UserError, match=rf"another run \(process {os.getpid()}\) is using {folder.path}")
    with folder.lock(), refused, RunFolder(tmp_path / "run").lock():
        pytest.fail("locked twice")
    with RunFolder(tmp_path / "run").lock():
        pass


def test_a_lock_ends_with_its_process(tmp_path):
    """However it ends, and whatever it left in the file."""
    code = "import os, signal, sys; from training.run_folder import RunFolder\nwith RunFolder(sys.argv[1]).lock():\n"
    code += "    print('held', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    held = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert held.stdout == "held\n" and held.returncode == -9
    assert (tmp_path / ".lock").read_text()
    with RunFolder(tmp_path).lock():
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch, capsys, number):
    """As Google Drive in Colab: the run goes on."""

    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    with RunFolder(tmp_path / "run").lock():
        assert (tmp_path / "run" / ".lock").read_text() == str(os.getpid())
    assert capsys.readouterr().err == (
        f"warning: {tmp_path}/run cannot be locked ({os.strerror(number)}); see to it that no other run is using it\n"
    )


# --ckpt


def test_find(begun):
    folder, _, _ = begun
    step = folder.checkpoints / "12"
    step.mkdir(parents=True)
    for path, number in ((folder.path, None), (folder.checkpoints, None), (step, 12)):
        found, its = RunFolder.find(path)
        assert found.path == folder.path and its == number


@pytest.mark.parametrize(
    "path, message",
    [
        ("nowhere", "there is no "),
        ("empty", "is not a run's folder"),
        ("another", "its config.json is not that of a run; give a run's folder"),
    ],
)
def test_find_says_what_is_missing(tmp_path, path, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "another").mkdir()
    (tmp_path / "another" / "config.json").write_text('{"name": "an app"}')
    with pytest.raises(UserError, match=message):
        RunFolder.find(tmp_path / path)
    shutil.rmtree(tmp_path / "empty")


def test_a_run_that_a_config_makes_is_told_how():
    for name in ("base", "finetune/chat"):
        path = Path("runs") / Path(name).name
        with pytest.raises(UserError) as caught:
            RunFolder.find(Path("/nowhere") / path)
        made = f"`python train.py --config configs/{name}.py` makes it; or give another run's folder"
        assert str(caught.value) == f"there is no /nowhere/{path}; {made}"
    for path in ("/nowhere/runs/mine", "/nowhere/base"):
        with pytest.raises(UserError, match="give a run's folder, such as runs/base"):
            RunFolder.find(path)


def test_a_folder_with_files_of_others_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "my_text.txt").write_text("text")
    message = r"is not a run's folder and holds other files, such as my_text\.txt"
    with pytest.raises(UserError, match=message), RunFolder(tmp_path).lock():
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["my_text.txt"]


def test_a_run_killed_while_it_begins_from_converted_weights_goes_on(tmp_path, monkeypatch):
    settings = load_settings("configs/tiny.py")
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "data.json").write_text('{"converted_from": {}}')
    folder, changed, origin = RunFolder(tmp_path), settings | {"seed": 3}, {"fingerprint": "text"}
    write = RunFolder._write

    def write_one(self, name, content):
        write(self, name, content)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "_write", write_one)
    with pytest.raises(KeyboardInterrupt):
        folder.begin(changed, None, origin)
    monkeypatch.setattr(RunFolder, "_write", write)
    folder.refuse_changes(changed)
    folder.begin(changed, None, origin)
    assert folder.settings()["seed"] == 3 and folder.data() == {"converted_from": {}} | origin
    with pytest.raises(ConfigError, match="was begun with other settings"):
        folder.refuse_changes(settings)


def test_what_a_run_killed_before_it_began_has_left_is_no_file_of_others(tmp_path):
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    for name in ("tokenizer.model", "spiece.model", "generation_config.json", "data.json", ".config.json.x1"):
        (tmp_path / name).touch()
    with folder.lock():
        pass

    (folder.checkpoints / "3").mkdir(parents=True)
    with pytest.raises(UserError, match="holds other files, such as checkpoints"), folder.lock():
        pass
    assert (folder.checkpoints / "3").is_dir()


def test_a_run_that_is_refused_leaves_no_folder_behind(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "deep" / "mine")
    with pytest.raises(UserError), folder.lock():
        assert (folder.path / ".lock").is_file()
        raise UserError("no such text")
    assert not any(tmp_path.iterdir())

    (tmp_path / "runs").mkdir()
    with pytest.raises(UserError), folder.lock():
        raise UserError("no such text")
    assert [path.name for path in tmp_path.rglob("*")] == ["runs"]

    with pytest.raises(UserError), folder.lock():
        (folder.path / "data.json").touch()
        raise UserError("later")
    assert {path.name for path in folder.path.iterdir()} == {"data.json", ".lock"}
