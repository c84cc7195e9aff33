"""Two processes on one machine, as two hosts of a pod: the run of one process with as many devices."""

import json
import re
import shutil
import socket
from pathlib import Path

import pytest

from training.metrics_writer import read_metrics

ROOT = Path(__file__).parent.parent.parent
DRIVER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
coordinator, index = sys.argv.pop(1), int(sys.argv.pop(1))
import jax
jax.distributed.initialize(coordinator, 2, index)
assert jax.process_count() == 2 and jax.local_device_count() == 2
import train
from common.command import run_command
run_command(train.main)
"""
# What the collectives' own threads print, a phrase at a time and into each other's lines.
GLOO = re.compile(r"\[Gloo\]|Rank|is connected to|peer ranks\.|Expected number of connected|peer ranks|is :|[\d\s]")


@pytest.fixture
def start_two(start, tmp_path):
    """`start_two(**changes)`: one run in two processes of two devices each."""

    def begin(**changes):
        driver = tmp_path / "driver.py"
        driver.write_text(DRIVER)
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        return [start(script=(str(driver), address, str(index)), devices=2, **changes) for index in range(2)]

    return begin


def losses(run):
    return {(line["step"], line["split"]): line["loss"] for line in read_metrics(run / "metrics.jsonl")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "mesh",
    [
        {"mesh__data": -1},
        {"mesh__data": 1, "mesh__fsdp": 2, "mesh__tensor": 2},
    ],
)
def test_two_processes(start, start_two, tmp_path, mesh):
    """The same losses; one says and writes; a checkpoint of both resumes in one process, and of one in both."""
    one = start(workdir="one", **mesh | {"mesh__data": 1, "mesh__fsdp": 1, "mesh__tensor": 1})
    assert one.wait() == 0, one.stderr
    two = start_two(workdir="two", **mesh)
    for process in two:
        assert process.wait() == 0, process.stderr
        assert "Traceback" not in process.stderr
    assert "4 x cpu in 2 processes" in two[0].stderr and "done: " in two[0].stderr
    assert "done: " not in two[1].stderr
    assert GLOO.sub("", two[1].stdout) == ""

    expected, found = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert found == pytest.approx(expected, rel=1e-5)
    assert len((tmp_path / "two/metrics.jsonl").read_text().splitlines()) == len(expected)  # written once
    assert json.loads((tmp_path / "two/config.json").read_text())["mesh"]["data"] == mesh["mesh__data"]

    for run in ("one", "two"):
        shutil.rmtree(tmp_path / run / "checkpoints" / "6")
    resumed = [start(workdir="two", mesh__data=1), *start_two(workdir="one", **mesh)]
    for process in resumed:
        assert process.wait() == 0, process.stderr
    for process in resumed[:2]:
        assert "resuming at step 3 of 6" in process.stderr
    for run in ("one", "two"):
        assert losses(tmp_path / run) == pytest.approx(expected, rel=1e-5)
