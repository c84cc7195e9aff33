"""train.py as a user runs it: what is about its prompts and flags; tests/training has the rest."""

SHORT = ("--config", "configs/tiny.py", "--config.training.num_steps=2")


def test_a_sample_prompt_that_is_too_long_is_refused_before_training(command, tmp_path):
    prompt = f"--config.training.sample_prompts={'今天' * 200}"
    done = command("train.py", *SHORT, "--workdir", str(tmp_path / "run"), prompt, cwd=None)
    assert done.returncode == 2 and "too long: this model reads 63" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "run" / "config.json").exists()


def test_no_sample_prompts_no_samples(command, tmp_path):
    none = "--config.training.sample_prompts=()"
    done = command("train.py", *SHORT, "--workdir", str(tmp_path / "run"), none, cwd=None)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_unknown_flags_are_refused(command):
    done = command("train.py", *SHORT, "--wrokdir=x", cwd=None)
    assert done.returncode == 2
    assert done.stderr.startswith("train.py: unknown argument '--wrokdir=x'") and done.stderr.count("\n") == 1
