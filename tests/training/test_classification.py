"""Classes of texts from training to evaluate.py: it learns, resumes, divides, and tells what it takes for what."""

import json
import os
import random
import shutil

import numpy as np
import pytest
from sklearn.metrics import f1_score

from common.errors import ConfigError, UserError
from generation.completion import complete
from generation.config import GenerationConfig
from tests.sampling import Terminal, is_one_line
from tests.training.conftest import WORDS
from tests.training.runs import labelled, left, measure, valid_lines
from training.converted import export_published
from training.measurement_report import print_json, print_tables, write_predictions
from training.run_folder import RunFolder
from training.trained_model import load_model

KIND = {"task": "classification", "model__head": "classes", "data__label_field": "animal", "data__packing": "pad"}
KIND |= {"training__sample_prompts": "()", "data__valid_fraction": 0.2}
NEW = {
    "model__vocab_size": 32,
    "model__encoder_layers": 2,
    "model__decoder_layers": 0,
    "training__num_steps": 60,
    "training__eval_every": 30,
}
NEW |= {"optimizer__learning_rate": 0.01, "training__checkpoint_every": 30, "optimizer__schedule": "constant"}
ANIMALS = ("cat", "dog", "bird")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Labelled texts, and a run that the first test has left."""
    folder, draw = tmp_path_factory.mktemp("classes"), random.Random(0)
    others = [word for word in WORDS if word not in ANIMALS]
    lines = []
    for _ in range(240):
        words = [*draw.choices(others, k=3), animal := draw.choice(ANIMALS)]
        draw.shuffle(words)
        lines.append(json.dumps({"text": " ".join(words), "animal": animal}))
    (folder / "texts.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture
def source(shared):
    return shared / "texts.jsonl"


@pytest.fixture
def run(shared, begin, source):
    return left(shared / "run", lambda: begin("run", **KIND | NEW, data__train=source, loss__class_weights="balanced"))


def test_it_learns_and_its_folder_knows_the_classes(run):
    first, last = valid_lines(run)
    assert last["loss"] < first["loss"] and last["accuracy"] > 0.9 and last["macro_f1"] > 0.9
    assert "perplexity" not in last and RunFolder(run).classes() == ("bird", "cat", "dog")
    assert load_model(str(run), pytest.fail).run.model.num_classes == 3


def test_evaluation_is_the_loops_and_scikit_learns(run, tmp_path, capsys):
    measured, last = measure(run), valid_lines(run)[-1]
    for name in ("loss", "accuracy", "macro_f1"):
        assert measured.metrics[name] == pytest.approx(last[name], rel=1e-5)
        low, high = measured.intervals[name]
        assert low <= measured.metrics[name] <= high
    labels, answers = ([each[name] for each in measured.predictions] for name in ("label", "prediction"))
    assert measured.metrics["macro_f1"] == pytest.approx(f1_score(labels, answers, average="macro"))
    assert all(each["label"] in each["text"].split() for each in measured.predictions), "in the order of the texts"
    assert np.trace(measured.confusion_matrix) == sum(map(str.__eq__, labels, answers))

    files = write_predictions(measured, tmp_path / "new" / "folder")
    assert [json.loads(line) for line in files[0].read_text().splitlines()] == measured.predictions
    assert files[1].read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    print_json(measured)
    fields = json.loads(capsys.readouterr().out)
    assert fields["metrics"]["macro_f1"] == measured.metrics["macro_f1"] and "predictions" not in fields
    assert sum(each["support"] for each in fields["per_class"].values()) == len(labels)
    print_tables(measured)
    assert "macro_f1" in (shown := capsys.readouterr().out) and "support" in shown
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write in .*; give another --out"):
        write_predictions(measured, tmp_path / "file")


def test_other_examples(run, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("words,what\nthe cat sees,cat\na dog,dog\n")
    measured = measure(run, valid=[str(path)], text_field="words", label_field="what")
    assert measured.metrics["documents"] == 2 and measured.per_class["bird"]["support"] == 0
    path.write_text("words,what\nthe cat sees,cat\na cow,cow\n")
    with pytest.raises(
        UserError, match=r"other\.csv, line 3: the label 'cow' is none that was trained on: bird, cat, dog"
    ):
        measure(run, valid=[str(path)], text_field="words", label_field="what")


def test_it_resumes_and_divides(run, begin, source):
    changes = KIND | NEW | {"data__train": source, "loss__class_weights": "balanced"}
    half = begin("half", **changes | {"training__num_steps": 30})
    assert half.train() == 0
    resumed = begin("half", **changes)
    assert resumed.train() == 0
    assert valid_lines(resumed.folder.path) == valid_lines(run)

    eight = begin("eight", **changes | {"training__num_steps": 30, "mesh__data": 2, "mesh__fsdp": 2, "mesh__tensor": 2})
    assert eight.train() == 0
    assert valid_lines(eight.folder.path)[0]["loss"] == pytest.approx(valid_lines(run)[0]["loss"], rel=1e-3)


def test_from_a_language_model(begin, source, said):
    """A decoder that has learned to write, and then to tell classes: at the last token."""
    parent = begin("parent", training__num_steps=3)
    assert parent.train() == 0
    changes = KIND | {"init_from": parent.folder.path, "data__train": source, "training__num_steps": 3}
    child = begin("child", "base.py", ("model.", "tokenizer."), **changes)
    assert child.config.model.head == "classes" and child.config.model.network == "decoder"
    assert child.train() == 0
    told = [" ".join(line.split()) for line in said.lines]
    assert "new 2 arrays 51 parameters: head/classes/bias, head/classes/kernel" in told
    grandchild = begin("grandchild", "base.py", ("model.", "tokenizer."), **changes | {"init_from": child.folder.path})
    assert grandchild.train() == 0
    assert said.lines.count("    skipped    0 arrays               0 parameters") == 2


def test_a_head_for_other_classes_of_the_same_number_is_new(run, begin, source, said, tmp_path):
    """Of the same names in the same order it goes on."""
    names = dict(zip(sorted(ANIMALS), ("ant", "bee", "cow"), strict=True))
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    other = tmp_path / "other.jsonl"
    other.write_text("\n".join(json.dumps(row | {"animal": names[row["animal"]]}) for row in rows))
    changes = KIND | {"init_from": run, "training__num_steps": 1}
    for rank in (0, 2):
        said.lines.clear()
        child = begin(
            f"others {rank}", "base.py", ("model.", "tokenizer."), **changes, data__train=other, lora__rank=rank
        )
        assert child.train() == 0 and child.corpus.classes == ("ant", "bee", "cow")
        told = [" ".join(line.split()) for line in said.lines]
        assert "new 2 arrays 51 parameters: head/classes/bias, head/classes/kernel" in told
        assert "skipped 2 arrays 51 parameters: head/classes/bias, head/classes/kernel" in told
        assert "the head is new, since that one told other classes apart: bird, cat, dog" in told
    said.lines.clear()
    child = begin("same", "base.py", ("model.", "tokenizer."), **changes, data__train=source)
    assert child.train() == 0
    assert "    new        0 arrays               0 parameters" in said.lines
    assert not any("head is new" in line for line in said.lines)


def same_as_measured(said, predictions):
    """Whether sample.py says what evaluate.py writes down, to the digits that both have."""
    assert len(said) == len(predictions) > 0
    for ours, theirs in zip(said, predictions, strict=True):
        assert (ours["prompt"], ours["label"]) == (theirs["text"], theirs["prediction"])
        assert next(iter(ours["probabilities"])) == ours["label"] and ours["probabilities"].keys() == set(ANIMALS)
        assert ours["probabilities"][ours["label"]] == pytest.approx(theirs["probability"], abs=2e-4)
        assert sum(ours["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    return True


def test_texts_without_labels_get_those_of_evaluation(run, call, tmp_path):
    predictions = measure(run).predictions
    texts = [each["text"] for each in predictions]
    assert same_as_measured(labelled(call, run, texts, "--batch_size", 20), predictions), (
        "20 are more than are read at once"
    )
    assert same_as_measured(labelled(call, run, texts[:5], "--batch_size", 2, "--task", "classify"), predictions[:5])
    long = tmp_path / "long.csv"
    long.write_text(f"text,animal\n{'house ' * 30} cat,cat\n")
    (theirs,) = measure(run, valid=[str(long)], said=[]).predictions
    _, output, error = call("--ckpt", run, "--prompt", theirs["text"], "--prompt", "the big dog", "--json")
    assert error == "--prompt 'house house house ho': cut to data.sequence_length=32, as in training\n"
    assert same_as_measured([json.loads(output.splitlines()[0])], [theirs])
    _, output, error = call("--ckpt", run, "--prompt", "the big dog", "--prompt", "a bird sees")
    first, second = output.splitlines()
    assert error == "" and first.startswith("dog ") and second.startswith("bird ") and first.count("%, ") == 2


def test_texts_are_cleaned_as_they_were(run, call, tmp_path):
    folder = shutil.copytree(run, tmp_path / "cleaned")
    settings = json.loads((folder / "config.json").read_text())
    settings["data"]["clean"] = ["lowercase", "max_words=4"]
    (folder / "config.json").write_text(json.dumps(settings))
    small, large = labelled(call, folder, ["the big dog", "The BIG Dog"])
    assert small == large | {"prompt": "the big dog"}
    status, output, error = call("--ckpt", folder, "--prompt", "the cat", "--prompt", "the " * 5)
    assert status == 2 and output == "" and "--prompt 'the the the the the '" in error and "leaves nothing" in error


def test_a_decoder_and_adapters_label_too(run, begin, source, call):
    changes = KIND | NEW | {"data__train": source, "training__num_steps": 20, "training__eval_every": 20}
    decoder = begin("decoder", **changes | {"model__encoder_layers": 0, "model__decoder_layers": 1})
    tuned = begin(
        "lora",
        "base.py",
        ("model.", "tokenizer."),
        **changes | {"init_from": run, "lora__rank": 2, "data__packing": "best_fit"},
    )
    for trainer in (decoder, tuned):
        assert trainer.train() == 0
        folder = trainer.folder.path
        predictions = measure(folder).predictions
        assert same_as_measured(labelled(call, folder, [each["text"] for each in predictions]), predictions)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--temperature", 0], "temperature is for models that write text, and this one gives a text its class"),
        (["--beam", 2], "beam is for models that write text"),
        (["--score", "a"], "has learned classification: it gives a text its class; --score is for causal_lm, "),
        (["--draft", "x"], "it gives a text its class; --draft is for"),
        (["--chat"], "(--task classify); --task chat is for chat or dpo"),
        (["--task", "translate"], "(--task classify); --task translate is for seq2seq"),
        (["--context", "a"], "--context is for question_answering"),
        (["--system", "a"], "--system is for chat, dpo"),
        (["--prompt", " "], "--prompt ' ': there is no text"),
        (["--prompt", b"the \xff"], "not valid UTF-8"),
    ],
)
def test_what_means_nothing_to_labels_is_one_line(run, call, flags, message):
    flags = [os.fsdecode(flag) if isinstance(flag, bytes) else flag for flag in flags]
    status, output, error = call("--ckpt", run, "--prompt", "the cat", *flags)
    assert status == 2 and output == "" and is_one_line(error) and message in error


def test_lines_and_a_terminal(run, command, tmp_path):
    done = command("sample.py", "--ckpt", str(run), "--json", input="the big dog\n\n/quit cat\n")
    assert done.returncode == 0 and done.stderr == ""
    assert [json.loads(line)["prompt"] for line in done.stdout.splitlines()] == ["the big dog", "/quit cat"]
    terminal = Terminal(tmp_path, "--ckpt", str(run))
    terminal.until("> ")
    for line, answer in (
        ("the big dog", "dog "),
        ("/help", "/quit"),
        ("/temperature 0", "temperature is for models that write text"),
        ("/temperature", "temperature means nothing here"),
        ("/show", "there is no /show"),
        ("the " * 40, "this text: cut to data.sequence_length=32"),
    ):
        terminal.ask(line, answer)
    terminal.type("/quit\n")
    assert terminal.end() == 0 and "Traceback" not in terminal.seen and "/set NAME" not in terminal.seen


def test_it_writes_no_text_and_is_not_exported(run, tmp_path):
    model = load_model(str(run), pytest.fail)
    with pytest.raises(ConfigError, match="gives labels, and writes no text"):
        complete(model.params, model.run.model, model.tokenizer, ["the"], GenerationConfig(max_new_tokens=1), 0)
    with pytest.raises(UserError, match="tells classes apart; only networks that give tokens are exported"):
        export_published(str(run), tmp_path, 1 << 30, pytest.fail)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__head": "linear"}, r"task='classification' needs model\.head='classes'"),
        ({"data__label_field": ""}, r"data\.label_field is empty"),
        ({"task": "masked_lm"}, r"task='masked_lm' has no use for model\.head='classes'"),
        ({"training__sample_prompts": "the"}, r"training\.sample_prompts: .* writes no text; set them to \(\)"),
        ({"model__num_classes": 4}, r"model\.num_classes=4, but the labels have 3 classes; set None"),
        ({"model__decoder_layers": 2}, "trains an encoder or a decoder"),
    ],
)
def test_settings_that_do_not_go_together(begin, source, changes, message):
    with pytest.raises(ConfigError, match=message):
        begin("refused", **KIND | NEW | {"data__train": source} | changes)
