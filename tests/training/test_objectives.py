"""Each objective trains its network, in one step function and one loop, and resumes exactly."""

import jax
import numpy as np
import pytest

from training.metrics_writer import read_metrics

KINDS = {
    "prefix_lm": {},
    "masked_lm": {
        "tokenizer__special_tokens": ("[MASK]",),
        "model__encoder_layers": 2,
        "model__decoder_layers": 0,
        "model__norm_position": "post",
        "model__head": "transform",
    },
    "span_corruption": {
        "tokenizer__special_tokens": tuple(f"<extra_id_{number}>" for number in reversed(range(8))),
        "model__encoder_layers": 1,
        "model__decoder_layers": 1,
        "model__position": "relative_bias",
    },
}


@pytest.mark.parametrize("task", KINDS)
def test_an_objective_trains_and_resumes(task, make_trainer, tmp_path):
    changes = KINDS[task] | {
        "task": task,
        "model__vocab_size": 64,
        "training__num_steps": 40,
        "optimizer__warmup_steps": 4,
    }
    changes |= {"optimizer__learning_rate": 0.01, "training__checkpoint_every": 20, "training__eval_every": 20}
    whole = make_trainer("whole", **changes, optimizer__schedule="constant")
    assert whole.train() == 0
    lines = read_metrics(tmp_path / "whole/metrics.jsonl")
    valid = [line["loss"] for line in lines if line["split"] == "valid"]
    first = next(line["loss"] for line in lines if line["split"] == "train")
    assert valid[1] < valid[0] < first - 0.5, "it learns"
    assert all("bits_per_byte" not in line for line in lines), "not every token is a target"

    half = make_trainer("half", **changes | {"training__num_steps": 20}, optimizer__schedule="constant")
    assert half.train() == 0
    resumed = make_trainer("half", **changes, optimizer__schedule="constant")
    assert resumed.train() == 0
    assert read_losses(tmp_path / "half") == read_losses(tmp_path / "whole")
    states = [trainer.checkpoints.restore(trainer.abstract, print) for trainer in (whole, resumed)]
    jax.tree.map(np.testing.assert_array_equal, *states)


def read_losses(folder):
    return [(line["step"], line["split"], line["loss"]) for line in read_metrics(folder / "metrics.jsonl")]


def test_eight_devices_give_the_losses_of_one(make_trainer, tmp_path):
    changes = KINDS["span_corruption"] | {"task": "span_corruption", "model__vocab_size": 64}
    one = make_trainer("one", **changes)
    eight = make_trainer("eight", **changes, mesh__data=2, mesh__fsdp=2, mesh__tensor=2)
    assert one.train() == eight.train() == 0
    for line, other in zip(read_losses(tmp_path / "one"), read_losses(tmp_path / "eight"), strict=True):
        assert line[:2] == other[:2]
        assert line[2] == pytest.approx(other[2], rel=1e-5)
