"""prepare.py as a user runs it: a messy folder, what it says of it, and what train.py does with the result."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import tokenizers

from data.builtin import read_builtin
from data.prepared import write_manifest
from data.tokenizer import END_OF_TEXT as END
from tests.conftest import ROOT

CLEAN = ("--config.data.clean=unicode,html,whitespace,min_words=4", "--config.data.dedup=near")
SMALL = (
    "--config.tokenizer.vocab_size=900",
    "--config.data.sequence_length=32",
    "--config.training.num_steps=2",
    "--config.training.batch_size=4",
    "--config.training.log_every=1",
    "--config.training.eval_every=2",
    "--config.training.sample_prompts=()",
    "--config.training.tensorboard=False",
)


def config(name: str = "tiny") -> tuple[str, str]:
    return "--config", str(ROOT / "configs" / f"{name}.py")


@pytest.fixture
def messy(tmp_path):
    """A folder with documents in two languages and all that is wrong with text; how many there are of each kind."""
    texts = [document.text.replace("\n", " ") for document in read_builtin("builtin:hsk")][:600:2]
    broken = ["no JSON", '{"body": "no text"}', '{"text": 7}']
    pages = [f"<html><body><p>{text}</p><script>track()</script></body></html>" for text in texts[:20]]
    wrong_table = [
        "The café and the naïve résumé of number".encode().decode("latin-1") + f" {number}" for number in range(10)
    ]
    near = [f"{text * 3} again" for text in texts[100:110]]
    lines = [json.dumps({"text": text}) for text in texts[20:]]
    lines += [
        json.dumps({"text": text}) for text in (*pages, *wrong_table, *(text * 3 for text in texts[100:110]), *near)
    ]
    lines += [json.dumps({"text": text.upper()}) for text in texts[50:80]]  # copies
    lines += [json.dumps({"text": f"{number}  no"}) for number in range(7)]  # short
    random.Random(0).shuffle(lines)
    (tmp_path / "messy").mkdir()
    (tmp_path / "messy" / "a.jsonl").write_text("\n".join([*lines[:100], *broken]))
    (tmp_path / "messy" / "b.jsonl").write_text("\n".join(lines[100:]))
    return {
        "read": len(lines),
        "pages": 20,
        "wrong_table": 10,
        "short": 7,
        "copies": 30,
        "near": 10,
        "broken": len(broken),
    }


def test_a_messy_folder_comes_out_as_the_report_says(messy, command, tmp_path):
    source = f"--config.data.train={tmp_path / 'messy'}"
    refused = command("prepare.py", *config(), "--out", "tokens", source, *SMALL, *CLEAN)
    assert refused.returncode == 1 and refused.stderr.splitlines()[-1].startswith("prepare.py: ")
    assert "a.jsonl, line 101: not JSON" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["messy"]

    skip = "--config.data.skip_bad=True"
    done = command("prepare.py", *config(), "--out", "tokens", "--json", source, skip, *SMALL, *CLEAN)
    assert done.returncode == 0, done.stderr
    assert "warning: left out as broken (data.skip_bad): 3 lines, rows or files: " in done.stderr
    (line,) = done.stdout.splitlines()
    said, manifest = json.loads(line), json.loads((tmp_path / "tokens" / "manifest.json").read_text())
    assert said == {"out": "tokens"} | manifest
    stages = {stage["name"]: stage for stage in manifest["stages"]}
    assert manifest["skipped"]["count"] == messy["broken"]
    assert stages["read"]["documents_out"] == messy["read"]
    assert stages["unicode"]["changed"] == messy["wrong_table"]
    assert stages["html"]["changed"] == messy["pages"]
    assert stages["min_words=4"]["documents_in"] - stages["min_words=4"]["documents_out"] == messy["short"]
    copies = stages["dedup=near"]["documents_in"] - stages["dedup=near"]["documents_out"]
    assert messy["copies"] + messy["near"] <= copies <= messy["copies"] + messy["near"] + 10
    report = (tmp_path / "tokens" / "report.md").read_text()
    for words in ("| min_words=4 |", "| html | changed |", "the user's own text", 'a.jsonl, line 102: no "text"'):
        assert words in report
    for picture in ("lengths.png", "tokens_a_byte.png", "stages.png"):
        assert (tmp_path / "tokens" / picture).read_bytes().startswith(b"\x89PNG") and f"({picture})" in report


@pytest.mark.slow
def test_training_on_it_is_training_on_its_sources(messy, command, tmp_path):
    """The same losses, bit for bit; then it resumes, and is refused with a shard cut short."""
    options = (*SMALL, *CLEAN, "--config.data.skip_bad=True", "--config.data.subword_sampling=0.1")
    source = f"--config.data.train={tmp_path / 'messy'}"
    assert command("prepare.py", *config(), "--out", "tokens", source, *options).returncode == 0

    def losses(workdir: str, *arguments: str):
        done = command("train.py", *config(), "--workdir", workdir, *options, *arguments)
        assert done.returncode == 0, done.stderr
        lines = map(json.loads, (tmp_path / workdir / "metrics.jsonl").read_text().splitlines())
        return [(line["step"], line["split"], line["loss"]) for line in lines]

    steps, tokens = (
        ("--config.training.num_steps=4", "--config.optimizer.schedule=constant"),
        "--config.data.train=tokens",
    )
    whole = losses("whole", source, *steps)
    assert losses("prepared", tokens, *steps[1:])[-1][0] == 2
    assert losses("prepared", tokens, *steps) == [*whole[:-1], whole[-1]] and whole[-1][0] == 4
    assert json.loads((tmp_path / "prepared" / "data.json").read_text())["prepared"] == str(tmp_path / "tokens")

    shard = next((tmp_path / "tokens").glob("train-*.bin"))
    shard.write_bytes(shard.read_bytes()[:-2])
    for arguments in (
        ("train.py", *config(), "--workdir", "new", tokens, *options),
        ("prepare.py", "--check", "tokens"),
    ):
        refused = command(*arguments)
        assert refused.returncode == 1 and refused.stderr.splitlines()[-1].endswith(
            "prepare it again, or bring back a copy"
        )
        assert shard.name in refused.stderr


def test_rows_are_shown_as_training_sees_them_and_nothing_is_written(command, tmp_path):
    (tmp_path / "text.txt").write_text("\n\n".join(f"你好 number {number}" for number in range(100)))
    options = ("--config.data.train=text.txt", *SMALL[1:], "--config.tokenizer.vocab_size=285")
    done, as_json = (command("prepare.py", *config(), "--show", "2", *options, *more) for more in ((), ("--json",)))
    assert done.returncode == 0, done.stderr
    assert "\n\n".join(json.loads(as_json.stdout)["rows"]) + "\n" == done.stdout
    first, second = done.stdout.split("\n\n")
    assert first.startswith("--- step 1, row 1: ") and second.startswith("--- step 1, row 2: ")
    assert "[document: " in first and "你好 number " in first and "[padding: " in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_vocabularies_are_compared_and_nothing_is_written(command, tmp_path):
    """With one of bytes, as GPT-2's is, in the files in which that is published."""
    (tmp_path / "text.txt").write_text("\n\n".join(f"你好！ {number}\nThe weather is fine." for number in range(100)))
    theirs = tokenizers.ByteLevelBPETokenizer()
    theirs.train_from_iterator(["The weather is fine. " * 9], vocab_size=280, show_progress=False, special_tokens=[END])
    (tmp_path / "gpt2").mkdir()
    theirs.save_model(str(tmp_path / "gpt2"))
    before = sorted(tmp_path.rglob("*"))
    sizes = ("--vocab_sizes", "290,310,9999", "--against", "gpt2", "--config.data.train=text.txt")
    done = command("prepare.py", *config(), *sizes, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    small, large, published = said["rows"]
    assert [small["vocab_size"], large["vocab_size"], published["name"]] == [290, 310, "gpt2"]
    assert small["embedding_parameters"] == 290 * 32
    assert published["bytes_per_token"]["zh"] < small["bytes_per_token"]["zh"] <= large["bytes_per_token"]["zh"]
    assert (
        list(said["left_out"]) == ["9999"]
        and "warning: left out: tokenizer.vocab_size=9999 is more than" in done.stderr
    )
    table = command("prepare.py", *config(), *sizes).stdout
    rows = {line.split()[0]: line.split() for line in table.split("\n\n")[0].splitlines()}
    assert rows["gpt2"][1:3] == [str(theirs.get_vocab_size()), f"{published['bytes_per_token']['all']:.2f}"]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "x", "--show", "1"), "give one of --out DIR, --show N, --vocab_sizes N,N and --check DIR"),
        ((), "give one of --out DIR, --show N, --vocab_sizes N,N and --check DIR"),
        (("--out", "x", "--against", "y"), "--against DIR is for --vocab_sizes N,N"),
        (("--vocab_sizes", "300", "--tokenizer", "y"), "--vocab_sizes trains tokenizers; leave --tokenizer out"),
        (("--vocab_sizes", "300,x"), "argument --vocab_sizes: invalid numbers value: '300,x'"),
        (
            ("--vocab_sizes", "300", "--against", "."),
            "--against . has no tokenizer; give a folder that has tokenizer.json",
        ),
        (("--vocab_sizes", "100,300"), "tokenizer.vocab_size=100 must be above 259 with byte_fallback"),
        (("--show", "0"), "--show 0 must be at least 1"),
        (
            ("--out", "x", "--cofnig.seed=1"),
            "unknown argument '--cofnig.seed=1' (did you mean '--config.seed'?); settings",
        ),
        (("--out", "x", "--config.data.train=none.txt"), "no data at 'none.txt'"),
        (("--out", "x", "--config.data.clean=htlm"), "data.clean='htlm' is not known (did you mean 'html'?)"),
        (("--out", "x", "--tokenizer", "."), "--tokenizer . has no tokenizer; give a run's folder"),
        (
            ("--out", "x", "--runner", "rya"),
            "--runner='rya' is not known (did you mean 'ray'?); choose from: daft, local, ray",
        ),
        (("--out", "x", "--ray_address", "a:1"), "--ray_address is for --runner ray, not local"),
    ],
)
def test_what_cannot_be_is_one_line(command, tmp_path, arguments, message):
    done = command("prepare.py", *config(), *arguments)
    assert done.returncode == 2 and done.stderr.startswith(f"prepare.py: {message}"), done.stderr
    assert done.stderr.count("\n") == 1 and not any(tmp_path.iterdir())


def test_a_folder_below_home_is_checked_there(command, tmp_path):
    (tmp_path / "tokens").mkdir()
    write_manifest(tmp_path / "tokens", {}, {})
    done = command("prepare.py", "--check=~/tokens", env={"HOME": str(tmp_path)})
    assert (done.returncode, done.stdout) == (0, "all is well\n"), done.stderr


@pytest.mark.slow
def test_killed_at_any_moment_the_same_line_ends_it(tmp_path):
    """Each attempt lives longer than the one before, goes on where that one was, and removes what it left."""
    texts = [document.text for document in read_builtin("builtin:hsk")]
    (tmp_path / "text.txt").write_text("\n\n".join(texts))
    command = [sys.executable, str(ROOT / "prepare.py"), *config(), "--out", "tokens", "--config.data.train=text.txt"]
    command += ["--shard_tokens", "1000"]
    killed = 0
    for stage in (".tokens.preparing", "read-*", "clean-*", "tokenizer-*", "-00009.bin", "report.md"):
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and not reached(tmp_path, stage):
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
        assert process.returncode in (0, -signal.SIGKILL)
        assert (tmp_path / "tokens").exists() or process.returncode != 0
        hidden = {path.name.partition("-")[0] for path in tmp_path.iterdir() if path.name.startswith(".")}
        assert hidden <= {".tokens.preparing", ".tokens.unfinished"}
        if (tmp_path / "tokens").exists():  # killed so late that it was whole, which is checked below
            break
    assert killed >= 2
    if not (tmp_path / "tokens").exists():
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} - {".tokens.preparing"} == {"text.txt", "tokens"}
    subprocess.run([*command[:2], "--check", "tokens"], cwd=tmp_path, check=True, capture_output=True)


def reached(folder, stage: str) -> bool:
    """Whether an attempt has come so far, by what is in its hidden folders."""
    if stage.startswith("."):
        return (folder / stage).exists()
    if stage.endswith("*"):
        return bool(list(folder.glob(f".tokens.preparing/{stage}")))
    return bool(list(folder.glob(f".tokens.unfinished-*/*{stage}")))
