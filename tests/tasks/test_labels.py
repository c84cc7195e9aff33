"""Where words, several classes and numbers are read, and their losses, against torch and by hand."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from data.batches import PackedRows
from data.corpus import EncodedText
from data.mapped import join
from tasks import TASKS, CorruptionConfig, LossConfig
from tests.data.texts import END, encoded
from training.figures import FIGURES

LENGTHS = [3, 5, 2, 4, 1, 3]
TOKENIZER = SimpleNamespace(prefix=(99,), end_of_text=END)
LOGITS = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)


def loss_of(task, targets, weights, logits=LOGITS, **changes):
    batch = {"targets": jnp.asarray(targets), "weights": jnp.asarray(weights)}
    config = LossConfig(**{"label_smoothing": 0.0, "z_loss": 0.0, "l1_penalty": 0.0, "l2_penalty": 0.0} | changes)
    return TASKS[task].loss(lambda *_: SimpleNamespace(logits_BTV=jnp.asarray(logits)), {}, batch, None, config)


@pytest.mark.parametrize("network", ["encoder", "decoder"])
@pytest.mark.parametrize("packing", ["pad", "best_fit"])
def test_the_label_of_a_word_is_read_at_its_own_piece(network, packing):
    """Each token that has a mark is a target where it is an input itself; the mark here tells which token it is."""
    given = encoded(LENGTHS)
    marks = np.where((given.tokens == END) | (given.tokens % 3 == 0), -1, given.tokens).astype(np.int32)
    marks[0] = 0  # as it is before the first text
    text = EncodedText(given.tokens, given.starts, 0, marks=marks)
    packed = PackedRows.pack([text], 8, packing)
    prepare, seen = TASKS["token_classification"].prepare(packed, TOKENIZER, CorruptionConfig(), network), []
    for index in range(len(packed)):
        row = prepare(packed.row(index), None)
        assert row.keys() == {"inputs", "targets", "positions", "segment_ids", "weights"}
        read = row["weights"] > 0
        np.testing.assert_array_equal(row["inputs"][read], row["targets"][read])
        first = (row["positions"] == 0) & (row["segment_ids"] > 0)
        assert (row["inputs"][first] == (99 if network == "encoder" else END)).all() and not read[first].any()
        seen += row["targets"][read].tolist()
    assert sorted(seen) == sorted(marks[marks > 0].tolist())
    assert prepare(packed.row(-1), None)["weights"].sum() == 0


@pytest.mark.parametrize("task", ["regression", "multilabel"])
@pytest.mark.parametrize("network", ["encoder", "decoder"])
def test_labels_of_any_shape_come_to_the_place_that_sees_the_whole_text(task, network):
    shape, kind = ((6,), np.float32) if task == "regression" else ((6, 3), np.int32)
    labels = np.random.default_rng(0).integers(0, 2, shape).astype(kind) + (0.5 if task == "regression" else 0)
    given = encoded(LENGTHS)
    text = EncodedText(given.tokens, given.starts, 0, labels=labels.astype(kind))
    packed = PackedRows.pack([join([text, text])], 8, "best_fit")
    prepare = TASKS[task].prepare(packed, TOKENIZER, CorruptionConfig(), network)
    for index in range(len(packed)):
        row = prepare(packed.row(index), None)
        documents = packed.documents(index)
        assert row["targets"].dtype == kind
        np.testing.assert_array_equal(row["targets"][row["weights"] > 0], labels[documents % 6])


def test_the_loss_of_several_classes_is_torchs():
    torch = pytest.importorskip("torch")
    targets, weights = (
        (LOGITS.round() % 2).astype(np.int32),
        np.array([[1, 0, 1, 1, 0, 0], [0, 1, 0, 0, 0, 1]], np.float32),
    )
    objective, values = loss_of("multilabel", targets, weights)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(LOGITS), torch.tensor(targets).float(), reduction="none"
    ).mean(-1)
    np.testing.assert_allclose(values["loss"], expected.numpy() * weights, rtol=1e-5)
    np.testing.assert_array_equal(objective, values["loss"])
    smoothed, same = loss_of("multilabel", targets, weights, label_smoothing=0.2)
    soft = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(LOGITS), torch.tensor(targets).float() * 0.8 + 0.1, reduction="none"
    ).mean(-1)
    np.testing.assert_allclose(smoothed, soft.numpy() * weights, rtol=1e-5)
    np.testing.assert_array_equal(same["loss"], values["loss"])


def test_the_loss_of_numbers_by_hand():
    objective, values = loss_of(
        "regression", np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]]), np.array([[[3.0], [5.0]]])
    )
    np.testing.assert_array_equal(objective, [[4.0, 0.0]])
    np.testing.assert_array_equal(values["loss"], objective)


def test_answers():
    apply = lambda *_: SimpleNamespace(logits_BTV=jnp.asarray([[[2.0, -1.0, 0.0]]]))  # noqa: E731
    found = TASKS["multilabel"].predict(apply, {}, {})
    assert found["prediction"].tolist() == [[[1, 0, 0]]], "0.5 is not above 0.5"
    np.testing.assert_allclose(found["probability"][0, 0], 1 / (1 + np.exp([-2.0, 1.0, 0.0])), rtol=1e-6)
    assert TASKS["regression"].predict(apply, {}, {})["prediction"].tolist() == [[2.0]]


SCORED = [name for name, task in TASKS.items() if task.score is not None]


@pytest.mark.parametrize("name", SCORED)
def test_the_figures_that_a_task_names_are_those_that_it_gives(name):
    """They are what training.best_metric may name."""
    given = {"targets": np.array([0, 1, 1, 2]), "prediction": np.array([0, 1, 2, 2])}
    if name == "multilabel":
        given = {key: np.stack([values > 0, values > 1], -1).astype(int) for key, values in given.items()}
    given |= {"documents": np.array([0, 0, 1, 1]), "classes": np.array(["O", "B-X", "I-X"])}
    figures = TASKS[name].figures
    assert figures and all(figure in FIGURES for figure in figures)
    if name in ("classification", "multilabel", "regression", "token_classification"):
        assert set(TASKS[name].score(given)) == set(figures)
