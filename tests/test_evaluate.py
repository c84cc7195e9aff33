"""evaluate.py as a user runs it; tests/training/test_measurement.py has the figures."""

import json

import pytest


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluated")


@pytest.fixture
def run(shared, here):
    """The folder of a run of two steps."""
    if not (shared / "run").exists():
        flags = ("--config.training.num_steps=2", "--config.training.sample_prompts=()")
        done = here("train.py", "--config", "configs/tiny.py", "--workdir", str(shared / "run"), *flags, cwd=None)
        assert done.returncode == 0, done.stderr
    return shared / "run"


def test_a_table_for_people_and_json_for_programs(command, here, run):
    done = command("evaluate.py", "--ckpt", str(run), "--json", devices=2)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    fields = json.loads(done.stdout)
    valid = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert fields["task"] == "causal_lm" and fields["step"] == 2
    for name in ("loss", "perplexity", "bits_per_byte", "bits_per_byte/builtin:hsk"):
        assert fields["metrics"][name] == pytest.approx(valid[name], rel=1e-5)
        low, high = fields["intervals"][name]
        assert low < fields["metrics"][name] < high
    done = here("evaluate.py", "--ckpt", str(run / "checkpoints" / "2"))
    assert done.returncode == 0 and done.stderr == ""
    rows = {cells[1]: cells[2:4] for line in done.stdout.splitlines() if len(cells := line.split("│")) > 3}
    rows = {name.strip(): [cell.strip() for cell in cells] for name, cells in rows.items()}
    assert rows["loss"] == [f"{valid['loss']:.4f}", "{:.4f} to {:.4f}".format(*fields["intervals"]["loss"])]
    assert rows["documents"] == ["436", ""]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "the following arguments are required: --ckpt"),
        (("--ckpt", "nowhere"), "there is no "),
        (("--ckpt", ".", "--data", ""), "--data is empty; name a text, or leave it out"),
        (("--ckpt", ".", "--batch_size", "0"), "--batch_size 0 must be at least 1"),
        (("--ckpt", ".", "--task", "multiple_choice"), "--task multiple_choice needs --data; name the questions"),
        (("--ckpt", ".", "--shots", "2"), "--shots: nothing is asked without --task multiple_choice"),
        (
            ("--ckpt", ".", "--seed", "2", "--template", "a"),
            "--seed and --template: nothing is asked without --task multiple_choice",
        ),
        (
            ("--ckpt", ".", "--task", "multiple_choice", "--data", "a", "--shots_data", "b"),
            "--shots_data means nothing without --shots",
        ),
        (
            ("--ckpt", ".", "--task", "clasification"),
            "--task='clasification' is not known (did you mean 'classification'?); choose from: causal_lm, chat, ",
        ),
        (("--ckpt", "."), "is not a run's folder (it has no config.json)"),
    ],
)
def test_mistakes_are_one_line(here, flags, message):
    done = here("evaluate.py", *flags)
    assert done.returncode in (1, 2) and done.stderr.count("\n") == 1
    assert message in done.stderr and done.stdout == ""


def test_texts_that_are_written_for_others(here, shared):
    """Sequence to sequence from train.py to evaluate.py and sample.py, which is given the source alone."""
    pairs, run = shared / "pairs.jsonl", shared / "pairs"
    rows = [{"source": f"{number} 你好", "target": f"hello {number}"} for number in range(60)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = {"task": "seq2seq", "data.train": pairs, "data.prompt": "zh: {source} en: ", "training.num_steps": 2}
    changes |= {
        "model.decoder_layers": 1,
        "tokenizer.vocab_size": 280,
        "tokenizer.character_coverage": 1.0,
        "training.sample_prompts": "7 你好",
    }
    flags = [f"--config.{key}={value}" for key, value in changes.items()]
    done = here("train.py", "--config", "configs/tiny.py", "--workdir", str(run), *flags, cwd=None)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("7 你好 → ")

    done = here("evaluate.py", "--ckpt", str(run), "--max_new_tokens", "3", "--json")
    assert done.returncode == 0, done.stderr
    fields = json.loads(done.stdout)
    valid = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert fields["task"] == "seq2seq" and fields["metrics"]["loss"] == pytest.approx(valid["loss"], rel=1e-5)
    assert {"bleu", "chrf", "rouge1", "rouge2", "rougeL"} <= fields["metrics"].keys() & fields["intervals"].keys()
    assert "answers do not end within max_new_tokens=3" in done.stderr
    written = [json.loads(line) for line in (run / "evaluation/predictions.jsonl").read_text().splitlines()]
    assert len(written) == fields["metrics"]["documents"] and all(row["target"] in str(rows) for row in written)

    answer = ("sample.py", "--ckpt", str(run), "--prompt", written[0]["source"], "--max_new_tokens", "3", "--json")
    done = here(*answer, "--temperature", "0")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["prompt"] == written[0]["source"] and said["text"] == written[0]["prediction"]


def test_how_texts_are_written_is_for_those_that_are(here, run):
    done = here("evaluate.py", "--ckpt", str(run), "--beam", "2")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "evaluate.py: --beam is for tasks that write texts, and 'causal_lm' is none\n"


def test_questions_are_put_to_a_language_model(here, run, tmp_path):
    rows = [
        {"question": word, "choices": ["好", "the big dog"], "answer": number % 2} for number, word in enumerate("abcd")
    ]
    (tmp_path / "ask.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = ("--ckpt", str(run), "--task", "multiple_choice", "--data", str(tmp_path / "ask.jsonl"))
    flags += ("--template", r"{question}\n{answer}", "--out", str(tmp_path / "out"))
    done = here("evaluate.py", *flags, "--shots", "1", "--json")
    assert done.returncode == 0 and done.stderr == f"{tmp_path}/out/predictions.jsonl\n", done.stderr
    fields = json.loads(done.stdout)
    assert fields["task"] == "multiple_choice" and fields["metrics"]["questions"] == 4
    assert fields["metrics"]["chance"] == 0.5 and 0 <= fields["metrics"]["accuracy_over_unconditional"] <= 1
    lines = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert [line["question"] for line in lines] == list("abcd")
    right = [line["predictions"]["accuracy"] == line["answer"] for line in lines]
    assert sum(right) / 4 == fields["metrics"]["accuracy"]
