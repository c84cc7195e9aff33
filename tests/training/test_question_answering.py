"""Answers in a text from training to evaluate.py: a marked word is found, in windows as in one row, and by chance it is not."""

import json
import random

import numpy as np
import pytest

from common.errors import ConfigError, UserError
from generation.completion import complete
from generation.config import GenerationConfig
from generation.questions import Finder
from metrics import answer_scores
from tests.training.conftest import WORDS
from tests.training.runs import left, measure, valid_lines
from training.measurement_report import print_json, print_tables, write_predictions
from training.run_folder import RunFolder
from training.trained_model import load_model

KIND = {"task": "question_answering", "model__head": "classes", "data__packing": "pad", "data__valid_fraction": 0.2}
KIND |= {"training__sample_prompts": "()", "data__sequence_length": 64}
NEW = {"model__vocab_size": 40, "model__encoder_layers": 2, "model__decoder_layers": 0, "model__num_token_types": 2}
NEW |= {"training__num_steps": 80, "training__eval_every": 40, "training__checkpoint_every": 40}
NEW |= {"optimizer__learning_rate": 0.01, "optimizer__schedule": "constant"}


def make_rows(seed, count=240, shuffled=False):
    """What is asked for is the number in the text, if there is one."""
    draw, rows = random.Random(seed), []
    for _ in range(count):
        words = draw.choices(WORDS, k=draw.randint(3, 8))
        number = f"{draw.choice('123')}{draw.choice('789')}"
        answers = []
        if draw.random() < 0.8:
            words.insert(draw.randint(0, len(words)), number)
            answers = [draw.choice(words) if shuffled else number]
        rows.append({"context": " ".join(words), "question": "how big", "answers": answers})
    return rows


def write(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    write(folder / "rows.jsonl", make_rows(0))
    write(folder / "new.jsonl", make_rows(1, 60))
    return folder


@pytest.fixture
def source(shared):
    return shared / "rows.jsonl"


@pytest.fixture
def run(shared, begin, source):
    return left(shared / "run", lambda: begin("run", **KIND | NEW, data__train=source))


def test_it_learns_to_find_what_is_asked_for(run, tmp_path, capsys):
    first, last = valid_lines(run)
    assert last["loss"] < first["loss"] and last["span_accuracy"] > 0.9
    measured = measure(run)
    assert measured.metrics["loss"] == pytest.approx(last["loss"], rel=1e-4)
    assert measured.metrics["exact_match"] == pytest.approx(last["span_accuracy"]), "one window each, whole words"
    assert measured.metrics["f1"] >= measured.metrics["exact_match"] > 0.9
    for name in ("loss", "exact_match", "f1"):
        low, high = measured.intervals[name]
        assert low <= measured.metrics[name] <= high
    assert len(measured.predictions) == measured.metrics["questions"] == measured.metrics["windows"]
    assert {bool(each["answers"]) for each in measured.predictions} == {True, False}
    for each in measured.predictions:
        assert each["question"] == "how big" and 0 < each["probability"] <= 1
        assert each["exact_match"] == answer_scores(each["prediction"], each["answers"])["exact_match"]

    (file,) = write_predictions(measured, tmp_path)
    assert [json.loads(line) for line in file.read_text().splitlines()] == measured.predictions
    print_json(measured)
    assert json.loads(capsys.readouterr().out)["metrics"]["f1"] == measured.metrics["f1"]
    print_tables(measured)
    assert "exact_match" in capsys.readouterr().out


def test_windows_give_the_answers_of_one_long_row(run, shared):
    valid = [str(shared / "new.jsonl")]
    whole, cut = measure(run, valid=valid), measure(run, valid=valid, sequence_length=32, window_stride=8)
    assert cut.metrics["windows"] > 1.5 * whole.metrics["windows"] == 1.5 * whole.metrics["questions"]
    assert cut.metrics["questions"] == 60
    same = [
        one["prediction"] == other["prediction"] for one, other in zip(whole.predictions, cut.predictions, strict=True)
    ]
    assert np.mean(same) > 0.95 and cut.metrics["exact_match"] > 0.9
    assert measure(run, valid=valid, packing="best_fit").metrics == pytest.approx(whole.metrics, rel=1e-4)


def test_asking_gives_what_evaluation_measures(run, shared, tmp_path):
    """By the code that sample.py calls: the same answers and probabilities, of texts in one window and in many."""
    model, rows = load_model(str(run), pytest.fail), make_rows(1, 60)[:12]
    for length, stride in ((64, None), (32, 8)):
        measured = measure(run, valid=[str(shared / "new.jsonl")], sequence_length=length, window_stride=stride)
        for row, expected in zip(rows, measured.predictions, strict=False):
            finder = Finder(model.params, model.run.model, model.tokenizer, row["context"], length, stride)
            (answer,) = finder.answer([finder.prepare("how big")[0]])
            assert (answer.question, answer.text) == ("how big", expected["prediction"])
            assert answer.probability == pytest.approx(expected["probability"], abs=1e-3)


def test_a_run_answers_on_the_command_line(run, here, tmp_path):
    (tmp_path / "text.txt").write_text("the big dog 37 and the tree\n")
    flags = ("--ckpt", str(run), "--prompt", "how big", "--prompt", "how big", "--context")
    done = here("sample.py", *flags, str(tmp_path / "text.txt"), "--json")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 2 and lines[0] == lines[1]
    assert lines[0]["text"] == "37" and lines[0]["question"] == "how big" and lines[0]["probability"] > 0.5
    done = here("sample.py", *flags, "the big dog and the tree")
    assert done.stdout.startswith("(no answer)    ") and done.stdout.count("%\n") == 2


def test_of_shuffled_answers_nothing_is_learned(begin, tmp_path):
    source = write(tmp_path / "shuffled.jsonl", make_rows(0, shuffled=True))
    trainer = begin("shuffled", **KIND | NEW, data__train=source)
    assert trainer.train() == 0
    assert valid_lines(trainer.folder.path)[-1]["span_accuracy"] < 0.5
    assert measure(trainer.folder.path).metrics["exact_match"] < 0.5


def test_it_resumes_and_divides(run, begin, source):
    changes = KIND | NEW | {"data__train": source}
    half = begin("half", **changes | {"training__num_steps": 40})
    assert half.train() == 0
    resumed = begin("half", **changes)
    assert resumed.train() == 0
    assert valid_lines(resumed.folder.path) == valid_lines(run)
    mesh = {"mesh__data": 2, "mesh__fsdp": 2, "mesh__tensor": 2, "training__num_steps": 40}
    eight = begin("eight", **changes | mesh)
    assert eight.train() == 0
    assert valid_lines(eight.folder.path)[0]["loss"] == pytest.approx(valid_lines(run)[0]["loss"], rel=1e-2)


def test_from_an_encoder_with_a_pooler(begin, source, said):
    """What reads each place has no use for a summary of the first."""
    special = {"tokenizer__special_tokens": "[MASK]", "data__train": source.with_name("text.txt")}
    source.with_name("text.txt").write_text("\n\n".join(each["context"] for each in make_rows(3)))
    parent = begin("parent", **NEW | special | {"task": "masked_lm", "model__pooler": True, "training__num_steps": 1})
    assert parent.train() == 0
    changes = KIND | {"init_from": parent.folder.path, "data__train": source, "training__num_steps": 1}
    changes |= {"data__sequence_length": 32}
    child = begin("child", "base.py", ("model.", "tokenizer."), **changes)
    assert not child.config.model.pooler and child.config.model.num_classes == 2
    assert child.train() == 0
    skipped = next(line for line in said.lines if line.strip().startswith("skipped"))
    assert "pooler/kernel" in skipped


def test_it_writes_no_text(run):
    model = load_model(str(run), pytest.fail)
    with pytest.raises(ConfigError, match="gives labels, and writes no text"):
        complete(model.params, model.run.model, model.tokenizer, ["the"], GenerationConfig(max_new_tokens=1), 0)
    assert RunFolder(run).classes() == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__head": "linear"}, r"needs model\.head='classes'; configs/finetune/question_answering\.py has"),
        ({"model__num_classes": 3}, r"model\.num_classes=3, but task='question_answering' has 2 output"),
        ({"model__decoder_layers": 2, "model__encoder_layers": 0}, "trains an encoder"),
        ({"data__packing": "contiguous"}, "cuts texts, and examples are whole"),
    ],
)
def test_settings_that_do_not_go_together(begin, source, changes, message):
    with pytest.raises(ConfigError, match=message):
        begin("refused", **KIND | NEW | {"data__train": source} | changes)


def test_an_answer_that_is_not_there_stops_the_run(begin, tmp_path):
    source = write(tmp_path / "wrong.jsonl", [*make_rows(0, 3), make_rows(0, 1)[0] | {"answers": ["cow"]}])
    with pytest.raises(UserError, match=r"wrong\.jsonl, line 4: \"answers\": 'cow' stands nowhere"):
        begin("refused", **KIND | NEW | {"data__train": source})
