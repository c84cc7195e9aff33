"""Words written backwards: both kinds of networks learn it and resume; where the targets are shuffled they learn nothing."""

import json
import math
import random

import pytest
from sacrebleu.metrics import CHRF

from common.errors import ConfigError
from generation.answers import Answers
from generation.asking import make_asking
from generation.targets import write_targets
from model.parameters import split_layers
from tests.training.runs import measure
from training.measurement_report import print_json, print_tables, write_predictions
from training.metrics_writer import read_metrics
from training.trained_model import load_model

LETTERS = "abcdef"
LENGTH = 3
CHANCE = LENGTH / (LENGTH + 1) * math.log(len(LETTERS))  # the end of text is no secret
SETTINGS = {"task": "seq2seq", "data__prompt": "{source}>", "data__valid_fraction": 0.2, "model__vocab_size": 16}
SETTINGS |= {
    "model__position": "learned",
    "model__embed_dim": 32,
    "model__mlp_dim": 64,
    "training__batch_size": 8,
    "data__sequence_length": 24,
}
SETTINGS |= {"training__num_steps": 100, "training__eval_every": 50, "training__checkpoint_every": 50}
SETTINGS |= {"optimizer__learning_rate": 0.01, "optimizer__schedule": "constant", "optimizer__warmup_steps": 20}
NETWORKS = {
    "decoder": {},
    "encoder-decoder": {"model__encoder_layers": 1, "model__decoder_layers": 1},
}


def write(path, targets):
    path.write_text("\n".join(json.dumps({"source": s, "target": t}) for s, t in targets))
    return path


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Sources and targets, right and shuffled, and what runs have left."""
    folder, draw = tmp_path_factory.mktemp("pairs"), random.Random(0)
    sources = ["".join(draw.choices(LETTERS, k=LENGTH)) for _ in range(600)]
    targets = [source[::-1] for source in sources]
    write(folder / "right.jsonl", zip(sources, targets, strict=True))
    draw.shuffle(targets)
    write(folder / "shuffled.jsonl", zip(sources, targets, strict=True))
    return folder


def valid_losses(folder):
    return [line["loss"] for line in read_metrics(folder / "metrics.jsonl") if line["split"] == "valid"]


@pytest.fixture(params=NETWORKS)
def kind(request):
    return NETWORKS[request.param] | SETTINGS


@pytest.fixture
def run(kind, shared, begin):
    """A run that has learned; the first test of each network trains it."""
    folder = shared / ("both" if "model__encoder_layers" in kind else "decoder")
    if not folder.exists():
        assert begin(folder, **kind, data__train=shared / "right.jsonl").train() == 0
    return folder


def test_it_learns(run):
    assert valid_losses(run)[1] < 0.2 * CHANCE


def test_shuffled_targets_are_worth_chance(kind, shared, begin):
    trainer = begin("shuffled", **kind, data__train=shared / "shuffled.jsonl")
    assert trainer.train() == 0
    assert min(valid_losses(trainer.folder.path)) > 0.97 * CHANCE


def test_it_resumes_to_the_bit(run, kind, shared, begin):
    changes = kind | {"data__train": shared / "right.jsonl"}
    assert begin("half", **changes | {"training__num_steps": 50}).train() == 0
    resumed = begin("half", **changes)
    assert resumed.train() == 0
    assert valid_losses(resumed.folder.path) == valid_losses(run)


def test_what_it_writes_is_measured(run, tmp_path, capsys):
    said, told = [], []

    def write(*arguments):
        return write_targets(*arguments, say=said.append, tell=lambda *how_far: told.append(how_far), batch_size=20)

    measured, loss = measure(run, write=write), valid_losses(run)[-1]
    assert measured.metrics["loss"] == pytest.approx(loss, rel=1e-5)
    assert measured.metrics["perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    pairs = measured.predictions
    assert all(pair["target"] == pair["source"][::-1] for pair in pairs), "in the order of the texts"
    right = sum(pair["prediction"] == pair["target"] for pair in pairs) / len(pairs)
    assert right > 0.8 and measured.metrics["rouge1"] == pytest.approx(right), "words of one piece are right or wrong"
    written, wanted = ([pair[name] for pair in pairs] for name in ("prediction", "target"))
    assert measured.metrics["chrf"] == pytest.approx(CHRF().corpus_score(written, [wanted]).score)
    assert told[-1] == (len(pairs), len(pairs)) and said == []
    for name, (low, high) in measured.intervals.items():
        assert low <= measured.metrics[name] <= high

    (path,) = write_predictions(measured, tmp_path)
    assert [json.loads(line) for line in path.read_text().splitlines()] == pairs
    print_json(measured)
    fields = json.loads(capsys.readouterr().out)
    assert fields["signatures"]["chrf"].startswith("nrefs:1|case:mixed") and "predictions" not in fields
    print_tables(measured)
    assert f"bleu: {fields['signatures']['bleu']}\n" in capsys.readouterr().out


def test_beams_and_what_does_not_fit(run, tmp_path):
    path = tmp_path / "other.jsonl"
    path.write_text('{"from": "abc", "to": "cba"}\n' + json.dumps({"from": "abcdef" * 9, "to": "fed"}) + "\n")
    beam = 2 if run.name == "decoder" else 1
    fields, said = {"valid": (str(path),), "source_field": "from", "target_field": "to"}, []

    def write(*arguments, **options):
        return write_targets(*arguments, say=said.append, tell=lambda *_: None, **options)

    found = measure(run, said=said, write=lambda *them: write(*them, beam=beam, max_new_tokens=6), **fields)
    assert found.predictions[0]["prediction"] == "cba"
    assert f"{path}: 1 of 2 texts are cut to data.sequence_length=24" in said
    assert any(line.startswith("1 of 2 sources are cut to ") for line in said)
    said.clear()
    found = measure(run, said=said, write=lambda *them: write(*them, max_new_tokens=2), **fields)
    assert [len(pair["prediction"]) for pair in found.predictions] == [2, 2]
    assert said[-1] == "2 of 2 answers do not end within max_new_tokens=2, and are cut there"
    if run.name == "decoder":
        with pytest.raises(
            ConfigError, match="max_new_tokens=23 leaves no room for a source: this model takes 24 tokens"
        ):
            measure(run, said=said, write=lambda *them: write(*them, max_new_tokens=23), **fields)


def test_a_user_types_the_source_alone(run, capsys):
    model = load_model(str(run), pytest.fail)
    asking = make_asking("pairs", model.run.data, model.tokenizer)
    assert asking.prompt("abc") == "abc>"
    for as_json in (False, True):
        Answers(split_layers(model.params), model.run.model, model.tokenizer, as_json=as_json, asking=asking).answer(
            ["fed", "aab"], {"temperature": 0.0}
        )
    plain, *lines = capsys.readouterr().out.replace("---\n", "").split("\n{", 1)
    assert plain.split() == ["def", "baa"]
    answers = [json.loads(line) for line in ("{" + lines[0]).splitlines()]
    assert [(each["prompt"], each["text"]) for each in answers] == [("fed", "def"), ("aab", "baa")]
