"""Preferences from a language model to evaluate.py: from log 2 on the margin grows, and the old run is not needed again."""

import json
import math
import random
import shutil

import numpy as np
import pytest

from common.errors import ConfigError, UserError
from tests.training.conftest import WORDS
from tests.training.runs import left, measure
from training.metrics_writer import read_metrics
from training.run_folder import RunFolder

KIND = {"task": "dpo", "data__packing": "pad", "data__sequence_length": 96, "training__sample_prompts": "()"}
KIND |= {"data__valid_fraction": 0.2, "optimizer__schedule": "constant", "optimizer__learning_rate": 0.01}
KIND |= {"training__num_steps": 20, "training__eval_every": 10, "training__checkpoint_every": 10}
SETS_NOTHING = ("model.", "tokenizer.")
TEMPLATE = ("{system}", "user {user}.", "the {assistant}")  # of letters that the language model knows


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Pairs, and the runs that the first tests have left."""
    folder, draw = tmp_path_factory.mktemp("dpo"), random.Random(0)
    with (folder / "pairs.jsonl").open("w") as file:
        for _ in range(120):
            row = {
                "prompt": draw.choice(WORDS),
                "chosen": draw.choice(["cat", "dog"]),
                "rejected": draw.choice(WORDS[8:]),
            }
            file.write(json.dumps(row) + "\n")
    return folder


@pytest.fixture
def parent(shared, begin):
    return left(shared / "parent", lambda: begin("parent", data__sequence_length=96, model__vocab_size=32))


@pytest.fixture
def changes(shared, parent):
    return KIND | {"data__train": shared / "pairs.jsonl", "init_from": parent, "data__chat_template": TEMPLATE}


@pytest.fixture
def run(shared, begin, changes):
    return left(shared / "run", lambda: begin("run", "base.py", SETS_NOTHING, **changes))


def lines(folder, split):
    return [line for line in read_metrics(folder / "metrics.jsonl") if line["split"] == split]


def test_it_begins_at_log_2_and_the_margin_grows(run):
    train, valid = lines(run, "train"), lines(run, "valid")
    assert train[0]["loss"] == pytest.approx(math.log(2), abs=1e-6) and train[-1]["loss"] < train[0]["loss"]
    assert valid[-1]["margin"] > valid[0]["margin"] > 0.1 and valid[-1]["loss"] < valid[0]["loss"] < math.log(2)
    assert valid[-1]["reward_accuracy"] > 0.9 and "perplexity" not in valid[-1]


def test_a_pair_is_measured_as_evaluate_measures_it(run, shared):
    measured, last = measure(run), lines(run, "valid")[-1]
    for name in ("loss", "reward_accuracy", "margin"):
        assert measured.metrics[name] == pytest.approx(last[name], rel=1e-4)
        low, high = measured.intervals[name]
        assert low <= measured.metrics[name] <= high
    assert measured.metrics["documents"] == 120 - len(np.load(run / "reference.npz")[f"train/{shared}/pairs.jsonl"])
    other = measure(run, valid=[str(shared / "pairs.jsonl")])
    assert other.metrics["documents"] == 120 and other.metrics["margin"] > 0.1


def test_its_folder_alone_is_enough_to_resume(run, begin, changes, parent, tmp_path):
    moved = shutil.copytree(parent, tmp_path / "moved")
    changes = changes | {"init_from": moved}
    half = begin("half", "base.py", SETS_NOTHING, **changes | {"training__num_steps": 10})
    assert half.train() == 0
    shutil.rmtree(moved)
    resumed = begin("half", "base.py", SETS_NOTHING, **changes)
    assert resumed.train() == 0
    assert lines(resumed.folder.path, "valid") == lines(run, "valid")
    reference = resumed.folder.path / "reference.npz"
    whole = reference.read_bytes()
    flipped = whole[:200] + bytes([whole[200] ^ 16]) + whole[201:]
    for damaged in (b"", b"PK", whole[: len(whole) // 2], flipped):
        reference.write_bytes(damaged)
        with pytest.raises(UserError, match=r"reference\.npz is damaged .*; remove it"):
            measure(resumed.folder.path)
    reference.unlink()
    with pytest.raises(UserError, match=r"there is no .*moved"):
        measure(resumed.folder.path)


def test_it_divides(run, begin, changes):
    eight = {"training__num_steps": 10, "mesh__data": 2, "mesh__fsdp": 2, "mesh__tensor": 2}
    trainer = begin("eight", "base.py", SETS_NOTHING, **changes | eight)
    assert trainer.train() == 0
    one, other = ([line["loss"] for line in lines(folder, "train")][:5] for folder in (run, trainer.folder.path))
    assert other == pytest.approx(one, rel=1e-3)


def test_the_template_comes_with_the_network_unless_another_is_chosen(run, begin, shared):
    changes = KIND | {"data__train": shared / "pairs.jsonl", "init_from": run}
    again = begin("again", "base.py", SETS_NOTHING, **changes)
    assert again.config.data.chat_template == TEMPLATE
    other = begin(
        "other", "base.py", SETS_NOTHING, **changes | {"data__chat_template": (*TEMPLATE[:2], "a {assistant}")}
    )
    assert other.config.data.chat_template[2] == "a {assistant}"
    assert RunFolder(again.folder.path).settings()["data"]["chat_template"] == list(TEMPLATE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"init_from": ""}, "task='dpo' compares with the network that it starts from; set init_from"),
        ({"data__packing": "best_fit"}, r"task='dpo' takes one pair a row; set data\.packing=pad"),
    ],
)
def test_settings_that_do_not_go_together(begin, changes, change, message):
    with pytest.raises(ConfigError, match=message):
        begin("refused", "base.py", SETS_NOTHING, **changes | change)
