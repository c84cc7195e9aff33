"""train.py --folds: a run for each part from the same start, the table of what they measured, and going on after a stop."""

import json
import random
import statistics

import pytest

from tests.training.conftest import SMALL
from training.cross_validation import Folds
from training.measurement import measure_run
from training.metrics_writer import read_metrics
from training.run_folder import RunFolder

ANIMALS = ("cat", "dog", "bird")
KIND = SMALL | {
    "task": "classification",
    "model.head": "classes",
    "model.encoder_layers": 1,
    "model.decoder_layers": 0,
    "model.vocab_size": 32,
    "data.packing": "pad",
    "training.sample_prompts": "()",
    "training.num_steps": 4,
}


@pytest.fixture
def cross_validate(here, tmp_path):
    draw = random.Random(0)
    lines = [
        {"text": f"{draw.choice('abcdefg')} {animal} {number}", "label": animal}
        for number, animal in enumerate(ANIMALS * 12)
    ]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, lines)))

    def run(*flags: str, **changes):
        settings = (
            KIND | {"data.train": "texts.jsonl"} | {key.replace("__", "."): value for key, value in changes.items()}
        )
        given = [f"--config.{key}={value}" for key, value in settings.items()]
        return here(
            "train.py", "--config", "configs/tiny.py", "--workdir", str(tmp_path / "run"), *given, *flags, cwd=None
        )

    return run


def test_a_table_of_runs_that_start_alike(cross_validate, tmp_path, monkeypatch):
    text = {"data__train": str(tmp_path / "texts.jsonl")}
    done = cross_validate("--folds", "2", "--json", **text)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["folds"] == 2 and set(figures["metrics"]) == {"loss", "accuracy", "macro_f1"}
    ends = [read_metrics(tmp_path / "run" / f"fold-{fold}" / "metrics.jsonl")[-1] for fold in (1, 2)]
    for name, each in figures["metrics"].items():
        assert each["folds"] == [end[name] for end in ends]
        assert each["mean"] == statistics.mean(each["folds"]) and each["std"] == statistics.stdev(each["folds"])
    settings = [RunFolder(tmp_path / "run" / f"fold-{fold}").settings() for fold in (1, 2)]
    assert [each["data"].pop("fold") for each in settings] == [1, 2] and settings[0] == settings[1]

    for data, documents in ({}, 18), ({"valid": [text["data__train"]]}, 36):
        measured = measure_run(str(tmp_path / "run" / "fold-1"), None, data, None, pytest.fail, lambda *_: None)
        assert measured.metrics["documents"] == documents
        assert (measured.metrics["loss"] == pytest.approx(ends[0]["loss"], rel=1e-5)) == (data == {})

    again = cross_validate("--folds", "2", **text)
    assert again.returncode == 0 and again.stderr.count("resuming at step 4 of 4") == 2
    title, loss, *_ = again.stdout.splitlines()
    assert title.split() == ["mean", "deviation", "fold", "1", "fold", "2"]
    assert loss.split() == [
        "loss",
        *(
            f"{value:.4f}"
            for value in (
                figures["metrics"]["loss"]["mean"],
                figures["metrics"]["loss"]["std"],
                *figures["metrics"]["loss"]["folds"],
            )
        ),
    ]
    done = cross_validate("--folds", "2", "--workdir", str(tmp_path / "run" / "fold-1"), **text)
    assert done.returncode == 2 and "fold-1 is a run's folder, and --folds makes one of many runs" in done.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--folds", "1"), "--folds 1 must be at least 2"),
        (("--json",), "--json is for the figures of --folds"),
        (("--folds", "2", "--plan"), "--folds trains, and --plan does not"),
    ],
)
def test_flags_that_do_not_go_together(cross_validate, flags, message):
    done = cross_validate(*flags)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_an_infinite_figure_has_no_number():
    folds = Folds({"perplexity": [2.0, float("inf")]})
    assert json.loads(folds.json())["metrics"]["perplexity"] == {"mean": None, "std": None, "folds": [2.0, None]}
    assert folds.table().split() == [
        "mean",
        "deviation",
        "fold",
        "1",
        "fold",
        "2",
        "perplexity",
        "inf",
        "nan",
        "2.0000",
        "inf",
    ]
