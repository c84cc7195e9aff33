"""sample.py as a user runs it, on a run that tiny.py trained."""

import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import common.command
import sample
from common.command import run_command
from data.tokenizer import TokenizerConfig, train
from training.checkpoints import Checkpoints
from training.step import TrainState
from training.trained_model import load_model

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def run(tmp_path_factory, cache_dir) -> Path:
    """A run's folder with checkpoints of steps 3 and 6."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    overrides = {
        "data.cache_dir": cache_dir,
        "training.num_steps": 6,
        "training.eval_every": 6,
        "training.checkpoint_every": 3,
        "training.tensorboard": False,
    }
    subprocess.run(
        [sys.executable, ROOT / "train.py", "--config", ROOT / "configs/tiny.py", "--workdir", folder]
        + [f"--config.{key}={value}" for key, value in overrides.items()],
        check=True,
        capture_output=True,
        env=os.environ | {"XLA_FLAGS": ""},
    )
    return folder


@pytest.fixture
def call(monkeypatch, capfd):
    """`call("--ckpt", …)`: sample.py in this process, which need not import JAX again; (status, stdout, stderr)."""
    monkeypatch.setattr(common.command, "STOPS", ())  # pytest keeps its own handlers

    def run_sample(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sample.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            run_command(sample.main)
        captured = capfd.readouterr()
        return end.value.code, captured.out, captured.err

    return run_sample


def completions(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


def is_one_line(error: str) -> bool:
    return error.startswith("sample.py: ") and error.count("\n") == 1 and error.endswith("\n")


def test_json_of_several_prompts_and_samples(command, call, run):
    prompts = ["zh:", "en: hello", ""]
    flags = [flag for prompt in prompts for flag in ("--prompt", prompt)]
    arguments = ["--ckpt", str(run), *flags, "--num_samples", "2", "--max_new_tokens", "7", "--json"]
    done = command("sample.py", *arguments)
    assert done.returncode == 0 and done.stderr == ""
    found = completions(done.stdout)
    assert [completion["prompt"] for completion in found] == [prompt for prompt in prompts for _ in range(2)]
    for completion in found:
        assert list(completion) == ["prompt", "text", "tokens", "logprobs", "finish_reason"]
        assert len(completion["tokens"]) == len(completion["logprobs"]) <= 7
        assert all(logprob < 0 for logprob in completion["logprobs"])
        assert completion["finish_reason"] == ("length" if len(completion["tokens"]) == 7 else "stop")
        assert isinstance(completion["text"], str)
    assert found[0]["tokens"] != found[1]["tokens"]
    for ours, theirs in zip(completions(call(*arguments)[1]), found, strict=True):  # another process, the same text
        assert ours.pop("logprobs") == pytest.approx(theirs.pop("logprobs"), rel=1e-5)  # tests compile otherwise
        assert ours == theirs


def test_text_is_that_of_json_and_answers_are_divided_by_lines(call, run):
    flags = ["--ckpt", run, "--prompt", "zh:", "--prompt", "en:", "--max_new_tokens", 5]
    texts = [completion["text"] for completion in completions(call(*flags, "--json")[1])]
    assert call(*flags)[1] == f"{texts[0]}\n---\n{texts[1]}\n"
    four = [completion["text"] for completion in completions(call(*flags, "--json", "--num_samples", 2)[1])]
    assert call(*flags, "--num_samples", 2)[1] == "\n---\n".join(four) + "\n"


def test_another_seed_gives_another_text(call, run):
    flags = ["--ckpt", run, "--prompt", "zh:", "--max_new_tokens", 8]
    texts = {call(*flags, "--seed", seed)[1] for seed in (0, 1, 2)}
    assert len(texts) == 3
    assert call(*flags, "--seed", 1)[1] in texts


def test_folder_checkpoints_and_one_step(call, run):
    flags = ["--prompt", "zh:", "--max_new_tokens", 4, "--temperature", 0, "--json"]
    newest = call("--ckpt", run, *flags)
    assert newest[0] == 0
    assert call("--ckpt", run / "checkpoints", *flags) == newest
    assert call("--ckpt", run / "checkpoints" / "6", *flags) == newest
    status, earlier, _ = call("--ckpt", run / "checkpoints" / "3", *flags)
    assert status == 0
    assert completions(earlier)[0]["logprobs"] != completions(newest[1])[0]["logprobs"]


def test_a_run_that_was_moved_by_a_relative_path(call, run, tmp_path, monkeypatch):
    flags = ["--prompt", "zh:", "--max_new_tokens", 4, "--json"]
    before = call("--ckpt", run, *flags)
    shutil.copytree(run, tmp_path / "elsewhere" / "moved")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert call("--ckpt", "moved", *flags) == before
    monkeypatch.chdir(tmp_path / "elsewhere" / "moved" / "checkpoints")
    assert call("--ckpt", ".", *flags) == before
    assert before[0] == 0


def test_stop_ends_before_its_text(call, run):
    flags = ["--ckpt", run, "--prompt", "zh:", "--max_new_tokens", 12, "--json"]
    whole = completions(call(*flags)[1])[0]["text"]
    stop = whole[3:5]
    found = completions(call(*flags, "--stop", "never this", "--stop", stop)[1])[0]
    assert found["text"] == whole[: whole.index(stop)]
    assert found["finish_reason"] == "stop" and len(found["tokens"]) < 12


def test_prompts_from_standard_input(command, run):
    flags = ["--ckpt", str(run), "--max_new_tokens", "4", "--temperature", "0"]
    piped = command("sample.py", *flags, "--json", input="\nzh: 你好\n\n \nen:")
    assert piped.returncode == 0 and piped.stderr == ""
    assert [completion["prompt"] for completion in completions(piped.stdout)] == ["zh: 你好", "en:"]


def test_that_there_is_less_room_than_asked_for_is_told_once(call, run):
    flags = ["--ckpt", run, "--prompt", "zh:", "--prompt", "en:", "--temperature", 0]
    status, output, error = call(*flags, "--max_new_tokens", 500, "--json")
    assert status == 0 and all(each["finish_reason"] == "length" for each in completions(output))
    prompt = len(load_model(str(run), print).tokenizer.encode("zh:"))
    assert len(completions(output)[0]["tokens"]) == 64 - prompt  # tiny.py's model.max_length is 64
    assert error == (
        "--max_new_tokens 500 is more than there is room for: this model takes 64 tokens, the prompt's included\n"
    )
    assert call(*flags, "--max_new_tokens", 64 - prompt)[2] == ""


def test_a_reader_that_leaves_is_no_error(run):
    script = f"{sys.executable} {ROOT / 'sample.py'} --ckpt {run} --max_new_tokens 50 --temperature 0 | head -c 1"
    done = subprocess.run(["bash", "-c", script], input=b"zh:\nen:\nzh:\n", capture_output=True, timeout=120)
    assert done.returncode == 0 and done.stderr == b""
    assert len(done.stdout) == 1


ON_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


class Terminal:
    """sample.py on a terminal of its own; what is on its screen is in `seen`."""

    def __init__(self, *arguments: str):
        command = [sys.executable, "-c", ON_A_TERMINAL, sys.executable, str(ROOT / "sample.py"), *arguments]
        environment = os.environ | {"TERM": "dumb"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self.seen = ""

    def until(self, text: str, times: int = 1) -> None:
        """Waits for `text` on the screen."""
        end = time.monotonic() + 120
        while self.seen.count(text) < times:
            assert time.monotonic() < end, f"no {text!r} in {self.seen!r}"
            if not self._read():
                break
        assert self.seen.count(text) >= times, f"no {text!r} in {self.seen!r}"

    def type(self, text: str) -> None:
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self) -> int:
        """Waits for the end, and returns the exit status."""
        while self._read():
            pass
        return self.process.wait(timeout=120)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.process.stdout], [], [], 120)
        data = os.read(self.process.stdout.fileno(), 4096) if ready else b""
        self.seen += data.decode(errors="replace")
        return bool(data)


def test_on_a_terminal_it_asks_streams_and_ends_with_control_d(run, call):
    expected = call("--ckpt", run, "--prompt", "en:", "--max_new_tokens", 6, "--temperature", 0)[1].strip()
    terminal = Terminal("--ckpt", str(run), "--max_new_tokens", "6", "--temperature", "0")
    terminal.until("> ")
    assert "Ctrl-D" in terminal.seen
    terminal.type("\n")
    terminal.until("\n> ", times=2)  # only then does it read keys
    terminal.type("en:\n")
    terminal.until(expected.replace("\n", "\r\n"))
    terminal.until("\n> ", times=3)
    terminal.type("never " * 100 + "\n")  # too long: said, and asked again
    terminal.until("too long")
    terminal.until("\n> ", times=4)
    terminal.type("\x04")
    assert terminal.end() == 0
    assert "Traceback" not in terminal.seen and terminal.seen.endswith("\n")


def test_on_a_terminal_control_c_ends_without_traceback(run):
    terminal = Terminal("--ckpt", str(run))
    terminal.until("> ")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "Traceback" not in terminal.seen


def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_is_used(call, run, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(run, folder)
    files = [path for path in (folder / "checkpoints" / "6" / "params").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = os.urandom(64)
    largest.write_bytes(data)
    flags = ["--prompt", "zh:", "--max_new_tokens", 3, "--json"]
    status, output, error = call("--ckpt", folder, *flags)
    assert status == 0
    assert error.count("\n") == 1 and "checkpoint of step 6 cannot be read" in error
    assert output == call("--ckpt", run / "checkpoints" / "3", *flags)[1]
    status, output, error = call("--ckpt", folder / "checkpoints" / "6", *flags)
    assert status == 1 and output == "" and error.splitlines()[-1].startswith("sample.py: step 6 in ")


def test_parameters_that_are_no_numbers_are_one_line(call, run, tmp_path):
    folder = tmp_path / "diverged"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("checkpoints"))
    params = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), load_model(str(run), print).params)
    checkpoints = Checkpoints(folder / "checkpoints")
    key = jax.random.key_data(jax.random.key(0))
    checkpoints.save(TrainState(jnp.int32(7), params, {"count": jnp.zeros(())}, key), valid_loss=None)
    checkpoints.wait()
    status, output, error = call("--ckpt", folder, "--prompt", "zh:")
    assert status == 1 and output == "" and is_one_line(error) and "NaN" in error


@pytest.mark.parametrize("flags", [["--prompt", "en: "], ["--prompt", "en:", "--prompt", "zh: the "]])
def test_a_space_at_the_end_of_a_prompt_is_told(call, run, flags):
    status, output, error = call("--ckpt", run, *flags, "--max_new_tokens", 2, "--json")
    assert status == 0 and len(completions(output)) == len(flags) // 2
    assert error.count("\n") == 1 and "ends in a space" in error


def test_a_space_at_the_end_is_not_told_where_characters_are_the_vocabulary(call, run, tmp_path):
    folder = tmp_path / "characters"
    shutil.copytree(run, folder)
    settings = json.loads((folder / "config.json").read_text())
    settings["model"]["vocab_size"] = load_model(str(run), print).config.vocab_size
    (folder / "config.json").write_text(json.dumps(settings))
    characters = train(["en: the cat"], TokenizerConfig(100, "char", 1.0, byte_fallback=False, split_digits=True))
    (folder / "tokenizer.model").write_bytes(characters.model)
    status, output, error = call("--ckpt", folder, "--prompt", "en: ", "--max_new_tokens", 20)
    assert status == 0 and error == ""
    assert "\u2047" not in output  # neither the unknown token nor one that the tokenizer does not have
    assert set(output) <= set("en: thca\n")


@pytest.mark.parametrize(
    ("ckpt", "part"),
    [
        ("nowhere", "there is no"),
        (".", "no config.json"),
        ("file", "no config.json"),
        ("tiny/checkpoints/5", "there is no"),
        ("empty", "no checkpoint yet"),
        ("headless", "has no tokenizer"),
    ],
)
def test_what_is_no_run_is_one_line_and_status_1(call, run, tmp_path, ckpt, part):
    (tmp_path / "file").write_text("not a run")
    (tmp_path / "tiny").symlink_to(run)
    for name, missing in (("empty", "checkpoints"), ("headless", "tokenizer.model")):
        shutil.copytree(run, tmp_path / name, ignore=shutil.ignore_patterns(missing))
    status, output, error = call("--ckpt", tmp_path / ckpt, "--prompt", "zh:")
    assert status == 1 and output == "" and is_one_line(error) and part in error


def test_a_prompt_that_is_too_long_is_one_line_and_status_2(call, run):
    status, output, error = call("--ckpt", run, "--prompt", "好" * 100)
    assert status == 2 and output == "" and is_one_line(error)
    assert "too long" in error and "63" in error  # tiny.py has a context of 64, one of which begins the text


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--temperature", "-1"], "--temperature -1.0"),
        (["--temperature", "nan"], "--temperature nan"),
        (["--top_p", "0"], "--top_p 0.0"),
        (["--top_k", "-1"], "--top_k -1"),
        (["--max_new_tokens", "0"], "--max_new_tokens 0"),
        (["--num_samples", "0"], "--num_samples 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--stop", ""], "--stop"),
        (["--prompt", b"zh: \xff"], "--prompt is not valid UTF-8 (character 5)"),
        (["--stop", b"\xe4\xbd"], "--stop is not valid UTF-8"),
    ],
)
def test_a_wrong_value_is_one_line_and_status_2_before_anything_is_read(call, flags, part):
    flags = [os.fsdecode(flag) for flag in flags]
    status, output, error = call("--ckpt", "nowhere", *flags)
    assert status == 2 and output == "" and is_one_line(error) and part in error


@pytest.mark.parametrize("flags", [["--ckpt", "x", "--promt", "a"], ["--prompt", "a"], ["--ckpt", "x", "--seed", "a"]])
def test_bad_usage_is_status_2(call, flags):
    status, output, error = call(*flags)
    assert status == 2 and output == ""
    assert error.splitlines()[-1].startswith("sample.py: error: ") and "Traceback" not in error


def test_input_that_is_not_utf8_is_one_line(run):
    done = subprocess.run(
        [sys.executable, ROOT / "sample.py", "--ckpt", run, "--max_new_tokens", "2"],
        input=b"\xff\xfe\n",
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        timeout=120,
    )
    assert done.returncode == 2 and done.stdout == b""
    assert is_one_line(done.stderr.decode()) and b"not valid UTF-8" in done.stderr
