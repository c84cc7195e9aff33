"""Names in texts, several classes and numbers from training to evaluate.py: each learns, and is measured as libraries do it."""

import json
import random
import re
import shutil
from collections import Counter

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import f1_score as span_f1
from seqeval.metrics.sequence_labeling import get_entities
from sklearn.metrics import f1_score

from common.errors import ConfigError, UserError
from tests.training.conftest import WORDS
from tests.training.runs import labelled, left, measure, valid_lines
from training.measurement_report import print_json, print_tables, write_predictions
from training.run_folder import RunFolder

NEW = {
    "model__vocab_size": 32,
    "model__encoder_layers": 2,
    "model__decoder_layers": 0,
    "model__head": "classes",
    "data__packing": "pad",
    "data__valid_fraction": 0.2,
    "training__sample_prompts": "()",
    "training__num_steps": 80,
    "training__eval_every": 40,
    "training__checkpoint_every": 40,
    "optimizer__learning_rate": 0.01,
    "optimizer__schedule": "constant",
}
ANIMALS, COLORS = ("cat", "dog", "bird"), ("red", "big", "small")
OTHERS = [word for word in WORDS if word not in ANIMALS + COLORS]
TASKS = ("token_classification", "multilabel", "regression")


def make_row(draw):
    """Words; an animal, with the color before it if there is one, is a name; its labels; and how many animals there are."""
    words, tags = [], []
    for _ in range(draw.randint(1, 3)):
        for word in draw.choices(OTHERS, k=draw.randint(0, 2)):
            words, tags = [*words, word], [*tags, "O"]
        if draw.random() < 0.5:
            words, tags = [*words, draw.choice(COLORS)], [*tags, "B-animal"]
        words, tags = [*words, draw.choice(ANIMALS)], [*tags, "I-animal" if tags[-1:] == ["B-animal"] else "B-animal"]
    names = [name for name in ANIMALS[:2] if name in words]
    return {
        "tokens": words,
        "tags": tags,
        "text": " ".join(words),
        "label": names,
        "count": sum(word in ANIMALS for word in words),
    }


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder, draw = tmp_path_factory.mktemp("labels"), random.Random(0)
    rows = [make_row(draw) for _ in range(300)]
    (folder / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for row in rows:  # what is to be learned is of no use
        draw.shuffle(row["tags"])
    starts = [["B-animal" if tag == "I-animal" else tag for tag in row["tags"]] for row in rows]
    labels, counts = ([row[name] for row in rows] for name in ("label", "count"))
    draw.shuffle(labels)
    draw.shuffle(counts)
    shuffled = zip(rows, starts, labels, counts, strict=True)
    lines = [row | {"tags": tags, "label": label, "count": count} for row, tags, label, count in shuffled]
    (folder / "shuffled.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def changes_of(task, source):
    field = {"data__label_field": "count"} if task == "regression" else {}
    return NEW | field | {"task": task, "data__train": source, "training__best_metric": METRIC[task]}


METRIC = {"token_classification": "f1", "multilabel": "exact_match", "regression": "pearson"}


@pytest.fixture(params=TASKS)
def run(request, shared, begin):
    """The folder of a run of each task."""
    task = request.param
    return left(shared / task, lambda: begin(task, **changes_of(task, shared / "texts.jsonl")))


LEARNED = {"f1": 0.8, "accuracy": 0.8, "micro_f1": 0.8, "exact_match": 0.6, "pearson": 0.8, "spearman": 0.7}


def test_it_learns(run):
    last = valid_lines(run)[-1]
    assert "perplexity" not in last
    assert all(last[name] > least for name, least in LEARNED.items() if name in last), last
    expected = {
        "token_classification": ("O", "B-animal", "I-animal"),
        "multilabel": ("cat", "dog"),
        "regression": (),
    }
    assert RunFolder(run).classes() == expected[run.name]
    assert RunFolder(run).config(None).model.num_classes == (len(expected[run.name]) or 1)


def test_evaluation_is_the_loops_and_the_libraries(run, tmp_path, capsys):
    measured, last = measure(run), valid_lines(run)[-1]
    assert METRIC[run.name] in measured.metrics
    for name, value in measured.metrics.items():
        if name in last:
            assert value == pytest.approx(last[name], rel=1e-5)
        if name in measured.intervals:
            low, high = measured.intervals[name]
            assert low <= value <= high
    rows = measured.predictions
    assert len(rows) == measured.metrics["documents"] > 30
    theirs = {
        "token_classification": lambda: {"f1": span_f1([r["tags"] for r in rows], [r["prediction"] for r in rows])},
        "multilabel": lambda: {
            "micro_f1": f1_score(*(matrix(rows, name) for name in ("label", "prediction")), average="micro"),
            "exact_match": np.mean([row["label"] == row["prediction"] for row in rows]),
        },
        "regression": lambda: {
            "pearson": pearsonr(*numbers(rows))[0],
            "spearman": spearmanr(*numbers(rows))[0],
            "mse": np.square(np.subtract(*numbers(rows))).mean(),
        },
    }[run.name]()
    for name, value in theirs.items():
        assert measured.metrics[name] == pytest.approx(value, rel=1e-3), name
    (path,) = write_predictions(measured, tmp_path)
    assert [json.loads(line) for line in path.read_text().splitlines()] == json.loads(json.dumps(rows))
    print_tables(measured)
    print_json(measured)
    assert METRIC[run.name] in capsys.readouterr().out


def test_texts_without_labels_get_those_of_evaluation(run, call):
    predictions = measure(run).predictions
    texts = [" ".join(each["tokens"]) if "tokens" in each else each["text"] for each in predictions]
    said = labelled(call, run, texts, "--batch_size", 20)
    for ours, theirs, text in zip(said, predictions, texts, strict=True):
        assert ours["prompt"] == text
        if run.name == "token_classification":
            assert (ours["tokens"], ours["tags"]) == (theirs["tokens"], theirs["prediction"])
            assert all(0 < chance <= 1 for chance in ours["probabilities"])
            names = [(name["type"], *name["words"]) for name in ours["spans"]]
            assert names == [(kind, start, end + 1) for kind, start, end in get_entities(theirs["prediction"])]
            assert all(name["text"] == " ".join(ours["tokens"][slice(*name["words"])]) for name in ours["spans"])
        elif run.name == "multilabel":
            assert ours["label"] == theirs["prediction"]
            assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=2e-4)
        else:
            assert ours["label"] == pytest.approx(theirs["prediction"], abs=1e-3)
    shown = call("--ckpt", run, "--prompt", "the big cat")[1]
    assert re.fullmatch(SHOWN[run.name], shown), shown


SHOWN = {
    "token_classification": r"the/O big/B-animal cat/I-animal\n    animal: big cat\n",
    "multilabel": r"cat \d+%\n",
    "regression": r"\d\.\d{4}\n",
}


def matrix(rows, name):
    return [[kind in row[name] for kind in ANIMALS[:2]] for row in rows]


def numbers(rows):
    return [[row[name] for row in rows] for name in ("label", "prediction")]


@pytest.mark.parametrize("task", TASKS)
def test_shuffled_labels_give_chance(task, shared, begin):
    """Nothing of a held-out label is to be seen in what the network reads: where it tells nothing of them, none is learned."""
    trainer = begin(f"shuffled {task}", **changes_of(task, shared / "shuffled.jsonl") | {"training__num_steps": 40})
    assert trainer.train() == 0
    last = valid_lines(trainer.folder.path)[-1]
    rows = [json.loads(line) for line in (shared / "shuffled.jsonl").read_text().splitlines()]
    tags = [tag for row in rows for tag in row["tags"]]
    name, chance = {  # what one answer to all would reach
        "token_classification": ("accuracy", tags.count("B-animal") / len(tags)),
        "multilabel": ("exact_match", max(Counter(tuple(row["label"]) for row in rows).values()) / len(rows)),
        "regression": ("pearson", 0.2),
    }[task]
    assert last[name] < chance + 0.12, (last, chance)


def test_a_decoder_reads_words_too(shared, begin):
    changes = changes_of("token_classification", shared / "texts.jsonl") | {"training__num_steps": 30}
    trainer = begin("decoder", **changes | {"model__encoder_layers": 0, "model__decoder_layers": 2})
    assert trainer.train() == 0
    assert valid_lines(trainer.folder.path)[-1]["accuracy"] > 0.5


def test_the_best_step_is_that_of_the_figure_that_was_asked_for(run, begin, shared, said, tmp_path):
    task = run.name
    shutil.copytree(run, tmp_path / task)
    again = begin(task, **changes_of(task, shared / "texts.jsonl"))
    lines = valid_lines(run)
    best = max(lines, key=lambda line: line[METRIC[task]])["step"]
    assert again.checkpoints.best_step() == best
    assert again.train() == 0
    assert any(f"best step {best} by {METRIC[task]}, " in line for line in said.lines)


def test_other_rows(run, tmp_path):
    row = {"tokens": ["the", "cat"], "tags": ["O", "B-animal"], "text": "the cat", "label": ["cat"], "count": 0}
    path = tmp_path / "other.jsonl"
    path.write_text(json.dumps(row))
    assert measure(run, valid=[str(path)]).metrics["documents"] == 1
    path.write_text("\n".join(map(json.dumps, [row, row | {"tags": ["O", "B-tree"], "label": ["tree"], "count": "x"}])))
    with pytest.raises(
        UserError, match=r"other\.jsonl, line 2: (the label '(B-)?tree' is none that was|\"count\" is 'x')"
    ):
        measure(run, valid=[str(path)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"training__best_metric": "macro_f1"},
            r"best_metric='macro_f1' is none that .*: loss, mse, pearson, spearman$",
        ),
        ({"training__best_metric": "bleu"}, r"best_metric='bleu' is not known"),
        ({"model__num_classes": 3}, r"model\.num_classes=3, but task='regression' has 1 output; set None"),
        ({"loss__class_weights": "balanced"}, "is for task='classification'; set none"),
        ({"data__tags_field": ""}, r"data\.tags_field is empty"),
        ({"data__tokens_field": ""}, r"data\.tokens_field is empty"),
    ],
)
def test_settings_that_do_not_go_together(begin, shared, changes, message):
    with pytest.raises(ConfigError, match=message):
        begin("refused", **changes_of("regression", shared / "texts.jsonl") | changes)
