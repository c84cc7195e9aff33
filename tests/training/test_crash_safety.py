"""Real processes, killed, stopped, starved of disk: what they leave is whole, and the next attempt goes on exactly."""

import contextlib
import json
import random
import re
import shutil
import signal
import subprocess
import time

import jax
import numpy as np
import pytest

from tests.training.processes import FORKS, LONG, ROOT, after, finish, train_here
from training.checkpoints import Checkpoints
from training.metrics_writer import read_metrics

KILLED = -signal.SIGKILL


def one_line(text, prefix="train.py: "):
    """The last line of stderr, which must be the only one that the command ends with, and no traceback."""
    assert "Traceback" not in text, text
    lines = [line for line in text.splitlines() if line.startswith(prefix)]
    assert len(lines) == 1 and text.splitlines()[-1] == lines[0], text
    return lines[0].removeprefix(prefix)


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def newest_step(folder):
    """That of the newest checkpoint; 0 where there is none."""
    return max((int(path.name) for path in folder.glob("checkpoints/*") if path.name.isdigit()), default=0)


def outcome(folder):
    """Losses by (step, split), and the bits of what the newest checkpoint holds."""
    losses = {(line["step"], line["split"]): line["loss"] for line in read_metrics(folder / "metrics.jsonl")}
    newest = newest_step(folder)
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    state = checkpoints._manager.restore(newest)
    arrays = {
        item: [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state[item])] for item in ("params", "state")
    }
    assert newest == max(step for step, _ in losses)
    return losses, arrays


@pytest.fixture(scope="module")
def references():
    """Outcomes of uninterrupted runs, by their length."""
    return {}


@pytest.fixture
def uninterrupted(references, start, tmp_path):
    """`uninterrupted(**changes)`: the outcome of the run that nothing disturbs."""

    def make(**changes):
        key = str(changes)
        if key not in references:
            finish(start, workdir="uninterrupted", **changes)
            references[key] = outcome(tmp_path / "uninterrupted")
        return references[key]

    return make


def saving(folder):
    """Whether a checkpoint is being written now."""
    return lambda: any((folder / "checkpoints").glob("*orbax-checkpoint-tmp*"))


def test_killed_at_bad_moments(start, run, uninterrupted):
    """In the middle of a save, between two steps, and while compiling."""
    moments = [saving(run), r"step 2\d/40 ", r"resuming at step"]
    for number, moment in enumerate(moments):
        process = start(**LONG)
        process.until(moment)
        process.send(signal.SIGKILL)
        assert process.wait() == KILLED
        if number == 0:
            assert saving(run)()  # or it was not killed in the middle
    process = finish(start, **LONG)
    assert re.search(r"resuming at step (4|8|12|16|20|24|28) of 40", process.stderr)
    assert outcome(run) == uninterrupted(**LONG)
    assert not saving(run)()


# What a process has come to -> a test of it, given the run's folder and a number drawn at random.
STAGES = {
    "imports": lambda run, process, number: True,
    "restoring": lambda run, process, number: "configs/tiny.py -> " in process.stderr,
    "compiling": lambda run, process, number: "\nrun: " in process.stderr,
    "steps": lambda run, process, number: process.stderr.count("\nstep ") > number,
    "evaluating": lambda run, process, number: process.stderr.count("\nvalidation ") > number // 30,
    "saving": lambda run, process, number: process.stderr.count("\nstep ") > number and saving(run)(),
}


@pytest.mark.slow
def test_killed_twenty_times(start, run, uninterrupted):
    """In every stage, at moments drawn at random; nothing that was compiled is kept between attempts."""
    changes = LONG | {"training__num_steps": 1500, "training__checkpoint_every": 10, "training__eval_every": 50}
    draw, newest = random.Random(0), []
    for stage in [*list(STAGES)[:3], *list(STAGES)[2:] * 4, "steps"]:
        process, number = start(cache=False, **changes), draw.randrange(100)
        process.until(lambda stage=stage, process=process, number=number: STAGES[stage](run, process, number))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0, {"imports": 3, "restoring": 2, "compiling": 3}.get(stage, 0.01)))
        assert process.process.poll() is None, process.stderr
        process.send(signal.SIGKILL)
        process.wait()
        newest.append(newest_step(run))
    assert len(newest) == 20 and newest == sorted(newest) and len(set(newest)) > 10  # it went on in between
    finish(start, cache=False, **changes)
    assert outcome(run) == uninterrupted(cache=False, **changes)

    files = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    finish(start, cache=False, **changes)  # once more: nothing is left to do
    assert files == {
        path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != ".lock"
    }


@pytest.mark.slow
def test_killed_two_hundred_times(run, start, overrides, uninterrupted, tmp_path):
    """Whenever it happens, from its first line on; half of them as soon as a checkpoint is being written."""
    changes = {"training__num_steps": 10**6, "training__checkpoint_every": 5, "training__eval_every": 100}
    changes["optimizer__schedule"] = "constant"  # so that the run may end where it has come to
    arguments = ["--config", str(ROOT / "configs/tiny.py"), "--workdir", str(run)]
    arguments += [f"--config.{key}={value}" for key, value in overrides(**changes).items()]
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    draw, newest, torn = random.Random(0), [], 0
    for attempt in range(200):
        log = tmp_path / f"attempt{attempt}.log"
        log.touch()
        process = FORKS.Process(target=train_here, args=(arguments, environment, log))
        process.start()
        steps = draw.randrange(-5, 20)  # fewer than none: while it begins
        while process.is_alive() and steps >= 0 and log.read_text().count("\nstep ") <= steps:
            time.sleep(0.002)
        if attempt % 2:
            while process.is_alive() and steps >= 0 and not saving(run)():
                time.sleep(0.001)
        else:
            time.sleep(draw.uniform(0, 0.02 if steps >= 0 else 1.0))
        assert process.is_alive(), log.read_text()
        process.kill()
        process.join()
        assert process.exitcode == KILLED
        torn += saving(run)()
        newest.append(newest_step(run))
    assert newest == sorted(newest) and len(set(newest)) > 50 and torn > 20, (newest, torn)
    changes["training__num_steps"] = newest[-1] + 10
    finish(start, **changes)
    assert outcome(run) == uninterrupted(**changes)


@pytest.mark.parametrize(
    "number, status", [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_stopped_and_resumed(start, run, uninterrupted, number, status):
    process = start(**LONG | {"training__checkpoint_every": 1000})
    process.until(r"step 1\d/40 ")
    process.send(number)
    assert process.wait() == status
    assert f"{number.name}: saving after this step; Ctrl-C again to leave at once" in process.stderr
    (step,) = re.findall(r"saved step (\d+); run the same command again to resume", process.stderr)
    assert 10 <= int(step) < 40
    assert (run / "checkpoints" / step).is_dir()
    assert "Traceback" not in process.stderr
    process = finish(start, **LONG)
    assert f"resuming at step {step} of 40" in process.stderr
    assert outcome(run) == uninterrupted(**LONG)


# No file may grow beyond so many bytes, as on a disk that is full.
LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"


def test_two_runs_in_one_folder(start, run):
    first = start()
    first.until(r"devices: ")
    first.send(signal.SIGSTOP)
    second = start()
    assert second.wait() == 1
    message = one_line(second.stderr)
    assert message == (
        f"another run (process {first.process.pid}) is using {run}; wait for it, or give another --workdir=DIR"
    )
    assert first.process.poll() is None


def test_a_folder_that_cannot_be_written(start, tmp_path):
    (tmp_path / "file").write_text("text")
    process = start(workdir="file/below")
    assert process.wait() == 1
    message = one_line(process.stderr)
    assert message.startswith("--workdir: cannot write in ") and message.endswith("; give another --workdir=DIR")
    assert process.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize("tensorboard", [False, True])
def test_a_full_disk(start, run, tensorboard):
    """From the first write that does not fit: one line, and the last good checkpoint is whole."""
    finish(start, training__num_steps=6, optimizer__schedule="constant")
    good = outcome(run)
    size = max(path.stat().st_size for path in run.iterdir() if path.suffix != ".png") + 300
    changes = {
        "optimizer__schedule": "constant",
        "training__num_steps": 600,
        "training__checkpoint_every": 1000,
        "training__eval_every": 1000,
        "training__tensorboard": tensorboard,
    }
    process = start(script=after(LIMIT.format(size=size)), **changes)
    assert process.wait() == 1, process.stderr
    message = one_line(process.stderr)
    assert message.startswith("cannot write") and "the last good checkpoint is step " in message

    step = int(re.search(r"last good checkpoint is step (\d+)", message)[1])
    process = finish(start, **changes)
    assert f"resuming at step {step} of 600" in process.stderr
    losses, _ = outcome(run)
    assert losses.items() >= good[0].items()


@pytest.mark.slow
def test_a_disk_without_room_for_a_checkpoint(start, run, tmp_path):
    """A small disk of its own, where one can be mounted."""
    run.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(run)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a file system")
    try:
        process = start(
            training__num_steps=60, training__keep_checkpoints=50, training__checkpoint_every=2, training__eval_every=60
        )
        assert process.wait() == 1, process.stderr
        message = one_line(process.stderr)
        assert message.startswith("cannot write")
        step = int(re.search(r"the last good checkpoint is step (\d+)", message)[1])
        copy = tmp_path / "copy"
        shutil.copytree(run, copy, ignore=shutil.ignore_patterns(".*"))
    finally:
        subprocess.run(["umount", str(run)], check=True)
    process = finish(
        start, workdir="copy", training__num_steps=60, training__checkpoint_every=100, training__eval_every=60
    )
    assert f"resuming at step {step} of 60" in process.stderr


@pytest.mark.slow
def test_damaged_checkpoints(start, run):
    """The newest: one line, and the run goes on. All of them: one line, and every file is still there."""
    finish(start)

    def damage(step):
        file = max((run / "checkpoints" / step / "params" / "d").iterdir(), key=lambda path: path.stat().st_size)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 16
        file.write_bytes(data)

    damage("6")
    process = finish(start)
    lines = [line for line in process.stderr.splitlines() if "cannot be read" in line]
    assert len(lines) == 1 and lines[0].startswith("warning: the checkpoint of step 6 cannot be read (")
    assert "resuming at step 3 of 6" in process.stderr and (run / "damaged" / "6").is_dir()

    damage("3")
    damage("6")
    files = sorted(path for path in run.rglob("*") if path.is_file())
    process = start()
    assert process.wait() == 1
    assert one_line(process.stderr).startswith(f"no checkpoint in {run / 'checkpoints'} can be read")
    assert sorted(path for path in run.rglob("*") if path.is_file()) == files


@pytest.mark.slow
def test_changed_settings_on_resume(start, run, text_file, tmp_path):
    finish(start)
    process = start(optimizer__learning_rate=0.5, model__embed_dim=32, seed=3, training__log_every=2)
    assert process.wait() == 2
    assert re.fullmatch(
        re.escape(f"{run} was begun with other settings (model.embed_dim: 16 -> 32; optimizer.learning_rate: ")
        + r"\S+ -> 0\.5; seed: 0 -> 3\); set them back to resume, or give another --workdir=DIR",
        one_line(process.stderr),
    )
    finish(start, training__log_every=2, training__keep_checkpoints=5)
    assert json.loads((run / "config.json").read_text())["training"]["log_every"] == 2

    other = tmp_path / "other.txt"
    other.write_text(text_file.read_text() + "\n\nthe cat sees one more document.\n")
    begun = json.loads((run / "config.json").read_text())
    begun["data"]["train"] = str(other)  # the same name for another text
    (run / "config.json").write_text(json.dumps(begun))
    process = start(data__train=str(other))
    assert process.wait() == 1
    assert one_line(process.stderr).startswith("the training text (or the run's tokenizer) has changed since")
