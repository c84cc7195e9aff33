"""Folders that are there whole or not at all: after errors, a full disk, signals and kills."""

import errno
import os
import signal
import subprocess
import sys

import pytest
from safetensors import SafetensorError

from common.errors import UserError
from common.files import new_folder
from tests.conftest import ROOT

FULL = [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    SafetensorError(f"Error while serializing: I/O error: {os.strerror(errno.ENOSPC)} (os error 28)"),
    ValueError(f"RESOURCE_EXHAUSTED: Error writing: [OS error 28: {os.strerror(errno.ENOSPC)}]\nsource locations: ..."),
    OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("behind", [False, True], ids=["raised", "behind another"])
def test_a_full_disk_is_told_as_one_whatever_the_library_makes_of_it(tmp_path, error, behind):
    with pytest.raises(UserError, match=r"a/b cannot be written: the disk is full; ") as caught:  # noqa: SIM117
        with new_folder(tmp_path / "a" / "b") as folder:
            (folder / "part").write_bytes(b"x")
            if behind:
                raise RuntimeError("what was to be saved was not") from error
            raise error
    assert caught.value.__cause__ is not None and not any(tmp_path.iterdir())


def test_other_errors_stay_what_they_are(tmp_path):
    for error in (ZeroDivisionError("ours"), UserError("theirs; mend it")):
        with pytest.raises(type(error)) as caught, new_folder(tmp_path / "a"):
            raise error
        assert caught.value is error and not any(tmp_path.iterdir())


WRITER = """
import os, sys, time
from pathlib import Path
from common.command import run_command
from common.files import new_folder

def main():
    with new_folder(Path("runs/deep/new")) as folder:
        (folder / "part").write_bytes(b"x")
        if os.fork() == 0:  # a child that is stopped leaves its parent's folder alone
            os.kill(os.getpid(), 15)
        os.wait()
        print((folder / "part").exists(), flush=True)
        time.sleep(60)

run_command(main)
"""


@pytest.mark.parametrize(("number", "left"), [(signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGKILL, True)])
def test_a_signal_leaves_nothing_behind_and_what_a_kill_leaves_is_removed_by_the_next(tmp_path, number, left):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "True\n"
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (-number if left else 128 + number)
    assert bool(list(tmp_path.iterdir())) == left
    with new_folder(tmp_path / "runs" / "deep" / "new") as folder:
        (folder / "whole").touch()
    assert sorted(path.name for path in (tmp_path / "runs" / "deep").rglob("*")) == ["new", "whole"]
