"""What is read, when, and what is said of it."""

import math
import re

import jax.numpy as jnp
import pytest

from common.errors import UserError
from training import monitor as module
from training.display import Display, duration
from training.monitor import Monitor


class Writer:
    def __init__(self):
        self.lines = []

    def write(self, step, split, values):
        self.lines.append((step, split, values))


class Clock:
    """Time passes only when told to, and a nanosecond a look."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        self.now += 1e-9
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def writer():
    return Writer()


@pytest.fixture
def make(said, writer, clock):
    def make(start=0, num_steps=100, log_every=1, flops=1e-6, **options):
        schedule = lambda step: jnp.float32(step / 10)  # noqa: E731
        return Monitor(said, writer, schedule, start, num_steps, log_every, flops, lambda: "nothing yet", **options)

    return make


def metrics(loss, tokens=32.0, norm=1.0):
    return {"loss": jnp.float32(loss), "tokens": jnp.float32(tokens), "grad_norm": jnp.float32(norm)}


def test_metrics_are_read_a_step_late_and_in_order(make, writer):
    monitor = make()
    monitor.start()
    for step in range(1, 5):
        monitor.add(step, metrics(10 - step))
        assert [line[0] for line in writer.lines] == list(range(1, step))
    monitor.flush()
    monitor.flush()  # nothing is written twice
    assert [(step, split, values["loss"]) for step, split, values in writer.lines] == [
        (1, "train", 9), (2, "train", 8), (3, "train", 7), (4, "train", 6),
    ]  # fmt: skip


def test_the_learning_rate_is_that_which_the_step_used(make, writer):
    """A schedule counts from 0: step 1 used its value at 0."""
    monitor = make()
    for step in (1, 2, 3):
        monitor.add(step, metrics(1.0))
    monitor.flush()
    assert [values["learning_rate"] for *_, values in writer.lines] == pytest.approx([0.0, 0.1, 0.2])


@pytest.mark.parametrize("start, expected", [(0, [1, 10, 20, 25]), (7, [8, 10, 20, 25])])
def test_which_steps_are_logged(make, writer, start, expected):
    """Every tenth, the first of the attempt, and the last."""
    monitor = make(start=start, num_steps=25, log_every=10)
    for step in range(start + 1, 26):
        monitor.add(step, metrics(1.0))
    monitor.flush()
    assert [step for step, *_ in writer.lines] == expected


def test_tokens_a_second(make, writer, clock):
    """2 seconds a step of 32, then 64 tokens; what is done in a pause, and before the start, does not count."""
    monitor = make(log_every=2, flops=1e-3)
    clock.now += 1000
    monitor.start()
    for step in range(1, 6):
        clock.now += 2
        monitor.add(step, metrics(1.0, tokens=32.0 if step < 4 else 64.0))
        if step == 2:
            with monitor.paused():
                clock.now += 500
    with monitor.paused():
        pass
    speeds = {step: values["tokens_per_second"] for step, _, values in writer.lines}
    assert speeds[1] == pytest.approx(32 / 4)  # read when step 2 had been started
    assert speeds.keys() == {1, 2, 4}
    assert speeds[4] == pytest.approx((32 + 64) / 6)
    assert writer.lines[-1][2]["mfu"] == pytest.approx(1e-3 * (32 + 64) / 6)


def test_the_time_that_reporting_takes_counts(make, writer, clock, monkeypatch):
    """The device goes on meanwhile: a step that was ready when the one before had been reported did not take no time."""
    monitor = make()
    monitor.start()
    write = writer.write

    def slow(*arguments):
        clock.now += 4
        write(*arguments)

    monkeypatch.setattr(writer, "write", slow)
    for step in (1, 2):
        clock.now += 2
        monitor.add(step, metrics(1.0))
    with monitor.paused():
        pass
    assert [values["tokens_per_second"] for *_, values in writer.lines] == pytest.approx([32 / 4, 32 / 4])


@pytest.mark.parametrize(
    "loss, norm", [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf), (-math.inf, 1.0)]
)
def test_what_is_no_number_stops_the_run(make, writer, loss, norm):
    monitor = make()
    monitor.add(1, metrics(2.0))
    monitor.add(2, metrics(loss, norm=norm))
    with pytest.raises(
        UserError, match=r"^step 2: loss .*, gradient norm .*: not finite; nothing yet\. Try a lower opti"
    ):
        monitor.add(3, metrics(2.0))
    assert [step for step, *_ in writer.lines] == [1]  # JSON has no NaN


def test_a_pause_reads_what_is_pending(make):
    """So nothing is evaluated or saved after a step that went wrong."""
    monitor = make()
    monitor.add(1, metrics(math.nan))
    with pytest.raises(UserError, match="step 1"), monitor.paused():
        pytest.fail("paused")


def run_until(monitor, train, valid, step=0):
    for number, (loss, validation) in enumerate(zip(train, valid, strict=True), step + 1):
        monitor.add(number, metrics(loss))
        with monitor.paused():
            pass
        monitor.validated(validation)


def warnings(said):
    return [line for line in said.lines if line.startswith("warning: ")]


def test_overfitting_is_said(make, said):
    run_until(make(), train=[3.0, 2.0, 1.0], valid=[3.1, 2.5, 2.75])
    (warning,) = warnings(said)
    assert "validation loss rose from 2.5000 to 2.7500 while training loss fell from 2.0000 to 1.0000" in warning
    assert "the model begins to overfit" in warning


@pytest.mark.parametrize(
    "train, valid",
    [
        ([3.0, 2.0, 1.0], [3.1, 2.5, 2.5]),  # not risen
        ([3.0, 2.0, 1.0], [3.1, 2.5, 2.502]),  # by no more than a few examples make
        ([3.0, 2.0, 2.0], [3.1, 2.5, 2.6]),  # training does not fall
        ([3.0, 2.0, 2.5], [3.1, 2.5, 2.6]),  # both rise: something else is wrong
        ([3.0], [9.0]),  # nothing to compare with
    ],
)
def test_no_warning_without_overfitting(make, said, train, valid):
    run_until(make(), train, valid)
    assert warnings(said) == []


def test_training_loss_is_the_mean_since_the_last_evaluation(make, said):
    monitor = make()
    for step, loss in enumerate([4.0, 2.0], 1):
        monitor.add(step, metrics(loss))
    with monitor.paused():
        pass
    monitor.validated(2.0)
    for step, loss in enumerate([1.0, 4.0], 3):
        monitor.add(step, metrics(loss))
    with monitor.paused():
        pass
    monitor.validated(2.5)
    assert "from 3.0000 to 2.5000" in warnings(said)[0]


def test_the_estimate_is_said_once(make, said, clock):
    monitor = make(num_steps=100, log_every=1000)
    for step in range(1, 20):
        clock.now += 1
        monitor.add(step, metrics(1.0))
    (estimate,) = [line for line in said.lines if line.startswith("estimated time: ")]
    assert estimate == "estimated time: 1 min 35 s, evaluations not counted"  # at step 5: 95 steps are left


@pytest.mark.parametrize(
    "seconds, text", [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3725, "1 h 2 min")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_plain_lines_where_stderr_is_no_terminal(capfd):
    display = Display()
    display.say("a [bold]line[/bold] that is much longer than " + "any " * 40 + "terminal")
    display.start(0, 10)
    values = {"loss": 1.25, "learning_rate": 1e-3, "tokens_per_second": 12345.6}
    display.update(3, 10, values, 65.0)
    display.warn("careful :smile:")
    display.stop()
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "a [bold]line[/bold] that is much longer than " + "any " * 40 + "terminal",
        "step 3/10  loss 1.2500  lr 1.00e-03  12,346 tokens/s  eta 0:01:05",
        "warning: careful :smile:",
    ]
    assert not re.search(r"[\x1b\r]", err)


def test_a_live_line_on_a_terminal(monkeypatch, capfd):
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, as rich sees it
    monkeypatch.setenv("TERM", "xterm")
    display = Display()
    display.start(0, 10)
    display.update(3, 10, {"loss": 1.25, "learning_rate": 1e-3, "tokens_per_second": 5.0}, 65.0)
    display.say("a line that stays")
    display.stop()
    err = capfd.readouterr().err
    assert "\x1b[" in err and "a line that stays" in err and "3/10" in err and "loss 1.2500" in err


def test_other_processes_say_nothing(monkeypatch, capfd):
    monkeypatch.setattr("jax.process_index", lambda: 1)
    display = Display()
    display.say("one")
    display.warn("two")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("above", [5.0, math.inf])
def test_skipped_batches_are_told_and_are_not_averaged(make, said, writer, above):
    monitor = make(skip_above=above)
    monitor.start()
    for step, (loss, norm) in enumerate([(3.0, 1.0), (math.nan, math.nan), (math.inf, math.inf), (2.0, 5.0)], 1):
        monitor.add(step, metrics(loss, norm=norm))
    monitor.flush()
    assert [line[0] for line in writer.lines] == [1, 4]
    assert [line for line in said.lines if "skipped" in line] == [
        "warning: step 2: loss nan, gradient norm nan: the batch is skipped",
        "warning: step 3: loss inf, gradient norm inf: the batch is skipped",
    ]


def test_a_run_that_skips_all_is_given_up(make):
    monitor = make(skip_above=0.5)
    monitor.start()
    with pytest.raises(UserError, match=r"step 100: .*: the last 100 batches were skipped .*; nothing yet\. Raise it"):
        for step in range(1, 150):
            monitor.add(step, metrics(1.0))
