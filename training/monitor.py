"""Watches a run: reads each step's metrics a step late, so that the device never waits for the host, and reports them."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax

from common.errors import UserError
from training.display import Display, duration
from training.metrics_writer import MetricsWriter
from training.skipping import is_kept

MOST_SKIPPED = 100  # batches in a row, before a run is given up
RISEN = 1.005  # times the validation loss before: of a few examples it wavers by less


class Monitor:
    """Takes every step's metrics in; logs them, foretells the end, and stops a run whose loss is no number."""

    def __init__(
        self,
        display: Display,
        writer: MetricsWriter,
        schedule: Callable[[int], jax.Array],
        start: int,
        num_steps: int,
        log_every: int,
        flops: float,
        last_checkpoint: Callable[[], str],
        skip_above: float = 0.0,
    ):
        """`flops`: a token's training FLOPs over what all devices do in a second, so that MFU is tokens a second times it.

        `skip_above`: as in the optimizer's config.
        `last_checkpoint` names the last good checkpoint, for the message when the loss is no number.
        """
        self._display, self._writer, self._schedule = display, writer, schedule
        self._start, self._num_steps, self._log_every = start, num_steps, log_every
        self._flops, self._last_checkpoint, self._skip_above = flops, last_checkpoint, skip_above
        self._skipped = 0  # in a row
        self._pending: tuple[int, dict[str, jax.Array]] | None = None
        self._since, self._tokens, self._steps = time.perf_counter(), 0.0, 0
        self._train_losses: list[float] = []
        self._before: tuple[float, float] | None = None  # (training, validation) loss at the last evaluation
        self._told_estimate = False

    def start(self) -> None:
        """Training begins now: what came before does not count in tokens a second."""
        self._schedule(self._start)  # compiles its operations
        self._since = time.perf_counter()

    def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """The metrics of `step`, float32 scalars that the device may still be computing; those of the step before are read.

        Raises:
            UserError: as `flush` does.
        """
        self.flush()
        self._pending = (step, metrics)

    def flush(self) -> None:
        """Reads and reports the metrics that are pending.

        Raises:
            UserError: the loss or the gradient is NaN or infinite.
        """
        if self._pending is None:
            return
        step, metrics = self._pending
        self._pending = None
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        self._tokens += values["tokens"]
        self._steps += 1
        if not is_kept(values["grad_norm"], self._skip_above):
            self._tell_skipped(step, values)
            return
        self._skipped = 0
        self.require_finite(step, {"loss": values["loss"], "gradient norm": values["grad_norm"]})
        self._train_losses.append(values["loss"])
        self._estimate(step)
        if step % self._log_every == 0 or step in (self._start + 1, self._num_steps):
            self._log(step, values)

    def _tell_skipped(self, step: int, values: dict[str, float]) -> None:
        """Warns of a batch that changed nothing; raises UserError where so many in a row have not."""
        self._skipped += 1
        why = f"step {step}: loss {values['loss']:.4g}, gradient norm {values['grad_norm']:.4g}"
        if self._skipped == MOST_SKIPPED:
            raise UserError(
                f"{why}: the last {MOST_SKIPPED} batches were skipped (optimizer.skip_above={self._skip_above}); "
                f"{self._last_checkpoint()}. Raise it, or try a lower optimizer.learning_rate, in a new --workdir"
            )
        self._display.warn(f"{why}: the batch is skipped")

    def require_finite(self, step: int, values: dict[str, float]) -> None:
        """Raises UserError, which names the last good checkpoint, unless all `values` are numbers."""
        if not all(map(math.isfinite, values.values())):
            shown = ", ".join(f"{name} {value}" for name, value in values.items())
            raise UserError(
                f"step {step}: {shown}: not finite; {self._last_checkpoint()}. Try a lower optimizer.learning_rate, more "
                "optimizer.warmup_steps, a smaller optimizer.clip_norm or loss.z_loss=1e-4, in a new --workdir"
            )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Reads what is pending; what is done meanwhile does not count as training."""
        self.flush()
        began = time.perf_counter()
        yield
        self._since += time.perf_counter() - began

    def validated(self, loss: float) -> None:
        """Notes an evaluation (nats a target); warns where the model begins to overfit."""
        train = sum(self._train_losses) / max(1, len(self._train_losses))
        self._train_losses = []
        if self._before and loss > RISEN * self._before[1] and train < self._before[0]:
            self._display.warn(
                f"validation loss rose from {self._before[1]:.4f} to {loss:.4f} while training loss fell from "
                f"{self._before[0]:.4f} to {train:.4f}: the model begins to overfit (more data, dropout or weight decay "
                "help; the best checkpoint is kept)"
            )
        self._before = (train, loss)

    def _estimate(self, step: int) -> None:
        """Once, after a few steps: how long the run will take."""
        if not self._told_estimate and step - self._start >= 5:
            self._told_estimate = True
            seconds = self._seconds_left(step)
            if seconds > 5:
                self._display.say(f"estimated time: {duration(seconds)}, evaluations not counted")

    def _seconds_left(self, step: int) -> float:
        return (self._num_steps - step) * (time.perf_counter() - self._since) / self._steps

    def _log(self, step: int, values: dict[str, float]) -> None:
        now = time.perf_counter()
        tokens_per_second = self._tokens / (now - self._since)
        shown = {
            "loss": values["loss"],
            "learning_rate": float(self._schedule(step - 1)),
            "grad_norm": values["grad_norm"],
            "tokens_per_second": tokens_per_second,
            "mfu": tokens_per_second * self._flops,
        }
        others = {name: value for name, value in values.items() if name not in ("tokens", *shown)}
        self._writer.write(step, "train", shown | others)
        self._display.update(step, self._num_steps, shown, self._seconds_left(step))
        self._since, self._tokens, self._steps = now, 0.0, 0
