"""The same folder bit for bit: whatever does the work, however it is cut, and whenever it was killed."""

import collections
import contextlib
import dataclasses
import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.errors import ConfigError, UserError
from common.work_folder import work_folder
from data.builtin import read_builtin
from data.config import DataConfig
from data.pipeline import prepare
from data.runners import SILENCE, Piece, in_process, make_runner
from data.tokenizer import TokenizerConfig
from tests.conftest import ROOT

BLOCK = 4000  # bytes: some ten blocks
TOKENIZER = TokenizerConfig(900, "bpe", 0.98, True, True)


def messy(folder: Path) -> tuple[str, str]:
    """Files of two sources in two languages, of several formats, with copies, near copies and what cleaning takes away."""
    draw, texts = random.Random(0), [document.text for document in read_builtin("builtin:hsk")][:300]
    chosen = [" ".join(draw.choices(texts, k=draw.randint(1, 4))) for _ in range(200)]
    chosen += [f"<p>{text}</p>" for text in chosen[:20]] + [f"{text} Again." for text in chosen[20:60]] + ["Hm"] * 9
    draw.shuffle(chosen)
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
    for number in range(3):
        lines = (json.dumps({"text": text}) + "\n" for text in chosen[number:150:3])
        (folder / "one" / f"{number}.jsonl").write_text("".join(lines))
    (folder / "one" / "plain.txt").write_text("\n\n".join(chosen[150:200]))
    (folder / "two" / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in chosen[190:]))
    return f"{folder}/one", f"{folder}/two"


@pytest.fixture
def options(tmp_path):
    return DataConfig(
        (*messy(tmp_path), "builtin:chat/telugu"),
        (),
        0.1,
        16,
        "",
        clean=("html", "whitespace", "min_words=3"),
        dedup="near",
        augment=("swap=0.1",),
        subword_sampling=0.1,
    )


@pytest.fixture
def run(tmp_path):
    """`run(options, run, **more)`: all files of the folder that is prepared so, by name."""

    def make(options: DataConfig, run=in_process, block_bytes=BLOCK, tokenizer=TOKENIZER, **more) -> dict[str, bytes]:
        folder = tmp_path / f"prepared{len(list(tmp_path.glob('prepared*')))}"
        folder.mkdir()
        with work_folder(tmp_path / "result") as work:
            prepare(options, tokenizer, folder, work, run, block_bytes=block_bytes, shard_tokens=1000, **more)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    return make


@pytest.fixture(scope="module")
def daft():
    """Daft's native runner, which is started once in a process; the environment is as before afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (*SILENCE, "PYTHONPATH", "PYTHONSAFEPATH"):
            patch.setenv(name, os.environ.get(name, ""))
        yield make_runner("daft")


class Killed(BaseException):
    """Nothing catches it, as nothing catches a signal."""


class Counter:
    """A runner that counts what is made, and is killed before it makes piece number `last`."""

    def __init__(self, last: int = 10**9):
        self.made, self.last = collections.Counter(), last

    def __call__(self, pieces):
        return in_process(dataclasses.replace(piece, make=functools.partial(self.make, piece)) for piece in pieces)

    def make(self, piece: Piece, path: Path):
        if self.made.total() == self.last:
            raise Killed
        self.made[path.name] += 1
        piece.make(path)


@pytest.mark.parametrize(
    ("clean", "dedup"), [((), "none"), (("whitespace",), "exact"), (("html", "whitespace", "min_words=3"), "near")]
)
def test_how_the_work_is_cut_makes_no_difference(options, run, clean, dedup):
    options = dataclasses.replace(options, clean=clean, dedup=dedup)
    whole = run(options, block_bytes=10**9)
    assert whole == run(options)
    assert {name.split("-")[0] for name in whole} >= {"train", "valid"} and len(whole) > 15


def test_daft_makes_the_same(options, run, daft):
    assert run(options) == run(options, daft, block_bytes=5000)


def test_daft_makes_the_same_where_some_is_broken(options, run, daft, tmp_path):
    for name in ("0", "2"):
        (tmp_path / "one" / f"{name}.jsonl").open("a").write("no JSON\n{}\n")
    skipping = dataclasses.replace(options, skip_bad=True)
    one, other = run(skipping), run(skipping, daft)
    assert one == other and json.loads(one["manifest.json"])["skipped"]["count"] == 4
    for runner in (in_process, daft):
        with pytest.raises(UserError, match=r"one/0\.jsonl, line 51: not JSON \(Expecting value\)$"):
            run(options, runner)
        assert not (tmp_path / ".result.preparing").exists()


def test_errors_come_from_daft_as_they_are(run, options, daft, tmp_path):
    with pytest.raises(
        ConfigError, match=r"tokenizer\.vocab_size=300 is too small .* or more, .*; what is done is kept"
    ):
        run(options, daft, tokenizer=dataclasses.replace(TOKENIZER, vocab_size=300))
    # functools.partial(max, key=str) is called with a path alone, which it cannot iterate over
    with pytest.raises(TypeError, match="not iterable") as caught:
        list(daft([Piece(tmp_path / "x", functools.partial(max, key=str))]))
    assert "_make" in "".join(caught.value.__notes__)


def test_a_folder_that_machines_do_not_share_is_told(daft, tmp_path, monkeypatch):
    monkeypatch.setattr("data.runners.DELAY", 0.2)
    with pytest.raises(UserError, match="x is not seen by all machines; give a folder for the result that they share"):
        list(daft([Piece(tmp_path / "x", str)]))  # it makes no file
    assert not any(tmp_path.iterdir())


def test_what_is_no_runner_is_refused():
    with pytest.raises(ConfigError, match=r"--runner='dask' is not known; choose from: daft, local, ray"):
        make_runner("dask")
    with pytest.raises(ConfigError, match="--ray_address is for --runner ray, not daft"):
        make_runner("daft", "host:6379")


def test_an_address_where_no_ray_is_is_told_at_once(monkeypatch):
    for name in SILENCE:
        monkeypatch.setenv(name, "")
    message = r"no Ray at --ray_address 127\.0\.0\.1:1 \(.*refused\); it is what `ray start` has printed"
    with pytest.raises(UserError, match=message):
        make_runner("ray", "127.0.0.1:1")


# Killed, and started again.


@pytest.fixture
def no_report(monkeypatch):
    """Its pictures take longer than all the rest."""
    monkeypatch.setattr("data.pipeline.write_report", lambda *_: None)


def test_killed_before_any_piece_it_goes_on_and_does_none_twice(no_report, options, run):
    counter = Counter()
    whole = run(options, counter)
    total = counter.made.total()
    assert set(counter.made.values()) == {1} and total > 20
    for last in range(0, total, 4):
        first, second = Counter(last), Counter()
        with pytest.raises(Killed):
            run(options, first)
        assert run(options, second) == whole
        again = {name for name in second.made if name in first.made}
        assert all(name.startswith("read-") for name in again) and len(again) <= 1  # of a source without files
        assert second.made.total() == total - last + len(again)


def test_only_what_has_changed_is_done_again(no_report, options, run, tmp_path):
    with pytest.raises(Killed):
        run(options, killed := Counter(18))
    with (tmp_path / "one" / "plain.txt").open("a") as file:
        file.write("\n\nSomething new is here, and it is not in any other file.")
    resumed = run(options, counter := Counter())
    assert resumed == run(options, whole := Counter())
    assert resumed["manifest.json"] != b"" and counter.made.total() < whole.made.total() - 8
    changed = [name for name in counter.made if name.startswith("clean-") and name not in killed.made]
    assert len(changed) == len([name for name in whole.made if name.startswith("clean-") and name not in killed.made])


def test_a_file_that_is_written_over_with_as_much_is_noticed(no_report, options, run, tmp_path):
    with pytest.raises(Killed):
        run(options, Counter(20))
    file = tmp_path / "two" / "a.jsonl"
    content = file.read_text()
    file.write_text(content.replace(". Again.", ". aGAIN."))
    assert file.stat().st_size == len(content.encode())
    assert run(options) == run(options)
    file.write_text(content)


def test_pieces_of_other_options_are_not_used(no_report, options, run):
    """Not even where raw blocks were used up by them."""
    other = dataclasses.replace(options, clean=("lowercase",), dedup="exact")
    expected = run(options), run(other)
    for first, second, whole in ((options, other, expected[1]), (other, options, expected[0])):
        for each, last in ((first, 15), (second, 20), (first, 10)):
            with pytest.raises(Killed):
                run(each, Counter(last))
        assert run(second) == whole


WRITER = """
import sys
from pathlib import Path
from common.command import run_command
from common.files import new_folder
from common.work_folder import work_folder
from data.config import DataConfig
from data.pipeline import prepare
from data.runners import make_runner
from tests.data.test_runners import BLOCK, TOKENIZER

def main():
    options = DataConfig(("one", "two"), (), 0.1, 16, "", clean=("html", "whitespace"), dedup="near")
    with work_folder(Path("out")) as work, new_folder(Path("out")) as folder:
        prepare(options, TOKENIZER, folder, work, make_runner(sys.argv[1]), block_bytes=BLOCK)
    return 0

run_command(main)
"""


def start(folder: Path, runner: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, runner],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pieces(folder: Path) -> dict[str, tuple[int, int]]:
    """What is done so far: each file, and its number and time, so that one that is written anew is told from it."""
    found = {}
    for path in folder.glob(".out.preparing/[!.]*.npz"):
        with contextlib.suppress(FileNotFoundError):  # it has just been removed
            found[path.name] = path.stat().st_ino, path.stat().st_mtime_ns
    return {name: known for name, known in found.items() if not name.startswith("raw-")}


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["local", "daft"])
def test_killed_at_random_moments_it_makes_the_same_in_the_end(tmp_path, runner):
    messy(tmp_path)
    done = start(tmp_path, "local")
    assert done.wait() == 0, done.stderr.read()
    (tmp_path / "out").rename(tmp_path / "whole")
    draw, before, kills = random.Random(0), {}, 0
    for _ in range(20):
        process = start(tmp_path, runner)
        enough = len(before) + draw.randint(1, 4)
        while process.poll() is None and len(pieces(tmp_path)) < enough:
            time.sleep(0.002)
        time.sleep(draw.random() / 50)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (tmp_path / "out").exists():
            break
        kills += 1
        after = pieces(tmp_path)
        assert {name: after[name] for name in before} == before  # nothing is written twice
        before = after
    assert kills >= 3
    if not (tmp_path / "out").exists():
        last = start(tmp_path, "local")
        assert last.wait() == 0, last.stderr.read()
    ours, theirs = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("out", "whole"))
    assert ours == theirs
    assert {path.name for path in tmp_path.iterdir()} - {".out.preparing"} == {"one", "two", "out", "whole"}


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["local", "daft"])
def test_a_signal_says_what_is_kept_and_ends_all_processes(tmp_path, runner):
    messy(tmp_path)
    process = start(tmp_path, runner)
    while process.poll() is None and len(pieces(tmp_path)) < 3:
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)  # also once all that have its stderr are gone
    kept = tmp_path / ".out.preparing"
    assert process.returncode == 128 + signal.SIGTERM
    assert stderr.endswith(f"stopped by SIGTERM; what is done is kept for the next attempt, in {kept}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.preparing", "one", "two"]


@pytest.mark.slow
def test_ray_makes_the_same(tmp_path, command):
    messy(tmp_path)
    arguments = ("prepare.py", "--config", str(ROOT / "configs" / "tiny.py"), "--config.data.train=one,two")
    arguments += (
        "--config.data.clean=html,whitespace",
        "--config.data.dedup=near",
        "--config.tokenizer.vocab_size=600",
    )
    for runner in ("local", "ray"):
        done = command(*arguments, "--out", f"{runner}/out", "--runner", runner, timeout=900)
        assert done.returncode == 0, done.stderr
    local, ray = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "out").iterdir()} for name in ("local", "ray")
    )
    assert local == ray
    (tmp_path / "one" / "0.jsonl").open("a").write("no JSON\n")
    done = command(*arguments, "--out", "bad", "--runner", "ray", timeout=900)
    assert done.returncode == 1 and done.stderr.endswith("one/0.jsonl, line 51: not JSON (Expecting value)\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["local", "one", "ray", "two"]
