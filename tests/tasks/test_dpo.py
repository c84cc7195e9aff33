"""The loss of preferences against NumPy, and the two texts of a row apart from each other."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import ConfigError
from data.batches import PackedRows
from data.encoded import document_sizes, join_pieces
from data.forms.preferences import CHOSEN, END, REJECTED
from tasks import TASKS, CorruptionConfig, LossConfig

TASK = TASKS["dpo"]


def packed(tokenizer, packing="pad"):
    """Two pairs, in rows of 12: prompts of two tokens and one, answers of one to three."""
    end = tokenizer.end_of_text
    pieces = [[11, 12, 13, end, 11, 12, 14, 15], [21, 22, 23, 24, end, 21, 25]]
    marks = [
        [0, 0, CHOSEN, CHOSEN | END, 0, 0, REJECTED, REJECTED, REJECTED],
        [0, CHOSEN, CHOSEN, CHOSEN, CHOSEN | END, 0, REJECTED, REJECTED],
    ]
    labels = np.array([[-1.5, -2.0], [-7.0, -0.5]], np.float32)
    text = join_pieces(pieces, document_sizes(["a", "b"]), tokenizer, labels, marks)
    return PackedRows.pack([text], 12 if packing == "pad" else 24, packing)


def test_a_pair_becomes_two_segments(tokenizer):
    rows, end = packed(tokenizer), tokenizer.end_of_text
    prepare = TASK.prepare(rows, tokenizer, CorruptionConfig(), "decoder")
    fed = prepare(rows.row(0), None)
    assert fed["inputs"].tolist() == [end, 11, 12, 13, end, 11, 12, 14, 15, 0, 0, 0]
    assert fed["targets"].tolist() == [11, 12, 13, end, 11, 12, 14, 15, end, 0, 0, 0]
    assert fed["segment_ids"].tolist() == [1] * 4 + [2] * 5 + [0] * 3
    assert fed["positions"].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 0, 0, 0]
    assert fed["chosen"].tolist() == [0, 0, 1, 1] + [0] * 8
    assert fed["rejected"].tolist() == [0] * 6 + [1, 1, 1] + [0] * 3
    assert fed["weights"].tolist() == [1] + [0] * 11 and fed["reference"].tolist() == [-1.5, -2.0]
    padding = prepare(rows.row(-1), None)
    assert padding["weights"].sum() == padding["chosen"].sum() == padding["rejected"].sum() == 0
    assert {name: (each.shape, each.dtype) for name, each in padding.items()} == {
        name: (each.shape, each.dtype) for name, each in fed.items()
    }
    with pytest.raises(ConfigError, match=r"one pair a row; set data\.packing=pad"):
        TASK.prepare(packed(tokenizer, "best_fit"), tokenizer, CorruptionConfig(), "decoder")


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_formula(tokenizer, smoothing):
    rows, beta = packed(tokenizer), 0.3
    prepare = TASK.prepare(rows, tokenizer, CorruptionConfig(), "decoder")
    fed = [prepare(rows.row(index), None) for index in (0, 1, -1)]
    batch = {name: np.stack([each[name] for each in fed]) for name in fed[0]}
    logits = np.random.default_rng(0).normal(size=(3, 12, tokenizer.vocab_size)).astype(np.float32)

    def apply(params, batch, key):
        return SimpleNamespace(logits_BTV=jnp.asarray(logits))

    config = LossConfig(smoothing, 0.0, 0.0, 0.0, dpo_beta=beta)
    objective, values = TASK.loss(apply, {}, batch, None, config)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    end = tokenizer.end_of_text
    answers = [(([13, end], 2), ([14, 15, end], 6)), (([22, 23, 24, end], 1), ([25, end], 6))]
    references = [(-1.5, -2.0), (-7.0, -0.5)]
    for pair, (sides, reference) in enumerate(zip(answers, references, strict=True)):
        sums = [sum(log_probs[pair, first + n, token] for n, token in enumerate(each)) for each, first in sides]
        margin = (sums[0] - reference[0]) - (sums[1] - reference[1])
        loss = [np.log(1 + np.exp(-sign * beta * margin)) for sign in (1, -1)]
        assert values["loss"][pair, 0] == pytest.approx(loss[0], rel=1e-5)
        assert objective[pair, 0] == pytest.approx((1 - smoothing) * loss[0] + smoothing * loss[1], rel=1e-5)
        assert values["margin"][pair, 0] == pytest.approx(margin, rel=1e-5)
        assert values["reward_accuracy"][pair, 0] == (margin > 0)
        assert [values[name][pair, 0] for name in ("chosen", "rejected")] == pytest.approx(sums, rel=1e-5)
    for array in (objective, *values.values()):
        assert array.shape == (3, 12) and not array[2].any() and not array[:, 1:].any()


def test_the_score_is_a_mean_over_pairs():
    answers = {"reward_accuracy": np.array([1.0, 0, 1, 1]), "margin": np.array([2.0, -1, 3, 4]), "targets": np.zeros(4)}
    assert TASK.score(answers) == {"reward_accuracy": 0.75, "margin": 2.0}
    with pytest.raises(ConfigError, match=r"dpo_beta=0\.0 must be above 0"):
        LossConfig(0.0, 0.0, 0.0, 0.0, dpo_beta=0.0)
