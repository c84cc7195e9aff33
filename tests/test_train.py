"""train.py as a user runs it: what is about its prompts and flags; tests/training has the rest."""

import pytest

from common.errors import ConfigError
from training.flags import parse

SHORT = ("--config", "configs/tiny.py", "--config.training.num_steps=2")


def test_a_sample_prompt_that_is_too_long_is_refused_before_training(here, tmp_path):
    prompt = f"--config.training.sample_prompts={'今天' * 200}"
    done = here("train.py", *SHORT, "--workdir", str(tmp_path / "run"), prompt, cwd=None)
    assert done.returncode == 2 and "training.sample_prompts: a prompt of " in done.stderr
    assert "too long: this model reads 63" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "run").exists()


def test_what_cannot_be_trained_is_not_blamed_on_the_prompts(here, tmp_path):
    for changes, message in (
        (["--config.model.head=none"], "model.head='none' gives no logits to train on"),
        (
            ["--config.task=masked_lm", "--config.model.encoder_layers=1", "--config.model.decoder_layers=0"],
            "task='masked_lm' needs a mask in the vocabulary; set --config.tokenizer.special_tokens",
        ),
    ):
        done = here("train.py", *SHORT, "--workdir", str(tmp_path / "run"), *changes, cwd=None)
        assert done.returncode == 2 and message in done.stderr and not (tmp_path / "run").exists()


def test_what_is_left_out_is_told_once(here, tmp_path):
    text = tmp_path / "text.jsonl"
    text.write_text("no\n" + '{"text": "The cat sees the dog. The dog sees the cat."}\n' * 40)
    flags = (*SHORT, "--workdir", str(tmp_path / "run"), f"--config.data.train={text}", "--config.data.skip_bad=True")
    small = ("--config.tokenizer.model_type=char", "--config.tokenizer.byte_fallback=False")
    done = here("train.py", *flags, *small, f"--config.training.sample_prompts={'The' * 200}", cwd=None)
    assert done.returncode == 2 and "too long" in done.stderr
    told = [line for line in done.stderr.splitlines() if "left out" in line]
    assert told == [
        "warning: left out as broken (data.skip_bad): 1 lines, rows or files: "
        f"{text}, line 1: not JSON (Expecting value)"
    ]


def test_text_that_is_trained_on_and_validates_is_told(here, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("The cat sees the dog. The dog sees the cat.\n\n" * 40)
    small = ("--config.tokenizer.model_type=char", "--config.tokenizer.byte_fallback=False")
    sources = (f"--config.data.train={text}", f"--config.data.valid={text}", "--config.training.sample_prompts=()")
    done = here("train.py", *SHORT, "--workdir", str(tmp_path / "run"), *small, *sources, cwd=None)
    assert done.returncode == 0 and f"warning: data.valid names what is trained on too: {text}" in done.stderr


def test_no_sample_prompts_no_samples(here, tmp_path):
    none = "--config.training.sample_prompts=()"
    done = here("train.py", *SHORT, "--workdir", str(tmp_path / "run"), none, cwd=None)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_unknown_flags_are_refused(command):
    done = command("train.py", *SHORT, "--wrokdir=x", cwd=None)
    assert done.returncode == 2
    assert done.stderr.startswith("train.py: unknown argument '--wrokdir=x'") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("--wrokdir=x", " (did you mean '--workdir'?)"),
        ("--skip_bad", " (did you mean '--config.data.skip_bad'?)"),
        ("--num-steps=60", " (did you mean '--config.training.num_steps'?)"),
        ("--lora.rank=8", " (did you mean '--config.lora.rank'?)"),
        ("--cofnig.seed=1", " (did you mean '--config.seed'?)"),
        ("more", ""),
    ],
)
def test_an_unknown_flag_is_answered_with_the_flag_or_the_key_that_is_meant(argument, meant):
    with pytest.raises(ConfigError) as refusal:
        parse(["--config", "configs/tiny.py", argument], "")
    told = f"unknown argument {argument!r}{meant}; settings are changed by --config.SECTION.KEY=VALUE"
    assert str(refusal.value) == told


def test_a_config_without_its_flag_is_answered_with_it(command):
    done = command("train.py", "configs/tiny.py", cwd=None)
    assert done.returncode == 2
    assert done.stderr == "train.py: unknown argument 'configs/tiny.py'; did you mean --config configs/tiny.py?\n"
    done = command("train.py", cwd=None)
    assert done.returncode == 2 and done.stderr == "train.py: no config is given; try --config configs/base.py\n"


def test_help_has_the_configs_and_how_to_change_a_setting(command):
    options = command("train.py", "--help").stdout.partition("options:")[2]
    assert "tiny.py" in options and "finetune/causal_lm.py" in options and "__init__" not in options
    assert "--config.SECTION.KEY=VALUE" in options


def test_an_empty_workdir_is_no_default(command):
    done = command("train.py", *SHORT, "--workdir", "", cwd=None)
    assert done.returncode == 2 and done.stderr == "train.py: --workdir is empty; give a folder, or leave it out\n"


def test_a_package_that_is_missing_is_one_line(command, tmp_path):
    (tmp_path / "sentencepiece.py").write_text("raise ModuleNotFoundError(name='sentencepiece')")
    done = command("train.py", *SHORT, cwd=None, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr.startswith("train.py: sentencepiece is not installed; run `. .venv/bin/activate`")


def test_a_runs_config_goes_on_in_its_folder(here, command, tmp_path):
    run = tmp_path / "somewhere" / "run"
    done = here("train.py", *SHORT, "--workdir", str(run), "--config.training.sample_prompts=()", cwd=None)
    assert done.returncode == 0, done.stderr
    done = command("train.py", "--config", "run/config.json", cwd=run.parent)
    assert done.returncode == 0 and f"run/config.json -> {run}" in done.stderr, done.stderr
    assert [path.name for path in run.parent.iterdir()] == ["run"]
