"""sample.py as a user runs it, on a run that tiny.py trained."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pyarrow.parquet
import pytest

from data.tokenizer import TokenizerConfig, train
from model.parameters import init_params
from tests.sampling import Terminal, completions, is_one_line, notes
from training.checkpoints import Checkpoints
from training.run_folder import RunFolder
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


def save_params(folder: Path, params) -> None:
    """A checkpoint of step 7."""
    checkpoints = Checkpoints(folder / "checkpoints")
    key = jax.random.key_data(jax.random.key(0))
    checkpoints.save(TrainState(jnp.int32(7), params, {"count": jnp.zeros(())}, key), None)
    checkpoints.wait()


def test_json_of_several_prompts_and_samples(command, call, run):
    prompts = ["zh:", "en: hello", ""]
    flags = [flag for prompt in prompts for flag in ("--prompt", prompt)]
    arguments = ["--ckpt", str(run), *flags, "--num_samples", "2", "--max_new_tokens", "7", "--json"]
    done = command("sample.py", *arguments)
    assert done.returncode == 0 and notes(done.stderr) == ""
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
    newest = call("--ckpt", run, *flags)[:2]
    assert newest[0] == 0
    assert call("--ckpt", run / "checkpoints", *flags)[:2] == newest
    assert call("--ckpt", run / "checkpoints" / "6", *flags)[:2] == newest
    status, earlier, _ = call("--ckpt", run / "checkpoints" / "3", *flags)
    assert status == 0
    assert completions(earlier)[0]["logprobs"] != completions(newest[1])[0]["logprobs"]


def test_a_run_that_was_moved_by_a_relative_path(call, run, tmp_path, monkeypatch):
    flags = ["--prompt", "zh:", "--max_new_tokens", 4, "--json"]
    before = call("--ckpt", run, *flags)[:2]
    shutil.copytree(run, tmp_path / "elsewhere" / "moved")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert call("--ckpt", "moved", *flags)[:2] == before
    monkeypatch.chdir(tmp_path / "elsewhere" / "moved" / "checkpoints")
    assert call("--ckpt", ".", *flags)[:2] == before
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
    assert piped.returncode == 0 and notes(piped.stderr) == ""
    assert [completion["prompt"] for completion in completions(piped.stdout)] == ["zh: 你好", "en:"]


def test_prompts_of_a_file_are_answered_in_order_and_the_same_whatever_the_batches(call, run, tmp_path):
    prompts = ["zh: 你好", "en:", "zh: 你好", "zh: 我们 是", "a"]
    (tmp_path / "prompts.txt").write_text("\n".join(["", *prompts, " "]), encoding="utf-8")
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    (tmp_path / "prompts.csv").write_text("\n".join(["id,prompt", *(f'1,"{prompt}"' for prompt in prompts)]), "utf-8")
    pyarrow.parquet.write_table(pyarrow.table({"prompt": prompts}), tmp_path / "prompts.parquet")
    flags = ["--ckpt", run, "--max_new_tokens", 6, "--num_samples", 2, "--json"]

    def tokens(*source: object) -> list[tuple[str, list[int]]]:
        status, output, error = call(*flags, *source)
        assert status == 0 and notes(error) == ""
        return [(each["prompt"], each["tokens"]) for each in completions(output)]

    found = tokens("--prompts_file", tmp_path / "prompts.txt", "--batch_size", 3)
    assert [prompt for prompt, _ in found] == [prompt for prompt in prompts for _ in range(2)]
    assert found[0] != found[1] and found[0] != found[4]  # each draws for itself
    for ending in ("jsonl", "csv", "parquet"):
        assert tokens("--prompts_file", tmp_path / f"prompts.{ending}") == found
    assert tokens(*(flag for prompt in prompts for flag in ("--prompt", prompt))) == found
    lines = call(*flags[:-1], "--prompts_file", tmp_path / "prompts.txt")[1]
    assert lines.split("\n---\n")[1] == completions(call(*flags, "--prompt", prompts[0])[1])[1]["text"]


def test_of_several_prompts_the_one_that_is_too_long_is_named_before_any_is_answered(call, run):
    status, output, error = call("--ckpt", run, "--prompt", "zh:", "--prompt", "好" * 100)
    assert (
        status == 2
        and output == ""
        and is_one_line(error)
        and "--prompt '好" in error
        and "a prompt of 100 tokens" in error
    )


def test_a_prompt_that_is_too_long_slides_where_it_may(call, run):
    flags = ["--ckpt", run, "--prompt", "好" * 100, "--slide", "--max_new_tokens", 20, "--json"]
    status, output, error = call(*flags)
    assert status == 0 and notes(error) == "" and len(completions(output)[0]["tokens"]) == 20


def test_settings_do_what_they_say(call, run):
    def first(*flags: object) -> dict:
        status, output, error = call("--ckpt", run, "--prompt", "zh:", "--max_new_tokens", 8, "--json", *flags)
        assert status == 0, error
        return completions(output)[0]

    greedy = first("--temperature", 0)
    assert first("--top_k", 1)["tokens"] == first("--beam", 1, "--temperature", 0)["tokens"] == greedy["tokens"]
    assert first("--draft", run, "--draft_tokens", 3, "--temperature", 0)["tokens"] == greedy["tokens"]
    assert sum(first("--beam", 8)["logprobs"]) > sum(greedy["logprobs"])
    assert first("--logit_bias", "好=100", "--temperature", 0)["text"] == "好" * 8
    assert len(set(first("--logit_bias", "好=100", "--no_repeat_ngram_size", 1)["tokens"])) == 8
    ended = first("--logit_bias", "<|endoftext|>=100", "--min_new_tokens", 3, "--logit_bias", "好=50")
    assert ended["text"] == "好" * 3 and ended["finish_reason"] == "stop"
    samples = completions(call("--ckpt", run, "--prompt", "zh:", "--json", "--num_samples", 4)[1])
    best = first("--max_new_tokens", 64, "--best_of", 4)
    assert best["tokens"] == max(samples, key=lambda each: sum(each["logprobs"]) / len(each["logprobs"]))["tokens"]


@pytest.fixture
def characters(run, tmp_path) -> Path:
    """The same model with a tokenizer whose vocabulary is a few characters."""
    folder = tmp_path / "characters"
    shutil.copytree(run, folder)
    settings = json.loads((folder / "config.json").read_text())
    settings["model"]["vocab_size"] = load_model(str(run), print).run.model.vocab_size
    (folder / "config.json").write_text(json.dumps(settings))
    tokenizer = train(["en: the cat"], TokenizerConfig(100, "char", 1.0, byte_fallback=False, split_digits=True))
    (folder / "tokenizer.model").write_bytes(tokenizer.model)
    return folder


def test_a_draft_with_another_tokenizer_is_refused(call, run, characters):
    status, output, error = call("--ckpt", run, "--prompt", "a", "--draft", characters)
    assert status == 2 and output == "" and is_one_line(error) and "another tokenizer" in error


def test_scores_are_those_of_what_was_generated(call, run):
    flags = ["--ckpt", run, "--prompt", "zh: 我", "--json"]
    made = completions(call(*flags, "--logit_bias", "好=50", "--max_new_tokens", 2)[1])[0]
    found = completions(call(*flags, "--score", made["text"], "--score", "们")[1])
    assert [each["text"] for each in found] == ["好好", "们"]
    assert found[0]["prompt"] == "zh: 我" and found[0]["pieces"] == ["好", "好"]
    assert found[0]["tokens"] == made["tokens"] and found[0]["logprobs"] == pytest.approx(made["logprobs"], rel=1e-4)
    assert found[0]["logprob"] == pytest.approx(sum(made["logprobs"]), rel=1e-4)
    status, output, error = call(*flags[:-1], "--score", "好好")
    total, *each = output.splitlines()
    assert status == 0 and error == ""
    assert float(total.split()[0]) == pytest.approx(found[0]["logprob"], abs=1e-3)
    assert [line.split()[1] for line in each] == ["'好'", "'好'"]


def test_perplexity_of_a_text_longer_than_the_context(call, run, tmp_path):
    text = "zh: 我们是同学。\nen: We are classmates.\n" * 8
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    flags = ["--ckpt", run, "--perplexity", tmp_path / "text.txt"]
    found = completions(call(*flags, "--json")[1])[0]
    assert found["bytes"] == len(text.encode()) and found["tokens"] > 64
    assert 1 < found["perplexity"] < 10_000 and 1 < found["bits_per_byte"] < 13
    assert completions(call(*flags, "--json", "--stride", 8)[1])[0]["perplexity"] != found["perplexity"]
    assert call(*flags)[1].startswith(f"perplexity {found['perplexity']:.2f}, {found['bits_per_byte']:.3f} bits a byte")
    status, output, error = call(*flags, "--stride", 65)
    assert status == 2 and output == "" and is_one_line(error) and "stride=65" in error
    (tmp_path / "text.txt").write_bytes(b"zh: \xff")
    assert "not UTF-8" in call(*flags)[2]


@pytest.fixture
def filler(run, tmp_path) -> Path:
    """A run whose model fills masks, untrained."""
    folder = tmp_path / "filler"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("checkpoints"))
    texts = ["en: the cat", "zh: 你好"] * 20
    tokenizer = train(texts, TokenizerConfig(280, "bpe", 1.0, True, True, special_tokens=("[MASK]",)))
    (folder / "tokenizer.model").write_bytes(tokenizer.model)
    settings = json.loads((folder / "config.json").read_text())
    settings["task"] = "masked_lm"
    settings["model"] |= {"encoder_layers": 1, "decoder_layers": 0, "vocab_size": tokenizer.vocab_size}
    (folder / "config.json").write_text(json.dumps(settings))
    config = RunFolder(folder).config(tokenizer).model
    save_params(folder, init_params(config, jax.random.key(0)))
    return folder


def test_masks_are_filled_and_what_is_only_for_writing_is_refused(call, filler):
    status, output, error = call("--ckpt", filler, "--prompt", "zh: 你[MASK]", "--num_samples", 2, "--json")
    assert status == 0 and notes(error) == ""
    for each in completions(output):
        assert each["finish_reason"] == "stop" and len(each["tokens"]) == 1 and len(each["candidates"][0]) == 5
    status, output, error = call("--ckpt", filler, "--prompt", "zh: 你[MASK]")
    assert status == 0 and output.splitlines()[-1].startswith("    gap 1: ")
    for flags in (["--beam", 2], ["--stop", "a"], ["--max_new_tokens", 3], ["--slide"]):
        status, output, error = call("--ckpt", filler, "--prompt", "[MASK]", *flags)
        assert status == 2 and output == "" and is_one_line(error) and "fills in what is masked" in error
    for flags in (["--prompt", ""], ["--prompt", "no mask"], ["--score", "a"], ["--perplexity", __file__]):
        status, output, error = call("--ckpt", filler, *flags)
        assert status == 2 and output == "" and is_one_line(error)


def test_that_there_is_less_room_than_asked_for_is_told_once(call, run):
    flags = ["--ckpt", run, "--prompt", "zh:", "--prompt", "en:", "--temperature", 0]
    status, output, error = call(*flags, "--max_new_tokens", 500, "--json")
    assert status == 0 and all(each["finish_reason"] == "length" for each in completions(output))
    prompt = len(load_model(str(run), print).tokenizer.encode("zh:"))
    assert len(completions(output)[0]["tokens"]) == 64 - prompt  # tiny.py's model.max_length is 64
    assert notes(error) == (
        "max_new_tokens=500 is more than there is room for: this model takes 64 tokens, the prompt's included\n"
    )
    assert notes(call(*flags, "--max_new_tokens", 64 - prompt)[2]) == ""


def test_a_reader_that_leaves_is_no_error(run):
    script = f"{sys.executable} {ROOT / 'sample.py'} --ckpt {run} --max_new_tokens 50 --temperature 0 | head -c 1"
    done = subprocess.run(["bash", "-c", script], input=b"zh:\nen:\nzh:\n", capture_output=True, timeout=600)
    assert done.returncode == 0 and done.stderr == b""
    assert len(done.stdout) == 1


def test_on_a_terminal_it_asks_streams_and_ends_with_control_d(run, call, tmp_path):
    expected = call("--ckpt", run, "--prompt", "en:", "--max_new_tokens", 6, "--temperature", 0)[1].strip()
    terminal = Terminal(tmp_path, "--ckpt", str(run), "--max_new_tokens", "6", "--temperature", "0")
    terminal.until("> ")
    assert "Ctrl-D" in terminal.seen
    terminal.type("\n")
    terminal.until("\n> ", times=2)  # only then does it read keys
    terminal.ask("en:", expected.replace("\n", "\r\n"))
    terminal.ask("never " * 100, "too long")  # said, and asked again
    terminal.ask("never \udcff", "not UTF-8")
    terminal.ask("en:", "tokens/s")
    terminal.type("\x04")
    assert terminal.end() == 0
    assert "Traceback" not in terminal.seen and terminal.seen.endswith("\n")


def test_on_a_terminal_settings_change_and_wrong_ones_change_nothing(run, tmp_path):
    terminal = Terminal(tmp_path, "--ckpt", str(run), "--max_new_tokens", "6", "--min_new_tokens", "6")
    terminal.until("> ")
    for line, answer in (
        ("/help", "/no_repeat_ngram_size N"),
        ("/temperature 0.5", "temperature 0.5"),
        ("/set temperature -1", "temperature=-1.0 must be"),
        ("/temperature", "temperature 0.5"),
        ("/tempreature 1", "did you mean '/temperature'?"),
        ("/top_k many", "top_k 'many' is not a whole number"),
        ("/beam 2", "beams draw nothing"),
        ("/stop \\n", r"stop '\n'"),
        ("/stop 。", r"stop '\n' '。'"),
        ("/logit_bias 好=100", "logit_bias '好=100'"),
        ("/logit_bias  a=-inf", "logit_bias '好=100' ' a=-inf'"),
        ("zh: 我", "好好好好好好"),
        ("/show", "max_new_tokens        6"),
        ("/reset stop", "stop none"),
        ("/reset", "as they were at the start"),
        ("/beam 2", "beam 2"),
        ("/temperature", "temperature 0.0"),
        ("zh: 我", "6 tokens"),
    ):
        terminal.ask(line, answer)
    terminal.type("/quit\n")
    assert terminal.end() == 0 and "Traceback" not in terminal.seen
    history = (tmp_path / ".cache" / "zenformer" / "history").read_text(encoding="utf-8").splitlines()
    assert history[0] == "/help" and history[-2:] == ["zh: 我", "/quit"]
    again = Terminal(tmp_path, "--ckpt", str(run), "--max_new_tokens", "2", "--min_new_tokens", "2")
    again.until("> ")
    again.type("\x10\x10")  # the line before, twice
    again.until("zh: 我")
    again.type("\n")
    again.until("2 tokens")
    again.until("\n> ", times=2)
    again.type("\x04")
    assert again.end() == 0


def test_on_a_terminal_control_c_stops_a_text_or_a_line_and_then_leaves(run, tmp_path):
    folder = tmp_path / "long"
    shutil.copytree(run, folder)
    settings = json.loads((folder / "config.json").read_text())
    settings["model"]["max_length"] = 100_000
    (folder / "config.json").write_text(json.dumps(settings))
    flags = ["--min_new_tokens", "50000", "--max_new_tokens", "50000", "--logit_bias", "好=50"]
    terminal = Terminal(tmp_path, "--ckpt", str(folder), *flags)
    terminal.until("> ")
    terminal.type("zh:\n")
    terminal.until("好好好")
    terminal.press_control_c("(stopped)")
    terminal.until("\n> ", times=2)
    terminal.type("half a line")
    terminal.until("half a line")
    terminal.press_control_c("\n> ", times=3)
    terminal.ask("/seed", "seed 0")
    terminal.press_control_c()
    assert terminal.end() == 130
    assert "Traceback" not in terminal.seen and "/seed" in (tmp_path / ".cache" / "zenformer" / "history").read_text()


def test_a_checkpoint_that_was_cut_short_is_one_line(run, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(run, folder)
    files = [path for path in (folder / "checkpoints" / "6" / "params").rglob("*") if path.is_file()]
    os.truncate(max(files, key=lambda path: path.stat().st_size), 1000)
    done = subprocess.run(
        [sys.executable, ROOT / "sample.py", "--ckpt", folder, "--prompt", "zh:", "--max_new_tokens", "3"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0
    told, pace = done.stderr.splitlines()
    assert "step 6 cannot be read" in told and told.endswith("trying the one before") and "tokens" in pace


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
    assert notes(error).count("\n") == 1 and "checkpoint of step 6 cannot be read" in error
    assert output == call("--ckpt", run / "checkpoints" / "3", *flags)[1]
    status, output, error = call("--ckpt", folder / "checkpoints" / "6", *flags)
    assert status == 1 and output == "" and error.splitlines()[-1].startswith("sample.py: step 6 in ")


def test_parameters_that_are_no_numbers_are_one_line(call, run, tmp_path):
    folder = tmp_path / "diverged"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("checkpoints"))
    save_params(folder, jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), load_model(str(run), print).params))
    status, output, error = call("--ckpt", folder, "--prompt", "zh:")
    assert status == 1 and output == "" and is_one_line(error) and "NaN" in error


@pytest.mark.parametrize("flags", [["--prompt", "en: "], ["--prompt", "en:", "--prompt", "zh: the "]])
def test_a_space_at_the_end_of_a_prompt_is_told(call, run, flags):
    status, output, error = call("--ckpt", run, *flags, "--max_new_tokens", 2, "--json")
    assert status == 0 and len(completions(output)) == len(flags) // 2
    assert notes(error).count("\n") == 1 and "ends in a space" in error


def test_a_space_at_the_end_is_not_told_where_characters_are_the_vocabulary(call, characters):
    status, output, error = call("--ckpt", characters, "--prompt", "en: ", "--max_new_tokens", 20)
    assert status == 0 and notes(error) == ""
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
    assert (
        "too long" in error and "63" in error and "--slide" in error
    )  # tiny.py has a context of 64, one of which begins the text


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--temperature", "-1"], "temperature=-1.0 must be"),
        (["--temperature", "nan"], "temperature=nan must be"),
        (["--temperature", "warm"], "temperature 'warm' is not a number"),
        (["--top_p", "0"], "top_p=0.0 must be"),
        (["--top_p", "1.5"], "top_p=1.5 must be"),
        (["--top_k", "-1"], "top_k=-1 must be"),
        (["--top_k"], "--top_k: expected one argument"),
        (["--max_new_tokens", "0"], "max_new_tokens=0 must be"),
        (["--max_new_tokens", "1e3"], "max_new_tokens '1e3' is not a whole number"),
        (["--min_new_tokens", "65"], "min_new_tokens=65 must be"),
        (["--num_samples", "0"], "num_samples=0 must be"),
        (["--batch_size", "0"], "batch_size=0 must be"),
        (["--seed", "-1"], "seed=-1 must be"),
        (["--seed", "a"], "seed 'a' is not a whole number"),
        (["--stop", ""], "stop needs a text"),
        (["--logit_bias", "the"], "logit_bias 'the' is not TEXT=NUMBER"),
        (["--logit_bias", "the=nan"], "logit_bias 'the=nan' is not"),
        (["--beam", "2", "--temperature", "0.5"], "beams draw nothing"),
        (["--beam", "2", "--num_samples", "3"], "num_samples=3 must be at most beam=2"),
        (["--early_stopping", "maybe"], "early_stopping 'maybe' is none of on, off, never"),
        (["--prompt", "a", "--prompts_file", "b"], "not both"),
        (["--prompt", b"zh: \xff"], "is not valid UTF-8 (character 5)"),
        (["--stop", b"\xe4\xbd"], "is not valid UTF-8"),
        (["--tempreature", "1"], "did you mean '--temperature'?"),
        (["hello"], "did you mean --prompt 'hello'?"),
        (["--max_new_tokens", "3000000000"], "max_new_tokens=3000000000 must be from 1 to"),
        (["--perplexity", "a.txt", "--temperature", "0"], "--temperature means nothing with --perplexity"),
        (["--perplexity", "a.txt", "--score", "a"], "--score means nothing with --perplexity"),
        (["--score", "a", "--draft", "runs/base"], "--draft means nothing with --score"),
        (["--stride", "5"], "--stride means nothing without --perplexity"),
        (["--draft_tokens", "5"], "--draft_tokens means nothing without --draft"),
        (["--length_penalty", "2"], "--length_penalty means nothing without --beam"),
        (["--temperature", "1e300"], "temperature=1e+300 must be 0 (greedy) or a finite number"),
        (["--repetition_penalty", "1e300"], "must be a finite number above 0"),
        (["--beam", "3", "--best_of", "3"], "best_of chooses among draws, and beams draw nothing"),
        (["--temp", "1"], "did you mean '--temperature'?"),
        (["--prompt", "-a"], "--FLAG=VALUE"),
        (["--batch_size", "5"], "--batch_size means nothing without --prompts_file"),
    ],
)
def test_a_wrong_value_is_one_line_and_status_2_before_anything_is_read(call, flags, part):
    flags = [os.fsdecode(flag) for flag in flags]
    status, output, error = call("--ckpt", "nowhere", *flags)
    assert status == 2 and output == "" and is_one_line(error) and part in error


def test_without_a_checkpoint_it_says_so(call):
    status, output, error = call("--prompt", "a")
    assert status == 2 and output == "" and is_one_line(error) and "--ckpt" in error


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("nowhere.txt", None, "No such file"),
        ("empty.txt", b"\n \n", "holds no prompt"),
        ("gbk.txt", "en: a\nzh: 你".encode("gb18030"), "line 2: not UTF-8"),
        ("broken.jsonl", b'{"prompt": "a"}\n{"prompt": ', "line 2: not JSON"),
        ("other.jsonl", b'{"text": "a"}', 'no "prompt" field'),
        ("other.csv", b"text,label\na,b\n", "no \"prompt\" column, only 'text', 'label'"),
        ("list.json", b'[{"prompt": "a"}]', '.json is not read, only JSONL, which has {"prompt": …} on each line'),
    ],
)
def test_a_file_without_prompts_is_one_line_before_the_model_is_read(call, tmp_path, name, content, part):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    status, output, error = call("--ckpt", "nowhere", "--prompts_file", tmp_path / name)
    assert status == 1 and output == "" and is_one_line(error) and part in error


def test_a_bias_is_for_one_token(call, run):
    status, output, error = call("--ckpt", run, "--prompt", "a", "--logit_bias", "zh: =2")
    assert status == 2 and output == "" and is_one_line(error) and "'zh' ':' '▁'" in error


def test_input_that_is_not_utf8_is_one_line(run):
    done = subprocess.run(
        [sys.executable, ROOT / "sample.py", "--ckpt", run, "--max_new_tokens", "2"],
        input=b"\xff\xfe\n",
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        timeout=600,
    )
    assert done.returncode == 2 and done.stdout == b""
    assert is_one_line(done.stderr.decode()) and b"not valid UTF-8" in done.stderr
