"""What the tests of killed and of stopped processes share."""

import multiprocessing
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# Many short steps, with evaluations and saves among them.
LONG = {"training__num_steps": 40, "training__eval_every": 8, "training__checkpoint_every": 4}


def finish(start, **changes):
    process = start(**changes)
    assert process.wait() == 0, process.stderr
    assert "Traceback" not in process.stderr
    return process


# What a process does before it runs train.py, which is its first argument.
THEN_TRAIN = """
import runpy, sys
del sys.argv[0]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def after(code):
    """The `script` that runs train.py after `code`."""
    return ("-c", code + THEN_TRAIN, str(ROOT / "train.py"))


# Processes that fork from one which has imported what a training needs, and has not begun anything.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["__main__", "train", "training.loop", "data.examples", "generation.samples", "tasks"])


def train_here(arguments, environment, log):
    """train.py with these arguments, in a process that ends with it; what it says goes to the file."""
    import train
    from common.command import run_command

    os.environ.update(environment)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    sys.argv = ["train.py", *arguments]
    run_command(train.main)
