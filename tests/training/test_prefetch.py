"""Batches made ahead: the same ones, in order; what goes wrong is heard; nothing is left running."""

import threading
import time

import pytest

from common.errors import UserError
from training.prefetch import AHEAD, prefetch


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


@pytest.mark.parametrize("steps", [range(0), range(1), range(3, 5), range(7, 40)])
def test_batches_come_in_order_and_once(steps):
    made = []
    with prefetch(lambda step: made.append(step) or step, steps) as batches:
        assert list(batches) == list(steps)
    assert made == list(steps)
    assert not threads()


def test_they_are_made_in_one_thread_before_they_are_asked_for():
    made = {}
    with prefetch(lambda step: made.update({step: threading.get_ident()}), range(100)) as batches:
        wait_until(lambda: len(made) == AHEAD)
        for asked in range(1, 10):
            next(batches)
            wait_until(lambda asked=asked: len(made) == asked + AHEAD)
    assert len(set(made.values())) == 1 and threading.get_ident() not in made.values()
    assert len(made) == 9 + AHEAD, "no more than was said, and none after the end"


def wait_until(holds):
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_an_error_is_raised_where_its_batch_is_asked_for():
    def make(step):
        if step == 5:
            raise UserError("shard 5 cannot be read")
        return step

    seen = []
    with pytest.raises(UserError, match="shard 5 cannot be read"), prefetch(make, range(100)) as batches:
        seen.extend(batches)
    assert not threads()

    with prefetch(make, range(100)) as batches:
        for step in range(5):
            assert next(batches) == step
        with pytest.raises(UserError):
            next(batches)


def test_what_ends_the_loop_ends_the_thread():
    begun, go_on = [], threading.Event()

    def make(step):
        begun.append(step)
        go_on.wait(10)

    with pytest.raises(KeyboardInterrupt), prefetch(make, range(100)):
        wait_until(lambda: begun)
        go_on.set()
        raise KeyboardInterrupt
    assert not threads() and len(begun) <= AHEAD
