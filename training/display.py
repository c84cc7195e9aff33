"""What people see while a run goes on: a live line on a terminal, plain lines elsewhere. All of it on stderr."""

import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def duration(seconds: float) -> str:
    """For example `3 min 20 s`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


@contextmanager
def live_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """On a terminal, a line that shows how far something is: called with what is done, and how much there is."""
    console = Console(stderr=True)
    with Progress(
        TextColumn(title),
        MofNCompleteColumn(),
        BarColumn(bar_width=24),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class Display:
    """Says things on stderr; only the first process speaks."""

    def __init__(self):
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._quiet = jax.process_index() != 0
        self._live = self._console.is_terminal and not self._quiet
        self._progress: Progress | None = None
        self._task = None

    def say(self, message: str) -> None:
        """A line that stays."""
        if not self._quiet:
            (self._progress.console if self._progress else self._console).print(message)

    def warn(self, message: str) -> None:
        self.say(f"warning: {message}")

    def start(self, step: int, num_steps: int) -> None:
        """Begins the live line, on a terminal."""
        if self._live:
            self._progress = Progress(
                MofNCompleteColumn(),
                BarColumn(bar_width=24),
                TextColumn("{task.description}"),
                TimeRemainingColumn(compact=True),
                console=self._console,
            )
            self._task = self._progress.add_task("", total=num_steps, completed=step)
            self._progress.start()

    def update(self, step: int, num_steps: int, values: dict[str, float], seconds_left: float) -> None:
        """A training measurement: "loss", "learning_rate" and "tokens_per_second" are shown."""
        text = (
            f"loss {values['loss']:.4f}  lr {values['learning_rate']:.2e}  {values['tokens_per_second']:,.0f} tokens/s"
        )
        if self._progress:
            self._progress.update(self._task, completed=step, description=text)
        else:
            eta = datetime.timedelta(seconds=round(seconds_left))
            self.say(f"step {step}/{num_steps}  {text}  eta {eta}")

    def stop(self) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None
