"""What a model that writes no text says of texts, as `sample.py` prints it: labels, or answers that stand in a text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from common.errors import ConfigError, UserError
from generation.options import Given, Option
from generation.prompts import Prompt
from generation.reports import print_json, tell


class Reading(NamedTuple):
    """What is said of a text: the fields for programs, and the lines for people."""

    fields: dict[str, Any]
    shown: str


class Reader(Protocol):
    """Reads texts, many at once."""

    does: str  # what it does, for messages

    def prepare(self, text: str) -> tuple[Any, str]:
        """What `read` takes of a text, and what there is to be told of that ("": nothing).

        Raises:
            UserError: it cannot be read.
        """

    def read(self, prepared: Sequence[Any]) -> list[Reading]:
        """What is said of each."""


class Readings:
    """Prints what a `Reader` says of prompts, and on stderr what there is to be told of them.

    Attributes:
        options: those of generation that mean something here, by name: none does.
        forget: as in a conversation; there is nothing to forget.
    """

    options: Mapping[str, Option] = MappingProxyType({})
    forget: Callable[[], None] | None = None

    def __init__(self, reader: Reader, as_json: bool = False):
        self._reader, self._as_json = reader, as_json

    def check(self, given: Given) -> None:
        """
        Raises:
            ConfigError: an option of generation is given.
        """
        for name in given:
            raise ConfigError(f"{name} is for models that write text, and this one {self._reader.does}; leave it out")

    def check_prompts(self, prompts: Iterable[Prompt], given: Given) -> None:
        """
        Raises:
            ConfigError: as `check`; a prompt cannot be read, and the message says where it stands.
        """
        self.check(given)
        for prompt in prompts:
            self._prepare(prompt)

    def answer_all(self, batches: Iterable[Sequence[Prompt]], given: Given) -> None:
        """Prints what is said of the prompts, each batch at once.

        Raises:
            ConfigError, UserError: as `check_prompts`.
        """
        for prompts in batches:
            prepared = []
            for prompt in prompts:
                ready, said = self._prepare(prompt)
                prepared.append(ready)
                if said:
                    tell(f"{prompt.where}: {said}")
            for reading in self._reader.read(prepared):
                if self._as_json:
                    print_json(reading.fields)
                else:
                    print(reading.shown, flush=True)

    def answer_in_session(self, prompt: str, given: Given, number: int, poll: Callable[[], None]) -> None:
        """The same of what was typed."""
        self.answer_all([[Prompt(prompt, "this text")]], given)

    def _prepare(self, prompt: Prompt) -> tuple[Any, str]:
        try:
            return self._reader.prepare(prompt.text)
        except UserError as error:
            raise ConfigError(f"{prompt.where}: {error}") from error
