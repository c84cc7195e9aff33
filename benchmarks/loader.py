"""How fast batches are made, and how long a step waits for them.

python -m benchmarks.loader             # tokens a second, of every task that learns text alone
python -m benchmarks.loader --wait      # a small model's run, with batches made ahead and without
python -m benchmarks.loader --packing   # time and memory that a million documents take, in every packing
"""

import argparse
import contextlib
import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from configs import base
from data.batches import PackedRows, TrainBatches
from data.builtin import read_builtin
from data.corpus import load_corpus
from data.encoded import EncodedText, encode_texts
from data.packing import PACKINGS
from data.tokenizer import Tokenizer, train
from tasks import TASKS, CorruptionConfig
from tasks.show import TOKENIZER
from training import loop
from training.config import build_config
from training.run_folder import RunFolder

SEQUENCE_LENGTHS = (128, 1024)
ROWS = 8
DOCUMENTS = 1_000_000
TEXT_TASKS = [name for name, task in TASKS.items() if not task.examples]


def rate(make: Callable[[int], object], tokens: int, seconds: float = 0.5) -> float:
    """Tokens a second of `make(step)`, which makes so many. Seconds of this process, so that others do not count."""
    make(0)
    began, step = time.process_time(), 0
    while time.process_time() - began < seconds:
        make(step)
        step += 1
    return step * tokens / (time.process_time() - began)


def make_batches(text: EncodedText, tokenizer: Tokenizer, task: str, length: int, packing: str) -> TrainBatches:
    config = CorruptionConfig()
    packed = PackedRows.pack([text], TASKS[task].row_length(length, config), packing)
    return TrainBatches(packed, ROWS, 0, TASKS[task].prepare(packed, tokenizer, config, TASKS[task].networks[0]))


def measure_tasks() -> None:
    documents = [document.text for document in read_builtin("builtin:hsk")]
    tokenizer = train(documents, TOKENIZER)
    text = encode_texts(documents, tokenizer)
    print(f"{len(documents):,} documents of {text.num_tokens / len(documents):.0f} tokens; tokens a second")
    for length in SEQUENCE_LENGTHS:
        for task in TEXT_TASKS:
            rates = {
                packing: rate(make_batches(text, tokenizer, task, length, packing), ROWS * length)
                for packing in PACKINGS
            }
            print(f"{length:5} {task:16}", *(f"{packing} {value:11,.0f}" for packing, value in rates.items()))


class NoTokens:
    """As many tokens as are said, which nobody reads."""

    def __init__(self, size: int):
        self._size = size

    def __len__(self) -> int:
        return self._size


def memory() -> float:
    """MiB that this process has of its own, files that are mapped not counted (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def measure_packing() -> None:
    lengths = np.random.default_rng(0).lognormal(np.log(400), 1.0, DOCUMENTS).astype(np.int64) + 1
    ends = np.cumsum(lengths)
    text = EncodedText(NoTokens(int(ends[-1]) + 1), ends - lengths, 0)
    for length in SEQUENCE_LENGTHS:
        for packing in PACKINGS:
            before, began = memory(), time.perf_counter()
            packed = PackedRows.pack([text], length, packing)
            seconds = time.perf_counter() - began
            print(
                f"{length:5} {packing:11} {seconds:5.2f} s, {memory() - before:4.0f} MiB, {len(packed):9,} rows "
                f"{packed.efficiency:.1%} full"
            )


class Quiet:
    """A Display that keeps the speed, and says nothing."""

    def __init__(self):
        self.rates: list[float] = []

    def say(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

    def start(self, step: int, num_steps: int) -> None: ...

    def stop(self) -> None: ...

    def update(self, step: int, num_steps: int, values: dict[str, float], seconds_left: float) -> None:
        self.rates.append(values["tokens_per_second"])


@contextlib.contextmanager
def one_by_one(make: Callable, steps: range) -> Iterator[Iterator]:
    """What `prefetch` is instead of: each batch is made when it is asked for."""
    yield map(make, steps)


def timed(prefetch, waits: list[float]):
    """`prefetch` (or what stands for it) that notes how long each batch was waited for."""

    @contextlib.contextmanager
    def wrapped(make: Callable, steps: range) -> Iterator[Iterator]:
        def batches(inner: Iterator) -> Iterator:
            while True:
                began = time.perf_counter()
                batch = next(inner, None)
                waits.append(time.perf_counter() - began)
                if batch is None:
                    return
                yield batch

        with prefetch(make, steps) as inner:
            yield batches(inner)

    return wrapped


def measure_wait(steps: int, task: str) -> None:
    settings = base.get_config().to_dict()
    settings["task"] = task
    settings["tokenizer"]["special_tokens"] = TOKENIZER.special_tokens
    kinds = {"encoder": (2, 0), "encoder-decoder": (1, 1), "decoder": (0, 2)}
    encoder_layers, decoder_layers = kinds[TASKS[task].networks[0]]
    settings["model"] |= {"embed_dim": 32, "mlp_dim": 64, "num_heads": 2}
    settings["model"] |= {"encoder_layers": encoder_layers, "decoder_layers": decoder_layers}
    settings["training"] |= {"num_steps": steps, "log_every": 10, "eval_every": 10**6, "checkpoint_every": 10**6}
    settings["training"] |= {"tensorboard": False}
    config = build_config(settings)
    corpus = load_corpus(config.data, config.tokenizer)
    config = build_config(settings, corpus.tokenizer.vocab_size)
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, sample_prompts=()))
    for _ in range(2):
        for name, function in {"one by one": one_by_one, "made ahead": loop.prefetch}.items():
            waits, display = [], Quiet()
            with tempfile.TemporaryDirectory() as folder, mock.patch.object(loop, "prefetch", timed(function, waits)):
                loop.Trainer(config, corpus, RunFolder(folder), display, lambda params: []).train()
            wait, step_seconds = np.median(waits[5:]), config.data.sequence_length * ROWS / np.median(display.rates[2:])
            print(
                f"{task}, {name}: waits {wait * 1e3:.2f} ms of {step_seconds * 1e3:.1f} ms a step "
                f"({wait / step_seconds:.1%}), {np.median(display.rates[2:]):,.0f} tokens/s",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.loader", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wait", action="store_true", help="how long a step waits for its batch")
    parser.add_argument("--packing", action="store_true", help="what a million documents take")
    parser.add_argument(
        "--task", default="span_corruption", choices=TEXT_TASKS, help="for --wait (default: span_corruption)"
    )
    parser.add_argument("--steps", type=int, default=150, metavar="N", help="for --wait (default: 150)")
    flags = parser.parse_args()
    if flags.wait:
        measure_wait(flags.steps, flags.task)
    elif flags.packing:
        measure_packing()
    else:
        measure_tasks()
    return 0


if __name__ == "__main__":
    sys.exit(main())
