"""Folders that are there whole or not at all: after errors, a full disk, signals and kills."""

import errno
import json
import math
import os
import signal
import subprocess
import sys

import pytest
from safetensors import SafetensorError

from common import files
from common.errors import UserError
from common.files import Digest, digest, new_folder, to_json
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
from common.files import Digest, digest, new_folder, to_json

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


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    for name in (".x.unfinished-1", ".x.backup", ".y.unfinished-1", ".x.y.unfinished-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("")
    with new_folder(tmp_path / "x") as folder:
        (folder / "file").write_text("")
        assert not (tmp_path / ".x.unfinished-1").exists() and not (tmp_path / "x").exists()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"x", ".x.backup", ".y.unfinished-1", ".x.y.unfinished-1"}
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["file"]


def test_the_folder_of_a_living_process_stays(tmp_path):
    with pytest.raises(UserError, match="x cannot be written"), new_folder(tmp_path / "x") as first:
        (first / "file").write_text("first")
        with new_folder(tmp_path / "x") as second:
            (second / "file").write_text("second")
            assert first != second and (first / "file").read_text() == "first"
    assert (tmp_path / "x" / "file").read_text() == "second"  # it was the first to be whole
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "a" / "b" / "c") as folder:
        (folder / "file").write_text("")
        raise ZeroDivisionError
    assert not any(tmp_path.iterdir())


def test_parts_that_come_one_by_one_have_the_same_digest():
    parts = Digest("a")
    for part in (b"bc", "你"):
        parts.add(part)
    assert parts.hex == digest("a", "bc", "你".encode()) != digest("ab", "c", "你")


def test_what_is_no_number_is_null_in_json():
    value = {
        "perplexity": math.inf,
        "folds": [1.5, -math.inf],
        "pair": ({"std": math.nan}, "好"),
        "steps": 2,
        "none": None,
    }
    line = to_json(value)
    assert "好" in line and "\n" not in line
    assert json.loads(line, parse_constant=pytest.fail) == {
        "perplexity": None,
        "folds": [1.5, None],
        "pair": [{"std": None}, "好"],
        "steps": 2,
        "none": None,
    }


def test_a_signal_between_the_making_of_a_folder_and_its_lock_leaves_none(monkeypatch, tmp_path):
    def lock(descriptor, wait):
        if not wait:
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr(files, "_lock", lock)
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "made" / "run"):
        pass
    assert not list(tmp_path.iterdir())
