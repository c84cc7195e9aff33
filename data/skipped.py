"""What is done about text that cannot be read: stop there, or leave it out and tell."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from common.errors import ConfigError, UserError
from common.packages import MissingPackage

Report = Callable[[UserError], None]  # given each line, row or file that cannot be read, with its place
MAX_EXAMPLES = 3


@contextlib.contextmanager
def reported(report: Report) -> Iterator[None]:
    """Reports what is broken in a block, of which the rest is left out then; not what is no text's fault: config, packages."""
    try:
        yield
    except (ConfigError, MissingPackage):
        raise
    except UserError as error:
        report(error)


@dataclasses.dataclass
class Skipped:
    """What was left out because it could not be read; `add` is the report that collects it.

    Attributes:
        count: lines, rows and files; the rest of a file that breaks off counts as one.
        examples: the first messages, each with file and line.
        allowed: whether anything may be left out; else the first of it is an error.
    """

    count: int = 0
    examples: list[str] = dataclasses.field(default_factory=list)
    allowed: bool = True

    def add(self, error: UserError) -> None:
        if not self.allowed:
            raise error
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(str(error))

    def __add__(self, other: "Skipped") -> "Skipped":
        return Skipped(self.count + other.count, (self.examples + other.examples)[:MAX_EXAMPLES])

    @property
    def facts(self) -> dict[str, Any]:
        """For JSON; `Skipped(**facts)` has the same."""
        return {"count": self.count, "examples": self.examples}

    def summary(self) -> str:
        """One line for the user, who is to be told once."""
        more = "; …" if self.count > len(self.examples) else ""
        return (
            f"left out as broken (data.skip_bad): {self.count:,} lines, rows or files: {'; '.join(self.examples)}{more}"
        )


STOP = Skipped(allowed=False)  # so it stays empty


def tell_skipped(skipped: Skipped, warn: Callable[[str], None]) -> None:
    """Tells the user, once, of what was left out, if anything was."""
    if skipped.count:
        warn(skipped.summary())
