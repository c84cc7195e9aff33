"""Where a span's two ends are read, and its loss against scipy's own logsumexp, window by window."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from data.batches import PackedRows
from data.encoded import join_pieces
from data.forms.answers import BEGINS, BEHIND, ENDS, READ
from tasks import TASKS, CorruptionConfig, LossConfig
from tasks.question_answering import segment_logsumexp

TASK = TASKS["question_answering"]
TOKENS = [[5, 6, 2, 7, 8, 9, 2], [5, 2, 7, 2], [5, 2, 7, 8, 2], [6, 2, 9, 2]]
MARKS = [
    [0, 0, 0, READ + BEGINS, READ, READ + ENDS, BEHIND, 0],
    [0, 0, READ + BEGINS + ENDS, BEHIND, 0],
    [0, 0, READ, READ, BEHIND, 0],  # no answer
    [0, 0, READ + BEGINS + ENDS, BEHIND, 0],
]
PLAIN = LossConfig(0.0, 0.0, 0.0, 0.0)


def rows(packing="best_fit", prefix=(99,)):
    tokenizer = SimpleNamespace(prefix=prefix, end_of_text=1, vocab_size=100)
    text = join_pieces(TOKENS, np.ones(4, np.int64), tokenizer, marks=MARKS)
    packed = PackedRows.pack([text], 13, packing)
    prepare = TASK.prepare(packed, tokenizer, CorruptionConfig(), "encoder")
    return [prepare(packed.row(index), None) for index in range(-1, len(packed))], packed


@pytest.mark.parametrize("packing", ["pad", "best_fit"])
@pytest.mark.parametrize("prefix", [(99,), ()])
def test_targets_stand_where_the_tokens_do(packing, prefix):
    made, packed = rows(packing, prefix)
    blank, made = made[0], made[1:]
    assert blank["weights"].sum() == 0 and not blank["context"].any() and not blank["targets"].any()
    assert len({tuple((name, each.dtype, each.shape) for name, each in row.items()) for row in [blank, *made]}) == 1
    seen = []
    for index, row in enumerate(made):
        for segment, document in enumerate(packed.documents(index), 1):
            here = row["segment_ids"] == segment
            marks = np.array([0, *MARKS[document][:-1]])
            assert row["inputs"][here].tolist() == [prefix[0] if prefix else 1, *TOKENS[document]]
            expected = marks & (BEGINS + ENDS)
            expected[0] = 3 if document == 2 else 0
            assert row["targets"][here].tolist() == expected.tolist()
            assert row["types"][here].tolist() == [int(mark >= READ) for mark in marks]
            assert row["context"][here].tolist() == [bool(mark & READ) for mark in marks]
            assert row["weights"][here] == pytest.approx(1 / here.sum())
            seen.append(document)
    assert sorted(seen) == [0, 1, 2, 3]


def batch_of(made):
    return {name: jnp.asarray(np.stack([row[name] for row in made])) for name in made[0]}


def loss_of(batch, logits, config):
    return TASK.loss(lambda *_: SimpleNamespace(logits_BTV=jnp.asarray(logits)), {}, batch, None, config)


@pytest.mark.parametrize("config", [PLAIN, LossConfig(0.1, 0.01, 0.0, 0.0)])
def test_the_loss_is_over_the_places_of_each_window(config):
    made, _ = rows()
    batch = batch_of(made)
    logits = np.random.default_rng(0).normal(size=(*batch["targets"].shape, 2)).astype(np.float32) * 50
    objective, values = loss_of(batch, logits, config)
    expected, wanted = [], []
    for row, line in zip(made, logits.astype(np.float64), strict=True):
        for segment in range(1, row["segment_ids"].max() + 1):
            here = row["segment_ids"] == segment
            logs = log_softmax(line[here], axis=0)
            normal = (line[here] - logs)[0]
            at = [np.flatnonzero(row["targets"][here] & mark)[0] for mark in (1, 2)]
            plain = -np.mean([logs[at[0], 0], logs[at[1], 1]])
            expected.append(plain)
            smooth = (1 - config.label_smoothing) * plain - config.label_smoothing * logs.mean()
            wanted.append(smooth + config.z_loss * (normal**2).mean())
    assert len(expected) == 4 and float(values["weight"].sum()) == pytest.approx(4)
    assert float(values["loss"].sum()) == pytest.approx(sum(expected), rel=1e-5)
    assert float(objective.sum()) == pytest.approx(sum(wanted), rel=1e-5)


def test_a_segment_far_below_another_is_not_lost_and_gradients_are_finite():
    x, segments = jnp.array([[500.0, 499.0, -500.0, -501.0, 7.0]]), jnp.array([[1, 1, 2, 2, 0]])
    found = segment_logsumexp(x, segments)[0]
    expected = [*[np.logaddexp(500, 499)] * 2, *[np.logaddexp(-500, -501)] * 2, 7]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    gradient = jax.grad(lambda x: segment_logsumexp(x, segments)[0, jnp.array([0, 2])].sum())(x)
    share = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(gradient[0], [share, 1 - share, share, 1 - share, 0], rtol=1e-5)
