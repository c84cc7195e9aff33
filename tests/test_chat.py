"""sample.py --chat as a user runs it, on a run that has learned to repeat a word."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from generation.completion import Completion, complete
from generation.config import GenerationConfig
from generation.prompts import EncodedPrompt
from tests.sampling import ROOT, Terminal, completions, is_one_line, notes
from training.converted import export_published
from training.trained_model import load_model

WORDS = ("the", "cat", "dog", "bird")
OVERRIDES = {
    "task": "chat",
    "tokenizer.model_type": "char",
    "tokenizer.byte_fallback": False,
    "tokenizer.character_coverage": 1.0,
    "model.embed_dim": 16,
    "model.max_length": 80,
    "optimizer.learning_rate": 0.01,
    "optimizer.schedule": "constant",
    "training.num_steps": 120,
    "training.eval_every": 120,
    "training.checkpoint_every": 120,
    "training.sample_prompts": "('dog',)",
    "training.tensorboard": False,
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, cache_dir) -> Path:
    """The folder of a run; what train.py has said and printed is in `out` and `err` beside it."""
    folder, draw = tmp_path_factory.mktemp("chat"), random.Random(0)
    with (folder / "talks.jsonl").open("w") as file:
        for number in range(240):
            words = draw.choices(WORDS, k=2)
            turns = [turn for word in words for turn in (("user", word), ("assistant", f"{word}!"))]
            turns = [("system", "echo"), *turns] if number % 2 else turns
            file.write(json.dumps({"messages": [{"role": role, "content": content} for role, content in turns]}) + "\n")
    overrides = OVERRIDES | {"data.cache_dir": cache_dir, "data.train": folder / "talks.jsonl"}
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", "--config", ROOT / "configs/tiny.py", "--workdir", folder / "run"]
        + [f"--config.{key}={value}" for key, value in overrides.items()],
        capture_output=True,
        text=True,
        env=os.environ | {"XLA_FLAGS": ""},
    )
    assert done.returncode == 0, done.stderr
    (folder / "out").write_text(done.stdout)
    return folder


@pytest.fixture
def run(shared) -> Path:
    return shared / "run"


@pytest.fixture
def talk(call, monkeypatch):
    """`talk(text, "--ckpt", …)`: sample.py --chat with this on a pipe, in this process."""

    def say(text: str, *arguments: object) -> tuple[int, str, str]:
        reading, writing = os.pipe()
        os.write(writing, text.encode())
        os.close(writing)
        with open(reading, encoding="utf-8") as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            return call("--chat", "--temperature", 0, *arguments)

    return say


def test_each_line_of_a_pipe_is_a_turn(talk, run):
    status, output, error = talk("cat\n\nbird\n", "--ckpt", run, "--max_new_tokens", 8)
    assert status == 0 and notes(error) == "" and output == "cat!\n---\nbird!\n"
    status, output, error = talk("dog\n", "--ckpt", run, "--system", "echo", "--json")
    (found,) = completions(output)
    assert status == 0 and (found["prompt"], found["text"], found["finish_reason"]) == ("dog", "dog!", "stop")
    assert talk("", "--ckpt", run)[:2] == (0, "")
    status, output, error = talk("/reset\n//cat\n", "--ckpt", run, "--max_new_tokens", 8, "--json")
    assert status == 0 and [each["prompt"] for each in completions(output)] == ["/reset", "//cat"], "no commands here"
    status, output, error = talk("cat\n", "--ckpt", run, "--num_samples", 2)
    assert status == 2 and output == "" and is_one_line(error) and "goes on from one answer" in error


def answer_to(run: Path, tokens: list[int]) -> Completion:
    """The likeliest one to these tokens."""
    model = load_model(str(run), pytest.fail)
    prompt, greedy = EncodedPrompt("", tokens), GenerationConfig(temperature=0)
    return complete(model.params, model.run.model, model.tokenizer, [prompt], greedy)[0]


def test_an_answer_follows_all_that_was_said(talk, run):
    """The tokens of the dialogue, put together here by hand."""
    second = completions(talk("cat\nbird\n", "--ckpt", run, "--json", "--system", "echo", "--max_new_tokens", 8)[1])[1]
    tokenizer = load_model(str(run), pytest.fail).tokenizer
    end = [tokenizer.end_of_text]
    first = tokenizer.encode("echo\nUser:\ncat\nAssistant:\ncat!")
    tokens = [*end, *first, *end, *tokenizer.encode("User:\nbird\nAssistant:\n")]
    expected = answer_to(run, tokens)
    assert second["tokens"] == expected.tokens
    assert second["logprobs"] == pytest.approx(expected.logprobs, rel=1e-4)
    alone = answer_to(run, tokens[len(first) + 1 :])
    assert alone.logprobs != pytest.approx(expected.logprobs, rel=1e-4), "what was said before counts"


def test_the_oldest_turns_are_forgotten_where_the_context_is_full(talk, run):
    words = ["cat", "bird", "dog", "the", "cat", "dog"]
    status, output, error = talk("\n".join(words), "--ckpt", run, "--max_new_tokens", 8, "--system", "echo")
    said = notes(error).splitlines()
    assert status == 0 and len(output.split("\n---\n")) == len(words)
    assert said == ["the context is full: the oldest 2 of 6 turns are left out"] * len(said) and len(said) >= 3
    status, output, error = talk("cat\n" + "cat" * 40, "--ckpt", run)
    assert status == 2 and output == "cat!\n---\n" and "line 2: a prompt of" in error and "is too long" in error


def test_train_shows_answers_to_its_sample_prompts(shared):
    assert (shared / "out").read_text() == "dog → dog!\n\n"


def test_an_answer_that_ends_with_a_text(talk, run, tmp_path):
    folder = tmp_path / "ending"
    shutil.copytree(run, folder)
    settings = json.loads((folder / "config.json").read_text())
    settings["data"]["chat_template"] = ["{system}\n", "User:\n{user}\n", "Assistant:\n{assistant}!"]
    (folder / "config.json").write_text(json.dumps(settings))
    assert talk("cat\n", "--ckpt", folder)[1] == "cat\n"


def test_what_has_learned_no_dialogues_is_one_line(talk, run, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(run, folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"task": "causal_lm"}))
    status, output, error = talk("cat\n", "--ckpt", folder)
    assert status == 2 and output == "" and is_one_line(error)
    assert "has learned causal_lm: it goes on with a text (--task continue); --task chat is for chat or dpo" in error


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--chat", "--task", "translate"], "--chat is --task chat, and not --task translate"),
        (["--task", "chatt"], "did you mean 'chat'?"),
        (["--chat", "--perplexity", "a"], "--chat means nothing with --perplexity"),
        (["--chatt"], "did you mean '--chat'?"),
    ],
)
def test_a_wrong_flag_is_one_line_before_anything_is_read(call, flags, part):
    status, output, error = call("--ckpt", "nowhere", *flags)
    assert status == 2 and output == "" and is_one_line(error) and part in error


def test_on_a_terminal(run, tmp_path):
    terminal = Terminal(tmp_path, "--ckpt", str(run), "--temperature", "0")
    terminal.until("> ")
    terminal.ask("cat", "cat!")
    for line, answer in (
        ("/help", "forget what was said"),
        ("/tempp 1", "did you mean '/temperature'?"),
        ("/max_new_tokens 30", "max_new_tokens 30"),
        ("/num_samples 2", "a conversation goes on from one answer"),
        ("bird", "bird!"),
        ("the", "the!"),
        ("dog", "turns are left out"),
        ("/reset", "what was said is forgotten"),
        ("/max_new_tokens", "max_new_tokens 30"),
        ("/reset max_new_tokens", "max_new_tokens 64"),
        ("/reset settings", "as they were at the start"),
        ("cat" * 50, "is too long"),
        ("dog", "dog!"),
    ):
        terminal.ask(line, answer)
    assert terminal.seen.count("turns are left out") >= 1 and "/num_samples N" not in terminal.seen
    terminal.type("/quit\n")
    assert terminal.end() == 0 and "Traceback" not in terminal.seen


def test_the_template_is_exported(run, tmp_path):
    export_published(str(run), tmp_path, 1 << 30, lambda line: None)
    assert '\'user\' %}{{ "User:\\n" + message.content + "\\n" }}' in (tmp_path / "chat_template.jinja").read_text()


@pytest.mark.parametrize("as_flag", [True, False])
def test_a_prompt_is_what_a_user_says_first(call, run, as_flag, tmp_path):
    (tmp_path / "turns.txt").write_text("cat\nbird\n")
    flags = ["--prompt", "cat", "--prompt", "bird"] if as_flag else ["--prompts_file", tmp_path / "turns.txt"]
    flags += ["--ckpt", run, "--temperature", 0, "--max_new_tokens", 8]
    status, output, error = call(*flags)
    assert status == 0 and notes(error) == "" and output == "cat!\n---\nbird!\n"
    found = completions(call(*flags, "--system", "echo", "--task", "chat", "--json")[1])
    assert [(each["prompt"], each["text"]) for each in found] == [("cat", "cat!"), ("bird", "bird!")]
    tokenizer = load_model(str(run), pytest.fail).tokenizer
    tokens = [tokenizer.end_of_text, *tokenizer.encode("echo\nUser:\nbird\nAssistant:\n")]
    assert found[1]["logprobs"] == pytest.approx(answer_to(run, tokens).logprobs, rel=1e-4), "each begins anew"
    (scored,) = completions(
        call("--ckpt", run, "--prompt", "bird", "--system", "echo", "--score", "bird!", "--json")[1]
    )
    assert scored["tokens"] == found[1]["tokens"][:-1]
    assert scored["logprobs"] == pytest.approx(found[1]["logprobs"][:-1], rel=1e-3)


def test_it_can_still_go_on_with_a_text(call, run):
    flags = ["--ckpt", run, "--prompt", "User:\ncat\nAssistant:\n", "--temperature", 0, "--json", "--task"]
    went_on, answered = (completions(call(*flags, task)[1])[0]["logprobs"] for task in ("continue", "chat"))
    tokenizer = load_model(str(run), pytest.fail).tokenizer
    tokens = [tokenizer.end_of_text, *tokenizer.encode("User:\ncat\nAssistant:\n")]
    assert went_on == pytest.approx(answer_to(run, tokens).logprobs, rel=1e-4) != answered
    status, output, error = call(*flags, "continue", "--system", "echo")
    assert status == 2 and output == "" and is_one_line(error) and "--system means nothing with --task" in error
