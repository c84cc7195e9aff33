"""evaluate.py's figures: the loop's own, those of each document by other code, and what cannot be measured."""

import json
import shutil

import jax
import numpy as np
import pytest

from common.errors import ConfigError, UserError
from data.encoded import encode_texts
from data.measured import load_texts
from generation.scoring import score, score_text
from metrics import bits_per_byte
from tests.training.conftest import make_text
from tests.training.runs import left, measure
from training.config import build_config
from training.evaluation import make_evaluator
from training.metrics_writer import read_metrics
from training.plot import plot_confusion, plot_losses
from training.run_folder import RunFolder
from training.sharding import MeshConfig, make_mesh, replicated
from training.trained_model import load_model


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("measured")


@pytest.fixture
def run(shared, begin):
    """The folder of a small run of 3 steps that has learned a little."""
    return left(
        shared / "run",
        lambda: begin("run", training__num_steps=3, optimizer__learning_rate=0.05, optimizer__warmup_steps=0),
    )


def test_without_data_it_is_the_loops_own_validation(run):
    last = [line for line in read_metrics(run / "metrics.jsonl") if line["split"] == "valid"][-1]
    measured = measure(run)
    assert (measured.task, measured.step) == ("causal_lm", 3)
    for name in ("loss", "perplexity", "bits_per_byte"):
        assert measured.metrics[name] == pytest.approx(last[name], rel=1e-5)
        low, high = measured.intervals[name]
        assert low < measured.metrics[name] < high
    assert measured.intervals.keys() == {"loss", "perplexity", "bits_per_byte"}
    tokens, size, documents = (measured.metrics[name] for name in ("tokens", "bytes", "documents"))
    bits = measured.metrics["loss"] * tokens
    assert measured.metrics["bits_per_byte"] == pytest.approx(bits_per_byte(bits, size))
    assert tokens == size + documents, "a character is a token, and each document has an end"


def test_one_text_is_as_generation_scores_it(run, tmp_path):
    """All but the end of text, which only training scores."""
    text = "the big cat sees a dog"
    (tmp_path / "one.txt").write_text(text)
    measured = measure(run, valid=[str(tmp_path / "one.txt")])
    model = load_model(str(run), pytest.fail)
    tokens, end = model.tokenizer.encode(text), model.tokenizer.end_of_text
    scored = score_text(model.params, model.run.model, model.tokenizer, text).logprobs
    (whole,) = score(model.params, model.run.model, [[end]], [[*tokens, end]])
    np.testing.assert_allclose(whole[:-1], scored, atol=1e-5)
    assert measured.metrics["loss"] == pytest.approx(-whole.mean(), rel=1e-5)
    assert (measured.metrics["tokens"], measured.metrics["bytes"], measured.metrics["documents"]) == (23, 22, 1)
    assert measured.intervals == {}, "one document tells nothing of others"


@pytest.mark.parametrize("packing", ["best_fit", "contiguous", "pad"])
def test_each_document_is_measured_however_rows_are_packed_and_divided(run, packing):
    model, folder = load_model(str(run), pytest.fail), RunFolder(run)
    documents = [text for text in make_text(3, 30).split("\n\n") if len(text) < 120]
    settings = folder.settings()
    settings["data"] |= {"packing": packing, "sequence_length": 128}
    settings["model"]["max_length"] = 128
    config = build_config(settings, model.tokenizer.vocab_size)
    mesh = make_mesh(MeshConfig(-1, 1, 1))
    texts = {
        "some": encode_texts(documents[:10], model.tokenizer),
        "more": encode_texts(documents[10:], model.tokenizer),
    }
    told = []
    evaluator = make_evaluator(config, texts, model.tokenizer, mesh, 8)
    params = jax.device_put(model.params, replicated(mesh))
    measured = evaluator.measure(params, lambda *now: told.append(now))
    assert told[-1] == (len(told), len(told))
    end = model.tokenizer.end_of_text
    rows = [[*model.tokenizer.encode(text), end] for text in documents]
    expected = [-logprobs.sum() for logprobs in score(model.params, config.model, [[end]] * len(rows), rows)]
    found = np.concatenate([measured[source].loss for source in texts])
    if packing == "contiguous":  # which cuts documents: a piece does not see the one before
        assert found.sum() >= np.sum(expected) * 0.9
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    weights = np.concatenate([measured[source].weight for source in texts])
    np.testing.assert_array_equal(weights, [len(row) for row in rows])
    by_source = {name for name in evaluator.metrics(measured) if "/" in name}
    assert by_source == {"bits_per_byte/some", "bits_per_byte/more"}


def test_any_source_will_do_and_the_batch_does_not_matter(run, tmp_path):
    lines = make_text(5, 20).split("\n\n")
    (tmp_path / "test.jsonl").write_text("\n".join(json.dumps({"body": line}) for line in lines))
    (tmp_path / "other.txt").write_text(make_text(6, 20))
    sources = [str(tmp_path / "*.jsonl"), str(tmp_path / "other.txt")]
    measured = measure(run, valid=sources, text_field="body")
    again = measure(run, valid=sources, text_field="body", batch_size=3)
    assert measured.data == tuple(sources) and measured.metrics["documents"] == 40
    assert again.metrics == pytest.approx(measured.metrics, rel=1e-5)
    names = {"loss", "perplexity", "bits_per_byte", *(f"bits_per_byte/{source}" for source in sources)}
    assert measured.intervals.keys() == names


def test_another_task_of_the_same_network(run):
    prefix = measure(run, "prefix_lm")
    assert prefix.task == "prefix_lm" and prefix.metrics["tokens"] < measure(run).metrics["tokens"]
    assert "bits_per_byte" not in prefix.metrics and prefix.intervals.keys() == {"loss", "perplexity"}
    with pytest.raises(ConfigError, match=r"--task masked_lm: .* kind 'decoder'; choose from: causal_lm, prefix_lm"):
        measure(run, "masked_lm")


def test_what_cannot_be_measured(run, tmp_path, text_file):
    with pytest.raises(ConfigError, match="no data at"):
        measure(run, valid=[str(tmp_path / "nowhere.txt")])
    with pytest.raises(ConfigError, match=r"data\.sequence_length=99 is above model\.max_length=32"):
        measure(run, sequence_length=99)
    other = shutil.copytree(run, tmp_path / "other")
    stored = json.loads((other / "config.json").read_text())
    stored["data"]["train"] = "nowhere.txt"
    (other / "config.json").write_text(json.dumps(stored))
    with pytest.raises(
        UserError, match=r"own text cannot be read: no data at 'nowhere\.txt'.*; or name a text with --data"
    ):
        measure(other)
    (tmp_path / "changed.txt").write_text(text_file.read_text() + "\n\nthe dog")
    stored["data"]["train"] = str(tmp_path / "changed.txt")
    (other / "config.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match="has changed since; bring it back, or name a text with --data"):
        measure(other)
    (other / "data.json").write_text('{"converted_from": {}}')
    with pytest.raises(UserError, match="holds converted weights, which have no text of their own; name a text"):
        measure(other)


def test_text_is_cleaned_as_the_runs(run, tmp_path):
    model, folder = load_model(str(run), pytest.fail), RunFolder(run)
    settings = folder.settings()
    path = tmp_path / "messy.txt"
    path.write_text("the  cat\t sees\n\na dog")
    settings["data"] |= {"valid": str(path), "clean": ("whitespace",)}
    data = build_config(settings, model.tokenizer.vocab_size).data
    ((_, text),) = load_texts(data, model.tokenizer)[0].items()
    assert text.sizes.tolist() == [len("the cat sees"), len("a dog")] and text.num_bytes == 17


def test_classes_may_have_dollars_in_their_names(tmp_path):
    plot_confusion([[1, 2], [0, 3]], ["$5_$10", "<$5"], tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_run_may_have_dollars_in_its_name(tmp_path):
    plot_losses(tmp_path / "metrics.jsonl", tmp_path / "loss.png", title="$1_$x")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
