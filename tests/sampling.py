"""What sample.py says, taken apart; and a terminal to run it on."""

import json
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def completions(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


def is_one_line(error: str) -> bool:
    return error.startswith("sample.py: ") and error.count("\n") == 1 and error.endswith("\n")


PACE = re.compile(
    r"[\d,]+ tokens?( in [\d.]+ s, [\d,.]+ tokens/s, compiling included"
    r"|, the first after [\d.]+ s, then [\d,.]+ tokens/s \(median\))"
)


def notes(error: str) -> str:
    """What stands on stderr besides how fast it went, which stands at its end."""
    *others, pace = error.splitlines(keepends=True)
    assert PACE.fullmatch(pace.removesuffix("\n")), pace
    return "".join(others)


ON_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


class Terminal:
    """sample.py on a terminal of its own; what is on its screen is in `seen`."""

    def __init__(self, home: Path, *arguments: str):
        command = [sys.executable, "-c", ON_A_TERMINAL, sys.executable, str(ROOT / "sample.py"), *arguments]
        environment = os.environ | {"TERM": "dumb", "HOME": str(home)}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self.seen = ""

    def until(self, text: str, times: int = 1) -> None:
        """Waits for `text` on the screen."""
        end = time.monotonic() + 300
        while self.seen.count(text) < times:
            assert time.monotonic() < end, f"no {text!r} in {self.seen!r}"
            if not self._read():
                break
        assert self.seen.count(text) >= times, f"no {text!r} in {self.seen!r}"

    def ask(self, line: str, answer: str) -> None:
        """Types a line, and waits for the answer and the next question."""
        begin = len(self.seen)
        self.type(line + "\n")
        self.until(answer, self.seen[:begin].count(answer) + 1 + line.count(answer))
        self.until("\n> ", self.seen[:begin].count("\n> ") + 1)

    def type(self, text: str) -> None:
        self.process.stdin.write(text.encode(errors="surrogateescape"))
        self.process.stdin.flush()

    def press_control_c(self, answer: str = "", times: int = 1) -> None:
        """Presses Ctrl-C until `answer` is on the screen, or all is over: where it comes just before Python begins to wait
        for keys, Python sees it with the next key only."""

        def answered() -> bool:
            return self.process.poll() is not None or (answer != "" and self.seen.count(answer) >= times)

        end = time.monotonic() + 300
        while not answered():
            assert time.monotonic() < end, f"no {answer!r} in {self.seen!r}"
            self.type("\x03")
            again = time.monotonic() + 10
            while not answered() and time.monotonic() < again:
                self._read(1)

    def end(self) -> int:
        """Waits for the end, and returns the exit status."""
        while self._read():
            pass
        return self.process.wait(timeout=600)

    def _read(self, seconds: float = 300) -> bool:
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        data = os.read(self.process.stdout.fileno(), 4096) if ready else b""
        self.seen += data.decode(errors="replace")
        return bool(data)
