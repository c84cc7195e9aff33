"""The next batches are made while the device works on this one."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import jax

from training.step import Batch

AHEAD = 2  # batches that are made, or in the making, before they are asked for


@contextmanager
def prefetch(make: Callable[[int], Batch], steps: range) -> Iterator[Iterator[Batch]]:
    """While entered, an iterator over `make(step)` for all `steps`, in order, made by one thread `AHEAD` of the caller.

    What `make` raises is raised where its batch is asked for. On leaving, no further batch is begun, and the one in the
    making is waited for.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        to_make = iter(steps)
        waiting = deque(thread.submit(make, step) for step in itertools.islice(to_make, AHEAD))

        def batches() -> Iterator[Batch]:
            while waiting:
                batch = waiting.popleft()
                waiting.extend(thread.submit(make, step) for step in itertools.islice(to_make, 1))
                with jax.profiler.TraceAnnotation("waiting for a batch"):
                    rows = batch.result()
                yield rows

        try:
            yield batches()
        finally:
            thread.shutdown(cancel_futures=True)
