"""A text, a config and a trainer that are as small as they can be, in this process and in processes of their own."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import COMPILED_IN_FULL

ROOT = Path(__file__).parent.parent.parent
WORDS = (
    "the",
    "a",
    "cat",
    "dog",
    "bird",
    "sees",
    "hears",
    "likes",
    "big",
    "small",
    "red",
    "house",
    "tree",
    "and",
    "to",
)
SMALL = {
    "tokenizer.model_type": "char",
    "tokenizer.byte_fallback": False,
    "model.decoder_layers": 2,
    "model.embed_dim": 16,
    "model.num_heads": 2,
    "model.mlp_dim": 16,
    "data.sequence_length": 32,
    "training.num_steps": 6,
    "training.eval_every": 3,
    "training.checkpoint_every": 3,
    "training.log_every": 1,
    "training.sample_prompts": "the",
    "training.sample_tokens": 1,
    "training.tensorboard": False,
    "mesh.data": 1,
}


def make_text(seed: int, documents: int = 200) -> str:
    draw = random.Random(seed)
    return "\n\n".join(" ".join(draw.choices(WORDS, k=draw.randint(4, 14))) + "." for _ in range(documents)) + "\n"


@pytest.fixture(scope="session")
def text_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(make_text(0), encoding="utf-8")
    return path


@pytest.fixture
def overrides(text_file, cache_dir):
    """`overrides(**changes)`: the small run's settings by dotted key; a key's dots are written `__`."""

    def make(**changes) -> dict[str, object]:
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        return SMALL | {"data.train": str(text_file), "data.cache_dir": cache_dir} | changes

    return make


@pytest.fixture
def run_config(overrides):
    """`run_config(**changes)`: the small run's frozen record, for a vocabulary of 24."""
    from training.config import build_config
    from training.settings import load_settings

    def make(**changes):
        settings = load_settings(
            ROOT / "configs/tiny.py", [f"{key}={value}" for key, value in overrides(**changes).items()]
        )
        return build_config(settings, 24)

    return make


@pytest.fixture(autouse=True)
def no_picture(monkeypatch):
    """Drawing the losses, and timing a matrix product, take longer than such a run; tests of their own look at them."""
    monkeypatch.setattr("training.loop.plot_losses", lambda metrics, picture, title: picture.touch())
    monkeypatch.setattr("training.loop.peak_flops", lambda: (1e11, "measured"))


class Said:
    """A Display that keeps what it is told."""

    def __init__(self):
        self.lines: list[str] = []
        self.updates: list[tuple[int, dict[str, float]]] = []

    def say(self, message):
        self.lines.append(message)

    def warn(self, message):
        self.say(f"warning: {message}")

    def update(self, step, num_steps, values, seconds_left):
        self.updates.append((step, values))

    def start(self, step, num_steps):
        pass

    def stop(self):
        pass


@pytest.fixture
def said():
    return Said()


@pytest.fixture
def make_trainer(run_config, said, tmp_path):
    """`make_trainer(folder, **changes)`: a Trainer in tmp_path/folder that writes no samples."""
    from data.corpus import load_corpus
    from training.loop import Trainer
    from training.run_folder import RunFolder

    def make(folder="run", **changes):
        config = run_config(**changes)
        corpus = load_corpus(config.data, config.tokenizer)
        folder = RunFolder(tmp_path / folder)
        folder.path.mkdir(exist_ok=True)
        return Trainer(config, corpus, folder, said, lambda params: [])

    return make


@pytest.fixture
def begin(overrides, said, tmp_path):
    """`begin(folder, config, drop, **changes)`: a Trainer as train.py makes it, of the small run with these changes.

    `drop`: the sections of the small run's settings that are left as the config has them.
    """

    from data.examples import load
    from tasks import TASKS
    from training.config import build_config
    from training.init_from import settle
    from training.loop import Trainer
    from training.run_folder import RunFolder
    from training.settings import load_settings

    def make(name, config="tiny.py", drop=(), **changes):
        folder = RunFolder(tmp_path / name)
        chosen = {key.replace("__", ".") for key in changes}
        small = overrides(**changes).items()
        given = [f"{key}={value}" for key, value in small if key in chosen or not key.startswith(drop)]
        settings, source = settle(load_settings(ROOT / "configs" / config, given), given, folder)
        run = build_config(settings)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.refuse_changes(settings)
        tokenizer = run.tokenizer if source is None else source.tokenizer()
        corpus = load(run.data, TASKS[run.task].examples, tokenizer, folder.classes(), said.say)
        run = build_config(settings, corpus.tokenizer.vocab_size, len(corpus.classes) or None)
        trainer = Trainer(run, corpus, folder, said, lambda params: [])
        folder.begin(settings, corpus.tokenizer, corpus.origin)
        return trainer

    return make


class TrainProcess:
    """One `train.py` in a process of its own; what it says on stderr goes to a file, so that it can be followed."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path, folder: Path):
        self.log = log
        with log.open("w") as errors, (log.with_suffix(".out")).open("w") as output:
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=errors, cwd=folder)

    @property
    def stderr(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def stdout(self) -> str:
        return self.log.with_suffix(".out").read_text(errors="replace")

    def until(self, condition, timeout: float = 600) -> None:
        """Waits, without a pause to speak of, until `condition` (a function, or a pattern that stderr matches) holds."""
        holds = condition if callable(condition) else lambda: re.search(condition, self.stderr)
        end = time.monotonic() + timeout
        while not holds():
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.stderr}"
            assert time.monotonic() < end, f"not in {timeout} s:\n{self.stderr}"
            time.sleep(0.002)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 600) -> int:
        return self.process.wait(timeout)


@pytest.fixture
def start(overrides, tmp_path):
    """`start(workdir, env={}, devices=1, script=..., **changes)`: begins the small run as a user would; a TrainProcess.

    `cache=False`: compiled in full, and anew.
    """
    started = []

    def begin(workdir="run", env=None, devices=1, script=(str(ROOT / "train.py"),), cache=True, **changes):
        settings = overrides(**changes)
        command = [sys.executable, *script, "--config", str(ROOT / "configs/tiny.py"), "--workdir", str(workdir)]
        command += [f"--config.{key}={value}" for key, value in settings.items()]
        flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
        environment = os.environ | flags | ({} if cache else COMPILED_IN_FULL) | (env or {})
        log = tmp_path / f"process{len(started)}.log"
        started.append(TrainProcess(command, environment, log, tmp_path))
        return started[-1]

    yield begin
    for process in started:
        if process.process.poll() is None:
            process.process.kill()
            process.process.wait()
