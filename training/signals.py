"""SIGINT and SIGTERM ask the loop to save and end; a second SIGINT ends at once."""

import os
import signal
import threading

from common.command import STOPS

SHOW_CURSOR = b"\x1b[?25h"  # rich hides it while its live line is on


class StopSignal:
    """While entered, notes the first SIGINT or SIGTERM in `number` instead of raising.

    A thread of its own listens: Python's handlers wait for the main thread, which may be deep in the compiler.
    """

    def __init__(self):
        self.number: int | None = None

    def __enter__(self) -> "StopSignal":
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._wakeup_before = signal.set_wakeup_fd(self._write)
        self._before = {number: signal.signal(number, lambda *_: None) for number in STOPS}
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._write)
        self._thread.join()
        os.close(self._read)

    def _listen(self) -> None:
        while received := os.read(self._read, 1):
            if received[0] in STOPS:
                self._note(signal.Signals(received[0]))

    def _note(self, number: signal.Signals) -> None:
        if self.number is not None and number == signal.SIGINT:
            os.write(2, SHOW_CURSOR * os.isatty(2) + b"\nstopped at once; what was saved before is whole\n")
            os._exit(128 + number)
        self.number = int(number)
        os.write(2, f"\n{number.name}: saving after this step; Ctrl-C again to leave at once\n".encode())
