"""A trace of a few steps: what the host and the devices do when, for TensorBoard or https://ui.perfetto.dev."""

from collections.abc import Callable
from pathlib import Path

import jax

BEFORE, STEPS = 2, 5  # steps of an attempt that are not traced, since the first ones wait for much; and that are


class StepTrace:
    """Calls steps; where it has a folder, it writes what happens in a few of them to `plugins/profile/` in there.

    Used as a context, on leaving which a trace that is still being made is written.
    """

    def __init__(self, folder: Path | None, start: int):
        """`start`: the step that the attempt begins at."""
        self.folder = folder
        self._first, self._last = start + BEFORE + 1, start + BEFORE + STEPS
        self._running = False

    def __call__(self, step: int, function: Callable, *arguments):
        """`function(*arguments)`, which is to be step number `step`."""
        if self.folder is not None and step == self._first:
            jax.profiler.start_trace(self.folder)
            self._running = True
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            results = function(*arguments)
        if self._running and step == self._last:
            jax.block_until_ready(results)
            self._stop()
        return results

    def _stop(self) -> None:
        self._running = False
        jax.profiler.stop_trace()

    def __enter__(self) -> "StepTrace":
        return self

    def __exit__(self, *_) -> None:
        if self._running:
            self._stop()
