"""Every command in the README runs, in its order, as in a fresh clone; long ones are cut short."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from data.builtin import read_builtin
from tests.conftest import ROOT

COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S)
    for line in block.strip().splitlines()
]
SHORTER = "--config.training.num_steps=3 --config.training.batch_size=4"


def test_set_up_lines_install_what_they_need():
    set_up = [line for line in COMMANDS if "pip install" in line]
    assert len(set_up) == 2
    train, tests = set_up
    assert train.startswith("python3 -m venv .venv && . .venv/bin/activate && pip install -r requirements.txt && ")
    assert train.endswith("python train.py --config configs/base.py")
    assert tests.startswith("python3 -m venv .venv && . .venv/bin/activate && pip install -r requirements-dev.txt && ")
    assert tests.endswith(" && pytest -n 2 --dist loadfile")


@pytest.mark.slow
def test_commands_run(tmp_path, cache_dir):
    for path in ROOT.iterdir():
        if path.name not in ("runs", "tokens") and not path.name.startswith("."):
            (tmp_path / path.name).symlink_to(path)
    text = "\n\n".join(document.text for document in read_builtin("builtin:hsk"))
    (tmp_path / "my_text.txt").write_text(text, encoding="utf-8")
    environment = os.environ | {
        "XLA_FLAGS": "",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": cache_dir,
        "HOME": cache_dir,
    }
    for line in COMMANDS:
        command = line.rsplit(" && ", 1)[-1]
        if ("train.py" in command and "--plan" not in command) or "word_vectors.py train" in command:
            command += f" {SHORTER}"
        elif command.startswith("pytest"):
            command += " --collect-only tests/test_smoke.py"
        how = {"shell": True, "executable": "/bin/bash", "cwd": tmp_path, "env": environment}
        done = subprocess.run(command, **how, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert (done.stdout + done.stderr).strip(), command
