"""Whole small runs in this process: resumed = uninterrupted, a loss that is no number, damage, one device = eight."""

import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest

from common.errors import ConfigError, UserError
from data.corpus import mixture
from training.checkpoints import Checkpoints
from training.hardware import peak_flops
from training.metrics_writer import read_metrics
from training.plot import plot_losses


def train(trainer):
    """The exit status, and the state that a later attempt would restore."""
    status = trainer.train()
    return status, restored(trainer)


def restored(trainer):
    return Checkpoints(trainer.folder.checkpoints, read_only=True).restore(trainer.abstract, pytest.fail)


def losses(trainer):
    return {(line["step"], line["split"]): line["loss"] for line in read_metrics(trainer.folder.metrics)}


def bits(state):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


@pytest.fixture(scope="module")
def runs():
    """What the first test of the module that made it has left for the others: name -> (losses, bits of the state)."""
    return {}


@pytest.fixture
def whole(runs, make_trainer):
    """Losses and final state of the uninterrupted small run of 6 steps."""
    if not runs:
        trainer = make_trainer("whole")
        status, state = train(trainer)
        assert status == 0
        runs["whole"] = losses(trainer), bits(state)
    return runs["whole"]


def test_a_run_leaves_what_it_promises(make_trainer, said, monkeypatch):
    monkeypatch.setattr("training.loop.plot_losses", plot_losses)
    monkeypatch.setattr("training.loop.peak_flops", peak_flops)
    trainer = make_trainer(training__tensorboard=True)
    status, state = train(trainer)
    assert status == 0 and int(state.step) == 6
    assert trainer.checkpoints.steps() == [3, 6]
    path = trainer.folder.path
    assert (path / "loss.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert len(list(path.glob("events.*"))) == 1
    lines = [json.loads(line) for line in trainer.folder.metrics.read_text().splitlines()]
    assert [(line["step"], line["split"]) for line in lines] == [
        *((step, "train") for step in (1, 2, 3)),
        (3, "valid"),
        *((step, "train") for step in (4, 5, 6)),
        (6, "valid"),
    ]
    for line in lines:
        keys = {"step", "split", "loss"}
        if line["split"] == "train":
            assert line.keys() == keys | {"learning_rate", "grad_norm", "tokens_per_second", "mfu"}
            assert line["tokens_per_second"] > 0 and line["mfu"] > 0
        else:
            assert line.keys() == keys | {"perplexity", "bits_per_byte"}
            assert line["perplexity"] == pytest.approx(np.exp(line["loss"]))
    assert lines[0]["loss"] == pytest.approx(np.log(24), abs=0.2)  # the vocabulary has 24 pieces
    assert any(line.startswith("done: ") and "newest step 6, best step 6" in line for line in said.lines)


def test_a_finished_run_changes_nothing(make_trainer, whole, said):
    train(make_trainer())
    trainer = make_trainer(training__tensorboard=True)
    files = {path: path.stat().st_mtime_ns for path in trainer.folder.path.rglob("*") if path.is_file()}
    assert trainer.train() == 0
    assert {path: path.stat().st_mtime_ns for path in trainer.folder.path.rglob("*") if path.is_file()} == files
    assert said.lines[-2] == "resuming at step 6 of 6" and said.lines[-1].startswith("done: ")


def test_interrupted_at_every_step_is_uninterrupted(make_trainer, whole, monkeypatch):
    """A stop is asked for in each step in turn; the next attempt goes on from there, with bit-equal losses and state."""
    from training import loop

    stops = []

    class StopAtOnce(loop.StopSignal):
        def __enter__(self):
            self.number = 15
            stops.append(self)
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(loop, "StopSignal", StopAtOnce)
    for _ in range(6):
        trainer = make_trainer(training__keep_checkpoints=1)
        assert trainer.train() == 128 + 15
    monkeypatch.undo()
    trainer = make_trainer()
    assert len(stops) == 6 and trainer.train() == 0
    assert losses(trainer) == whole[0]
    assert bits(restored(trainer)) == whole[1]


def test_a_signal_at_the_end_of_a_step_is_heard_in_the_next(make_trainer, said, monkeypatch):
    """However the step goes on after the loop has looked: what is said to be saved is saved."""
    from training import loop

    class StopAfterTheFirstLook(loop.StopSignal):
        looks = iter([None])

        @property
        def number(self):
            return next(self.looks, 15)

        @number.setter
        def number(self, _):
            pass

    monkeypatch.setattr(loop, "StopSignal", StopAfterTheFirstLook)
    trainer = make_trainer(training__checkpoint_every=100, training__eval_every=100)
    assert trainer.train() == 128 + 15
    assert trainer.checkpoints.steps() == [2]
    assert said.lines[-1].startswith("saved step 2;")


def test_no_more_rows_at_once_than_a_microbatch(make_trainer):
    """Evaluations and the check before a checkpoint, too, fit in the memory that training fits in."""
    trainer = make_trainer(training__microbatches=4, training__eval_every=4, training__checkpoint_every=2)
    step, rows = trainer.evaluate._step, []
    trainer.evaluate._step = lambda params, batch: rows.append(len(batch["inputs"])) or step(params, batch)
    assert trainer.train() == 0
    (valid,) = trainer.evaluate._batches.values()
    assert rows == [2] * (1 + 2 * len(valid))  # step 2 is saved without, 4 and 6 with an evaluation
    assert len(valid) == -(-len(valid.packed) // 2)


def test_reports_and_checkpoints_do_not_change_what_is_learned(make_trainer, whole):
    """What `training.changes.HARMLESS` says of how often to log, evaluate and save."""
    trainer = make_trainer(training__log_every=4, training__eval_every=4, training__checkpoint_every=2)
    _, state = train(trainer)
    assert bits(state) == whole[1]
    assert losses(trainer).items() >= {key: whole[0][key] for key in [(1, "train"), (4, "train"), (6, "valid")]}.items()


@pytest.mark.slow
def test_the_best_is_kept_whenever_it_is_found(make_trainer):
    trainer = make_trainer(training__eval_every=2, training__checkpoint_every=5, training__keep_checkpoints=9)
    assert trainer.train() == 0
    assert trainer.checkpoints.steps() == [2, 4, 5, 6]
    assert trainer.checkpoints.best_step() in (2, 4, 6)


def test_a_network_without_a_head_is_refused(make_trainer):
    with pytest.raises(ConfigError, match=r"model\.head='none' gives no logits"):
        make_trainer(model__head="none")


def test_on_eight_devices(make_trainer, whole):
    """Data, parameters and heads divided, as the whole trainer does it, resumed on another mesh half way."""
    trainer = make_trainer(mesh__data=2, mesh__fsdp=2, mesh__tensor=2, training__num_steps=6)
    assert trainer.train() == 0
    found = losses(trainer)
    assert found.keys() == whole[0].keys()
    for key, loss in whole[0].items():
        assert found[key] == pytest.approx(loss, rel=1e-5), key
    shutil.rmtree(trainer.folder.checkpoints / "6")

    trainer = make_trainer(mesh__data=4)
    assert trainer.train() == 0
    for key, loss in whole[0].items():
        assert losses(trainer)[key] == pytest.approx(loss, rel=1e-5), key


DIVERGING = {
    "optimizer__learning_rate": 1e38,
    "optimizer__warmup_steps": 0,
    "optimizer__schedule": "constant",
    "training__eval_every": 100,
    "training__checkpoint_every": 100,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer__learning_rate": 1e39, "training__checkpoint_every": 1},
        pytest.param(
            {"optimizer__learning_rate": 1e39, "training__checkpoint_every": 1, "training__eval_every": 1},
            marks=pytest.mark.slow,
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_a_loss_that_is_no_number(make_trainer, changes):
    """Stops with the step and the last good checkpoint, and has saved nothing that is not good."""
    trainer = make_trainer(**DIVERGING | changes)
    with pytest.raises(UserError) as caught:
        trainer.train()
    message = str(caught.value)
    assert caught.value.status == 1 and "\n" not in message
    assert re.match(r"step [12]: .*(nan|inf).*: not finite; ", message)
    assert "Try a lower optimizer.learning_rate" in message
    assert "there is no checkpoint yet" in message
    assert not [path for path in trainer.folder.checkpoints.iterdir() if path.name.isdigit()]
    assert all(np.isfinite(line["loss"]) for line in read_metrics(trainer.folder.metrics))


def test_a_loss_that_becomes_no_number_later(make_trainer, whole):
    """The checkpoints of before stay, and the last of them is named."""
    train(make_trainer())
    changed = make_trainer(**DIVERGING | {"training__num_steps": 12})
    with pytest.raises(UserError, match=r"step [78]: .*not finite; the last good checkpoint is step 6\."):
        changed.train()
    assert bits(restored(changed)) == whole[1]
    assert Checkpoints(changed.folder.checkpoints, read_only=True).steps() == [3, 6]


def test_a_damaged_checkpoint_is_passed_over_and_the_run_ends_as_it_would_have(make_trainer, whole, said):
    train(make_trainer())
    trainer = make_trainer()
    newest = trainer.folder.checkpoints / "6" / "params" / "d"
    file = max(newest.iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    said.lines.clear()
    assert trainer.train() == 0
    assert [line for line in said.lines if "cannot be read" in line] == [said.lines[0]]
    assert said.lines[0].startswith("warning: the checkpoint of step 6 cannot be read (")
    assert "resuming at step 3 of 6" in said.lines
    assert (trainer.folder.path / "damaged" / "6").is_dir()
    assert losses(trainer) == whole[0]
    assert bits(restored(trainer)) == whole[1]


def test_samples_are_shown_at_each_evaluation_and_printed_at_the_end(make_trainer, said, capsys):
    trainer = make_trainer()
    trainer.write_samples = lambda params: ["one\ntwo"]
    trainer.train()
    assert said.lines.count("    one\n    two") == 1
    assert capsys.readouterr().out == "one\ntwo\n\n"


# The data.


@pytest.fixture
def two_sources(text_file, tmp_path):
    """Two files of different sizes, as data.train has them."""
    documents = text_file.read_text().split("\n\n")
    for name, part in (("large", documents[:150]), ("little", documents[150:])):
        (tmp_path / f"{name}.txt").write_text("\n\n".join(part))
    return f"{tmp_path}/large.txt,{tmp_path}/little.txt"


@pytest.mark.parametrize("packing", ["best_fit", "contiguous", "pad"])
def test_sources_with_weights_in_every_packing(make_trainer, two_sources, said, packing):
    changes = {"data__train": two_sources, "data__weights": (1, 3), "data__packing": packing}
    trainer = make_trainer(**changes)
    assert trainer.train() == 0
    large, little = trainer.batches.epochs(6)
    assert little > 5 * large
    (run,) = [line for line in said.lines if line.startswith("run: 6 steps")]
    assert re.search(rf"epochs of \S+large\.txt: {large:.1f}, \S+little\.txt: {little:.1f},", run)
    assert "epochs of" in said.lines[-1] and said.lines[-1].startswith("done: ")
    (text,) = [line for line in said.lines if line.startswith("text: ")]
    assert f"rows {trainer.batches.packed.efficiency:.1%} full" in text


def test_a_mixture_resumes_exactly(make_trainer, two_sources):
    changes = {"data__train": two_sources, "data__weights": (1, 3), "data__packing": "contiguous"}
    changes["optimizer__schedule"] = "constant"
    for folder, steps in (("whole", 6), ("half", 3), ("half", 6)):
        trainer = make_trainer(folder, **changes, training__num_steps=steps)
        assert trainer.train() == 0
        if folder == "whole":
            expected = losses(trainer)
    assert losses(trainer) == expected


def test_a_temperature_makes_sources_more_alike(make_trainer, two_sources):
    changes = {"data__train": two_sources}
    sizes = [text.num_tokens for text in make_trainer(**changes).corpus.train.values()]
    for temperature, shares in ((2.0, np.sqrt(sizes)), (1e9, [1, 1])):
        trainer = make_trainer(**changes, data__temperature=temperature)
        rows = trainer.batches.epochs(5000) * np.diff(trainer.batches.packed.first)
        np.testing.assert_allclose(rows / rows.sum(), np.array(shares) / sum(shares), atol=1e-4)


def test_a_source_with_a_weight_and_no_text_is_refused(make_trainer, two_sources, monkeypatch):
    from training import loop

    def without_little(corpus):
        return dataclasses.replace(corpus, train=dict([*corpus.train.items()][:1]))

    monkeypatch.setattr(loop, "mixture", lambda data, corpus: mixture(data, without_little(corpus)))
    with pytest.raises(UserError, match=r"data\.weights: no document of \S+little\.txt is left to train on"):
        make_trainer(data__train=two_sources, data__weights=(1, 1))


def test_a_run_stops_at_the_end_of_its_text(make_trainer, said):
    trainer = make_trainer(data__on_end="stop", training__num_steps=10_000)
    steps = trainer.config.training.num_steps
    assert steps == len(trainer.batches.packed) // 8
    assert trainer.train() == 0
    assert any(line.startswith(f"run: {steps} steps, ") and " 1.0 epochs" in line for line in said.lines)
    assert trainer.checkpoints.steps()[-1] == steps
    assert make_trainer(data__on_end="stop").config.training.num_steps == 6
    with pytest.raises(UserError, match=r"data\.on_end='stop': a source has fewer rows than a batch takes"):
        make_trainer(data__on_end="stop", training__batch_size=4096)


def test_a_run_of_epochs_is_evaluated_after_each(make_trainer):
    """Every row is seen once before the first evaluation, but for those that fill up the last batch."""
    trainer = make_trainer(training__epochs=2, training__batch_size=4, data__sequence_length=32)
    rows = len(trainer.batches.packed)
    training = trainer.config.training
    assert training.eval_every == training.checkpoint_every == trainer.batches.steps_per_epoch == -(-rows // 4)
    assert training.num_steps == 2 * training.eval_every
    seen = np.concatenate([trainer.batches.indices(step) for step in range(training.eval_every)])
    assert set(seen) == set(range(rows)) and len(seen) - rows < 4
    assert make_trainer("other").config.training.eval_every == 3


def test_what_goes_wrong_with_a_batch_is_told_and_leaves_the_checkpoints(make_trainer, whole):
    trainer = make_trainer()
    prepare, calls = trainer.batches.prepare, []

    def fail_in_step_5(row, generator):
        calls.append(row)
        if len(calls) > 42:
            raise UserError("a shard cannot be read")
        return prepare(row, generator)

    trainer.batches.prepare = fail_in_step_5
    with pytest.raises(UserError, match="a shard cannot be read"):
        trainer.train()
    trainer.checkpoints.wait()
    assert trainer.checkpoints.steps() == [3]
    trainer = make_trainer()
    assert trainer.train() == 0 and losses(trainer) == whole[0]
