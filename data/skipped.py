"""What is done about text that cannot be read: stop there, or leave it out and tell."""

import dataclasses
from collections.abc import Callable

from common.errors import UserError

Report = Callable[[UserError], None]  # given each line, row or file that cannot be read, with its place
MAX_EXAMPLES = 3


def stop(error: UserError) -> None:
    """The report that leaves nothing out."""
    raise error


def tell_skipped(skipped: "Skipped | None", warn: Callable[[str], None]) -> None:
    """Tells the user, once, of what was left out, if anything was."""
    if skipped is not None and skipped.count:
        warn(skipped.summary())


@dataclasses.dataclass
class Skipped:
    """What was left out because it could not be read; `add` is the report that collects it.

    Attributes:
        count: lines, rows and files; the rest of a file that breaks off counts as one.
        examples: the first messages, each with file and line.
    """

    count: int = 0
    examples: list[str] = dataclasses.field(default_factory=list)

    def add(self, error: UserError) -> None:
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(str(error))

    def __add__(self, other: "Skipped") -> "Skipped":
        return Skipped(self.count + other.count, (self.examples + other.examples)[:MAX_EXAMPLES])

    def summary(self) -> str:
        """One line for the user, who is to be told once."""
        more = "; …" if self.count > len(self.examples) else ""
        return (
            f"left out as broken (data.skip_bad): {self.count:,} lines, rows or files: {'; '.join(self.examples)}{more}"
        )
