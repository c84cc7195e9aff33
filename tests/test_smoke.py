"""The main job in miniature, with nothing but requirements.txt and pytest: run with every supported Python and jax."""

import json

import pytest

from tests.conftest import COMPILED_IN_FULL


def test_train_resume_and_sample(command, tmp_path):
    arguments = ("train.py", "--config", "configs/tiny.py", "--workdir", str(tmp_path / "run"))
    first = command(*arguments, cwd=None, env=COMPILED_IN_FULL)
    assert first.returncode == 0, first.stderr
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if record["split"] == "valid"]
    assert losses[-1] < losses[0] < 8

    again = command(*arguments, cwd=None)
    assert again.returncode == 0, again.stderr
    assert "resuming at step 30 of 30" in again.stderr

    sampled = command(
        "sample.py", "--ckpt", str(tmp_path / "run"), "--prompt", "zh:", "--max_new_tokens", "4", "--json"
    )
    assert sampled.returncode == 0, sampled.stderr
    assert len(json.loads(sampled.stdout)["tokens"]) <= 4


@pytest.mark.parametrize(
    ("config", "prompt", "settings"),
    [
        ("bert_tiny", "en: I am [MASK] student.", ()),
        ("t5_tiny", "I <extra_id_0>.", ("--max_new_tokens", "4")),
    ],
)
def test_other_families(config, prompt, settings, command, tmp_path):
    small = {
        "model.embed_dim": 32,
        "model.mlp_dim": 64,
        "training.num_steps": 4,
        "training.eval_every": 4,
        "training.batch_size": 4,
    }
    overrides = [f"--config.{key}={value}" for key, value in small.items()]
    run = str(tmp_path / "run")
    done = command("train.py", "--config", f"configs/{config}.py", "--workdir", run, *overrides, cwd=None)
    assert done.returncode == 0, done.stderr
    sampled = command("sample.py", "--ckpt", run, "--prompt", prompt, *settings, "--json")
    assert sampled.returncode == 0, sampled.stderr
    assert json.loads(sampled.stdout)["prompt"] == prompt
