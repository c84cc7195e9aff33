"""Two processes, and four, on one machine, as hosts of a pod: the run of one process with as many devices."""

import json
import re
import shutil
import signal
import socket
from pathlib import Path

import pytest

from common.errors import ConfigError
from training.distributed import join_processes
from training.metrics_writer import read_metrics

ROOT = Path(__file__).parent.parent.parent
# What the collectives' own threads print, a phrase at a time and into each other's lines.
GLOO = re.compile(r"\[Gloo\]|Rank|is connected to|peer ranks\.|Expected number of connected|peer ranks|is :|[\d\s]")


@pytest.fixture
def start_many(start):
    """`start_many(**changes)`: one run in two processes of two devices each, or more of them of fewer devices."""

    def begin(count=2, **changes):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        train = str(ROOT / "train.py")
        places = [f"--distributed={address},{count},{index}" for index in range(count)]
        return [start(script=(train, place), devices=4 // count, **changes) for place in places]

    return begin


def losses(run):
    return {(line["step"], line["split"]): line["loss"] for line in read_metrics(run / "metrics.jsonl")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "mesh"),
    [
        (2, {"mesh__data": 1, "mesh__fsdp": 2, "mesh__tensor": 2}),
        (4, {"mesh__data": 2, "mesh__fsdp": 2}),
    ],
)
def test_many_processes(start, start_many, tmp_path, count, mesh):
    """The same losses; one says and writes; a checkpoint of all resumes in one process, and of one in all."""
    one = start(workdir="one", **mesh | {"mesh__data": 1, "mesh__fsdp": 1, "mesh__tensor": 1})
    assert one.wait() == 0, one.stderr
    many = start_many(count, workdir="many", **mesh)
    for process in many:
        assert process.wait() == 0, process.stderr
        assert "Traceback" not in process.stderr
    first, *others = many
    assert f"4 x cpu in {count} processes" in first.stderr and "done: " in first.stderr
    for process in others:
        assert "done: " not in process.stderr and GLOO.sub("", process.stdout) == ""

    expected, found = losses(tmp_path / "one"), losses(tmp_path / "many")
    assert found == pytest.approx(expected, rel=1e-5)
    assert len((tmp_path / "many/metrics.jsonl").read_text().splitlines()) == len(expected)  # written once
    assert json.loads((tmp_path / "many/config.json").read_text())["mesh"]["data"] == mesh["mesh__data"]

    for run in ("one", "many"):
        shutil.rmtree(tmp_path / run / "checkpoints" / "6")
    resumed = [start(workdir="many", mesh__data=1), *start_many(count, workdir="one", **mesh)]
    for process in resumed:
        assert process.wait() == 0, process.stderr
    for process in resumed[:2]:
        assert "resuming at step 3 of 6" in process.stderr
    for run in ("one", "many"):
        assert losses(tmp_path / run) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_adapters_in_two_processes(start, start_many, tmp_path):
    """What they add to is kept once, by both together, and enough for either to go on without the run it came from."""
    assert start(workdir="parent", training__num_steps=3).wait() == 0
    changes = {"init_from": "parent", "lora__rank": 4, "mesh__data": 1}
    one = start(workdir="one", **changes)
    assert one.wait() == 0, one.stderr
    for process in start_many(workdir="two", **changes | {"mesh__fsdp": 2, "mesh__tensor": 2}):
        assert process.wait() == 0, process.stderr
    shutil.rmtree(tmp_path / "parent")
    shutil.rmtree(tmp_path / "two" / "checkpoints" / "6")
    resumed = start(workdir="two", **changes)
    assert resumed.wait() == 0 and "resuming at step 3 of 6" in resumed.stderr, resumed.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_at_the_same_step(start_many, tmp_path):
    changes = {"training__num_steps": 20_000, "training__eval_every": 10_000, "training__checkpoint_every": 10_000}
    changes |= {"training__log_every": 5, "optimizer__schedule": "constant", "mesh__data": -1}
    two = start_many(workdir="two", **changes)
    two[0].until(r"step 10/")
    two[1].send(signal.SIGTERM)
    assert [process.wait() for process in two] == [128 + signal.SIGTERM] * 2
    step = int(re.search(r"saved step (\d+); run the same command again", two[0].stderr)[1])
    assert step >= 10 and step % 5 == 0
    assert [int(path.name) for path in (tmp_path / "two/checkpoints").iterdir() if path.name.isdigit()] == [step]
    for process in two:
        assert "Traceback" not in process.stderr


@pytest.mark.parametrize("text", ["localhost,2,0", "localhost:1234,2", "localhost:1234,2,2", ""])
def test_places_that_are_none_are_refused(text):
    with pytest.raises(ConfigError, match=r"--distributed=.* is not ADDRESS:PORT,COUNT,NUMBER"):
        join_processes(text)


def test_without_a_cluster_it_says_what_to_give(command):
    done = command("train.py", "--config", "configs/tiny.py", "--distributed", cwd=None)
    assert done.returncode == 1 and "--distributed=ADDRESS:PORT,COUNT,NUMBER" in done.stderr
    assert done.stderr.count("\n") == 1
