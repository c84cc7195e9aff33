"""Set before JAX starts: tests run on eight virtual CPU devices, fetch nothing and never touch the user's cache."""

import atexit
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

# The programs of these tests are many and small, and often the same: to compile them costs far more than to run them.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
if "zenformer-compiled-" not in os.environ.get("JAX_COMPILATION_CACHE_DIR", ""):  # pytest-xdist's workers inherit it
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="zenformer-compiled-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
# What another process is still writing is compiled once more; of that commands need not warn.
os.environ["PYTHONWARNINGS"] = "ignore:Error reading persistent,ignore:Error writing persistent"

import jax
import pytest

import common.command
from common.command import run_command

ROOT = Path(__file__).parent.parent
# For a command that compiles as a user's does: in full, and anew.
COMPILED_IN_FULL = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "false", "JAX_ENABLE_COMPILATION_CACHE": "false"}


def pytest_configure(config):
    config.option.loadscopereorder = False  # pytest-xdist takes files in this order:


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that none is left to one worker at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory) -> str:
    """A cache of tokenizers and tokens that the whole test session shares."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def command(cache_dir, tmp_path):
    """Runs one of the commands as a user does, from another directory, on one device.

    `command("train.py", "--config", …)` returns the finished process, with text in `stdout` and `stderr`.
    """

    def run(script: str, *arguments: str, devices: int = 1, **options) -> subprocess.CompletedProcess:
        if script == "train.py" and not any("cache_dir" in argument for argument in arguments):
            arguments = (*arguments, f"--config.data.cache_dir={cache_dir}")
        environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
        return subprocess.run(
            [sys.executable, str(ROOT / script), *arguments],
            cwd=options.pop("cwd", tmp_path) or ROOT,
            env=environment | options.pop("env", {}),
            capture_output=True,
            text=True,
            timeout=options.pop("timeout", 600),
            **options,
        )

    return run


@pytest.fixture
def here(monkeypatch, capfd, cache_dir, tmp_path):
    """`command`, but in this process, which need not import JAX again."""
    monkeypatch.setattr(common.command, "STOPS", ())  # pytest keeps its own handlers

    def run(script: str, *arguments: object, cwd: Path | None = tmp_path) -> subprocess.CompletedProcess:
        if script == "train.py":
            arguments = (f"--config.data.cache_dir={cache_dir}", "--config.mesh.data=1", *arguments)
        main = importlib.import_module(script.removesuffix(".py")).main
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
            patch.setattr(sys, "argv", [script, *map(str, arguments)])
            patch.chdir(cwd or ROOT)
            run_command(main)
        said = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, end.value.code, said.out, said.err)

    return run


@pytest.fixture
def call(here):
    """`call("--ckpt", …)`: sample.py in this process; (status, stdout, stderr)."""

    def run_sample(*arguments: object) -> tuple[int, str, str]:
        done = here("sample.py", *arguments, cwd=".")
        return done.returncode, done.stdout, done.stderr

    return run_sample


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    """Each keeps several memory maps, of which a process may have 65,530: XLA crashes when there are no more."""
    yield
    jax.clear_caches()
