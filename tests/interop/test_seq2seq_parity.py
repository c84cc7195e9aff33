"""The same network trained on the same pairs by torch and transformers: the losses of twenty steps are the same."""

import dataclasses
import types

import jax
import numpy as np
import pytest

from data.batches import PackedRows, TrainBatches
from data.encoded import join_pieces
from interop.weights import look_through, read_params
from tasks import TASKS, CorruptionConfig, LossConfig
from tests.interop.reference import make, required
from training.optimizer import OptimizerConfig, make_optimizer
from training.sharding import MeshConfig, make_mesh, put_batch
from training.step import init_state, make_train_step

torch = required("torch")
pytestmark = pytest.mark.parity

STEPS, ROWS, LENGTH = 20, 4, 24
TOKENIZER = types.SimpleNamespace(end_of_text=1, decoder_start=0, vocab_size=99)
OPTIMIZER = OptimizerConfig(
    name="adamw",
    learning_rate=3e-3,
    schedule="constant",
    warmup_steps=0,
    final_fraction=1.0,
    decay_fraction=0.2,
    weight_decay=0.1,
    b1=0.9,
    b2=0.98,
    eps=1e-8,
    clip_norm=1.0,
)


@pytest.fixture(scope="module")
def packed():
    """Forty pairs of different lengths, one a row."""
    draw = np.random.default_rng(0)
    pairs = [[draw.integers(3, 99, draw.integers(1, 12)).tolist() for _ in range(2)] for _ in range(40)]
    marks = [[0] * len(source) + [1] * (len(target) + 1) for source, target in pairs]
    tokens = [[*source, *target] for source, target in pairs]
    return PackedRows.pack([join_pieces(tokens, np.zeros(40), TOKENIZER, marks=marks)], LENGTH, "pad")


def ours(config, params, batches):
    """The losses of our own step."""
    mesh, optimizer = make_mesh(MeshConfig(1, 1, 1)), make_optimizer(OPTIMIZER, STEPS)
    loss = LossConfig(0.0, 0.0, 0.0, 0.0)
    step = jax.jit(make_train_step(config, TASKS["seq2seq"], loss, optimizer, 1, mesh))
    state, losses = init_state(config, optimizer, 0, params), []
    for number in range(STEPS):
        state, metrics = step(state, put_batch(mesh, batches(number), ROWS))
        losses.append(float(metrics["loss"]))
    return losses


def feed_t5(batch):
    """As transformers has it: labels without the rest are -100, and the decoder's inputs follow from them."""
    labels = np.where(batch["weights"] > 0, batch["targets"], -100)
    return {"input_ids": batch["encoder_inputs"], "attention_mask": batch["encoder_segment_ids"], "labels": labels}


def feed_gpt2(batch):
    """Labels are the inputs, of which those that are only read are -100; the model shifts them."""
    ids = np.append(batch["inputs"], batch["targets"][:, -1:], axis=1)
    ids[:, 1:] = np.where(batch["segment_ids"] > 0, batch["targets"], 0)
    labels = np.append(np.full((ROWS, 1), -100), np.where(batch["weights"] > 0, batch["targets"], -100), axis=1)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "labels": labels}


def theirs(network, batches, feed):
    """The losses of torch's AdamW on the model of transformers."""
    matrices = [each for each in network.parameters() if each.ndim > 1]
    others = [each for each in network.parameters() if each.ndim == 1]  # norms and biases, which do not decay
    groups = [{"params": matrices, "weight_decay": OPTIMIZER.weight_decay}, {"params": others, "weight_decay": 0.0}]
    betas = OPTIMIZER.b1, OPTIMIZER.b2
    optimizer, losses = torch.optim.AdamW(groups, lr=OPTIMIZER.learning_rate, betas=betas, eps=OPTIMIZER.eps), []
    for number in range(STEPS):
        batch = {name: torch.tensor(array).long() for name, array in feed(batches(number)).items()}
        loss = network(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), OPTIMIZER.clip_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("name", "feed"), [("t5", feed_t5), ("gpt2", feed_gpt2)])
def test_twenty_steps_have_the_same_losses(name, feed, packed, tmp_path):
    network = make(name)  # evaluates, so without dropout
    network.save_pretrained(tmp_path)
    published = look_through(tmp_path)
    config = dataclasses.replace(published.config, dropout=0.0)
    prepare = TASKS["seq2seq"].prepare(packed, TOKENIZER, CorruptionConfig(), config.network)
    batches = TrainBatches(packed, ROWS, 0, prepare)
    here, there = ours(config, read_params(published), batches), theirs(network, batches, feed)
    assert here == pytest.approx(there, abs=1e-4)
    assert min(here[-4:]) < here[0] - 0.5, "it learns"
