"""Ctrl-C and SIGTERM are heard at every moment of a real process."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from tests.training.processes import LONG, ROOT, after, finish

SLOW_SAVE = """
import sys, time
from orbax.checkpoint import CheckpointManager
save = CheckpointManager.save
def slow(self, *arguments, **options):
    print("slow save begins", file=sys.stderr, flush=True)
    time.sleep(60)
    return save(self, *arguments, **options)
CheckpointManager.save = slow
"""


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


@pytest.mark.slow
def test_stopped_while_compiling(start, run):
    """The first Ctrl-C is heard at once, and a second one does not wait for the compiler."""
    process = start(cache=False, model__scan_layers=False, model__decoder_layers=12)
    process.until(r"\nrun: ")
    time.sleep(1)  # the compiler is at work
    process.send(signal.SIGINT)
    process.until("saving after this step")
    began = time.monotonic()
    process.send(signal.SIGINT)
    assert process.wait() == 130
    assert time.monotonic() - began < 2
    assert "stopped at once" in process.stderr and "Traceback" not in process.stderr
    assert "compiled in" not in process.stderr  # or it had not been compiling


def test_a_second_interrupt_does_not_wait_for_a_slow_save(start):
    process = start(script=after(SLOW_SAVE), **LONG)
    process.until("slow save begins")
    process.send(signal.SIGINT)
    process.until("saving after this step")
    began = time.monotonic()
    process.send(signal.SIGINT)
    assert process.wait() == 130
    assert time.monotonic() - began < 2
    assert "Traceback" not in process.stderr


def test_a_second_interrupt_shows_the_cursor_again():
    """On a terminal, where the live line has hidden it."""
    code = "import os, time; from training.signals import StopSignal\n"
    code += "with StopSignal() as stop:\n    os.kill(os.getpid(), 2)\n    while not stop.number: time.sleep(0.01)\n"
    code += "    os.kill(os.getpid(), 2); time.sleep(60)"
    terminal, stderr = pty.openpty()
    process = subprocess.run([sys.executable, "-c", code], stderr=stderr, cwd=ROOT, timeout=60)
    assert process.returncode == 130
    assert os.read(terminal, 4096).endswith(b"\x1b[?25h\r\nstopped at once; what was saved before is whole\r\n")


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(r"configs/tiny.py -> ", marks=pytest.mark.slow),
        pytest.param(r"devices: ", marks=pytest.mark.slow),
        r"parameters: ",
    ],
)
def test_interrupted_before_the_loop(start, run, moment):
    process = start()
    process.until(moment)
    process.send(signal.SIGINT)
    assert process.wait() == 130
    assert "Traceback" not in process.stderr, process.stderr


@pytest.mark.parametrize(
    "number, package",
    [
        (signal.SIGINT, "numpy"),
        pytest.param(signal.SIGTERM, "jax", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "tensorstore", marks=pytest.mark.slow),
    ],
)
def test_stopped_while_importing(start, run, number, package):
    process = start(script=("-X", "importtime", str(ROOT / "train.py")))
    process.until(rf"\| +{package}\n")
    process.send(number)
    assert process.wait() == 128 + number
    *others, last = process.stderr.splitlines()
    assert last == f"train.py: stopped by {number.name}"
    assert all(line.startswith("import time: ") for line in others if line)
    finish(start)


# An interrupt in a callback while JAX is being imported: Python reports the exception that is raised there, and goes on.
INTERRUPTED_IN_A_CALLBACK = """
import signal, sys
class Interrupted:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "jax":
            sys.meta_path.remove(self)
            Interrupted()
sys.meta_path.insert(0, Finder())
"""


def test_an_interrupt_is_not_lost_in_a_callback(start):
    process = start(script=after(INTERRUPTED_IN_A_CALLBACK))
    assert process.wait() == 130
    assert process.stderr == "\ntrain.py: stopped by SIGINT\n"
