"""Dialogues from training to an answer: a small decoder learns to repeat what a user asks, and nothing else."""

import json
import random

import pytest

from tests.training.conftest import ROOT, WORDS
from tests.training.runs import left, valid_lines
from training.config import build_config
from training.measurement import measure_run
from training.metrics_writer import read_metrics
from training.settings import load_settings

KIND = {"task": "chat", "training__sample_prompts": "()", "data__valid_fraction": 0.2, "data__sequence_length": 64}
KIND |= {"training__num_steps": 100, "training__eval_every": 50, "training__checkpoint_every": 50}
KIND |= {"optimizer__learning_rate": 0.01, "optimizer__schedule": "constant", "model__vocab_size": 32}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Dialogues, and a run that the first test has left."""
    folder, draw = tmp_path_factory.mktemp("chat"), random.Random(0)
    with (folder / "talks.jsonl").open("w") as file:
        for _ in range(240):
            words = draw.choices(WORDS[:4], k=2)
            turns = [(("user", word), ("assistant", f"{word}!")) for word in words]
            messages = [{"role": role, "content": content} for turn in turns for role, content in turn]
            file.write(json.dumps({"messages": messages, "id": 1}) + "\n")
    return folder


@pytest.fixture
def run(shared, begin):
    return left(shared / "run", lambda: begin("run", **KIND, data__train=shared / "talks.jsonl"))


def test_it_learns_what_the_assistant_says(run):
    first, last = valid_lines(run)
    assert last["loss"] < first["loss"] and last["loss"] < 0.1 and "bits_per_byte" not in last
    measured = measure_run(str(run), None, {}, None, pytest.fail, lambda *_: None)
    assert measured.metrics["loss"] == pytest.approx(last["loss"], rel=1e-5) and "perplexity" in measured.metrics
    low, high = measured.intervals["loss"]
    assert low <= measured.metrics["loss"] <= high


@pytest.mark.parametrize("task", ["chat", "dpo"])
def test_its_config_is_whole(task):
    config = build_config(load_settings(ROOT / f"configs/finetune/{task}.py"))
    assert config.task == task and config.data.train == ("builtin:chat",) and len(config.training.sample_prompts) == 2


def test_other_dialogues(run, tmp_path):
    path = tmp_path / "other.jsonl"
    talk = [{"role": "user", "content": "the"}, {"role": "assistant", "content": "the!"}]
    path.write_text(json.dumps({"talk": talk}))
    measured = measure_run(
        str(run), None, {"valid": [str(path)], "messages_field": "talk"}, None, pytest.fail, lambda *_: None
    )
    assert measured.metrics["documents"] == 1 and measured.metrics["tokens"] == len("the!") + 1


def test_it_resumes_and_divides(run, begin, shared):
    changes = KIND | {"data__train": shared / "talks.jsonl"}
    assert begin("half", **changes | {"training__num_steps": 50}).train() == 0
    resumed = begin("half", **changes)
    assert resumed.train() == 0
    assert valid_lines(resumed.folder.path) == valid_lines(run)

    eight = begin("eight", **changes | {"training__num_steps": 10, "mesh__data": 2, "mesh__fsdp": 2, "mesh__tensor": 2})
    assert eight.train() == 0
    one, other = (
        [line["loss"] for line in read_metrics(folder / "metrics.jsonl") if line["split"] == "train"][:10]
        for folder in (run, eight.folder.path)
    )
    assert other == pytest.approx(one, rel=1e-3)
