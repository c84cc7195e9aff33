"""Runs that stop where validation has stalled, by the loss or by another figure."""

import dataclasses

from training.checkpoints import Checkpoints


class Scripted:
    """An evaluation whose losses are given, by step."""

    def __init__(self, trainer, losses: dict[int, float]):
        self._evaluate, self._trainer, self._losses = trainer.evaluate, trainer, losses
        self.batch_loss = trainer.evaluate.batch_loss

    def __call__(self, params):
        values = self._evaluate(params)
        step = next(self._steps)
        return values | {"loss": self._losses[step]}

    def from_step(self, step: int, every: int):
        self._steps = iter(range(step, 1000, every))
        return self


def test_it_stops_where_the_validation_loss_has_stalled(make_trainer, said):
    """Of 12 steps, evaluated every second; the best of step 4 is still the best 3 evaluations later."""
    losses = {2: 3.0, 4: 2.0, 6: 2.5, 8: 2.1, 10: 2.05, 12: 1.0}
    changes = {"training__num_steps": 12, "training__eval_every": 2, "training__patience": 3}
    trainer = make_trainer(**changes)
    trainer.evaluate = Scripted(trainer, losses).from_step(2, 2)
    assert trainer.train() == 0
    assert trainer.checkpoints.steps()[-1] == 10 and trainer.checkpoints.best_step() == 4
    assert "stopped early: the validation loss of step 4 is the lowest so far" in said.lines
    assert any("(newest step 10, best step 4, " in line for line in said.lines)

    again = make_trainer(**changes)  # does not go on
    again.evaluate = None
    assert again.train() == 0 and again.checkpoints.steps()[-1] == 10

    patient = make_trainer(**changes | {"training__patience": 4})  # goes on, and finds a better one
    patient.evaluate = Scripted(patient, losses).from_step(12, 2)
    assert patient.train() == 0 and patient.checkpoints.best_step() == 12


def test_it_stops_by_the_figure_that_was_asked_for(make_trainer, said):
    """The loss falls at every evaluation; the F1, of which more is better, was the highest at step 2."""
    scores = {2: 0.9, 4: 0.5, 6: 0.9, 8: 0.95}
    changes = {"training__num_steps": 8, "training__eval_every": 2, "training__patience": 2}
    trainer = make_trainer(**changes)
    trainer.config = dataclasses.replace(
        trainer.config, training=dataclasses.replace(trainer.config.training, best_metric="f1")
    )
    trainer.checkpoints = Checkpoints(trainer.folder.checkpoints, best_metric="f1")
    measured, steps = trainer.evaluate, iter(range(2, 9, 2))

    def evaluate(params):
        step = next(steps)
        return measured(params) | {"loss": 9.0 - step, "f1": scores[step]}

    evaluate.batch_loss = measured.batch_loss
    trainer.evaluate = evaluate
    assert trainer.train() == 0
    assert trainer.checkpoints.steps() == [2, 6], "the first of two that are alike"
    assert "stopped early: the validation f1 of step 2 is the highest so far" in said.lines
    assert any("(newest step 6, best step 2 by f1, " in line for line in said.lines)
