"""A session on a terminal: prompts are answered, and lines that begin with / change how."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from common.errors import UserError, nearest, require
from generation.config import GenerationConfig
from generation.options import OPTIONS, Given, Option, show_value
from generation.prompts import Prompt, read_stream
from generation.reports import tell

HISTORY = Path("~/.cache/zenformer/history")
KEPT = 1000  # lines of history
COMMANDS = {"help": "this list", "quit": "leave, as /exit and Ctrl-D do"}
OF_SETTINGS = {
    "show": "the settings",
    "set NAME VALUE": "the same as /NAME VALUE; what takes many values gets one more, with \\n for a new line",
    "reset [NAME]": "what the command line said, of one setting or of all; so what was added is forgotten",
}
IN_A_CONVERSATION = {
    "reset": "forget what was said, and begin anew",
    "reset NAME": "what the command line said of this setting; of all: /reset settings",
}


class Answering(Protocol):
    """What answers prompts: `Answers`, a `Conversation` or `Readings`.

    Attributes:
        options: what may be set, by name.
        forget: in a conversation, lets what was said be forgotten, as `/reset` does there; None: nothing is kept.
    """

    options: Mapping[str, Option]
    forget: Callable[[], None] | None

    def check(self, given: Given) -> GenerationConfig | None:
        """The config that options make.

        Raises:
            ConfigError: they cannot be.
        """

    def answer_all(self, batches: Iterable[Sequence[Prompt]], given: Given) -> None:
        """Prints the answers to prompts, each batch at once."""

    def answer_in_session(self, prompt: str, given: Given, number: int, poll: Callable[[], None]) -> None:
        """Prints the answer to a prompt, the n-th since the seed was set; calls `poll` at every token, which raises
        KeyboardInterrupt once Ctrl-C was pressed."""


def answer_input(answering: Answering, given: Given) -> None:
    """Answers what is typed on a terminal, in a session, or the lines that come through a pipe.

    Raises:
        ConfigError: of a pipe, a line cannot be answered; the message names it.
    """
    if sys.stdin.isatty():
        Session(given, answering).run()
    else:
        answering.answer_all(([prompt] for prompt in read_stream(sys.stdin)), given)


class Session:
    """Reads lines until the end of input, `/quit` or `/exit`, or Ctrl-C where nothing is typed.

    Args:
        given: the options that the command line set.
    """

    def __init__(self, given: Given, answering: Answering):
        self._first = self._given = given
        self._answering, self._check = answering, answering.check
        of_settings = OF_SETTINGS if answering.options else {}
        if answering.forget is not None:
            others = {usage: help for usage, help in of_settings.items() if not usage.startswith("reset")}
            of_settings = others | IN_A_CONVERSATION
        self._commands = COMMANDS | of_settings
        self._names = {usage.partition(" ")[0] for usage in self._commands}
        self._number = 0

    def run(self) -> None:
        tell("Type a prompt and press Enter; a line that ends in \\ goes on. /help lists commands, Ctrl-D leaves.")
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")  # the tokenizer tells what is no UTF-8
        _load_history()
        while True:
            try:
                line = _read_line()
                if line.startswith("/") and not line.startswith("//"):
                    self._obey(line[1:])
                elif line.strip():
                    self._write(line.removeprefix("/") if line.startswith("//") else line)
            except EOFError:
                return
            except UserError as error:
                tell(error)

    def _write(self, prompt: str) -> None:
        with _stoppable() as poll:
            try:
                self._answering.answer_in_session(prompt, self._given, self._number, poll)
            except KeyboardInterrupt:
                tell("\n(stopped)")
        self._number += 1

    def _obey(self, line: str) -> None:
        name, _, value = line.strip().partition(" ")
        options, forget = self._answering.options, self._answering.forget
        if name == "set" and name in self._names:
            name, _, value = value.lstrip().partition(" ")
        if name in ("quit", "exit"):
            raise EOFError
        elif name == "help":
            settings = {f"{option.name} {option.metavar}": option.help for option in options.values()}
            _print_table({f"/{usage}": help for usage, help in (self._commands | settings).items()})
            tell("A prompt that begins with / is typed with //.")
        elif name == "show" and name in self._names:
            _print_table({name: self._value(name) for name in options})
        elif name == "reset" and forget is not None and not value.strip():
            forget()
            tell("what was said is forgotten")
        elif name == "reset" and name in self._names:
            self._reset(value.strip() if value.strip() != "settings" else "")
        elif name in OPTIONS:
            if value:
                self._set(name, value.replace("\\n", "\n"))
            require(name in options, f"{name} means nothing here; /help lists what there is")
            tell(f"{name} {self._value(name)}")
        else:
            require(name != "", "name a command or a setting after the /; /help lists what there is")
            near = nearest(f"/{name}", [f"/{each}" for each in (*self._names, *options)])
            raise UserError(f"there is no /{name}{near}; /help lists what there is")

    def _set(self, name: str, text: str) -> None:
        value = OPTIONS[name].parse(text)
        given = self._given | {name: [*self._given.get(name, []), value] if OPTIONS[name].many else value}
        self._check(given)
        self._given = given
        if name == "seed":
            self._number = 0

    def _reset(self, name: str) -> None:
        require(not name or name in OPTIONS, f"there is no setting {name!r}{nearest(name, OPTIONS)}")
        given = self._first
        if name:
            others = {other: value for other, value in self._given.items() if other != name}
            given = others | {other: value for other, value in self._first.items() if other == name}
        self._check(given)
        self._given = given
        self._number = 0
        tell(f"{name} {self._value(name)}" if name else "the settings are as they were at the start")

    def _value(self, name: str) -> str:
        """What is given, or what follows from it: beams set the temperature."""
        value = getattr(self._check(self._given), name, 0)
        return show_value(self._given.get(name, value)) or "none"


def _read_line() -> str:
    """What was typed; nothing where Ctrl-C took it back.

    Raises:
        EOFError: Ctrl-D.
        KeyboardInterrupt: Ctrl-C, and nothing had been typed.
    """
    import readline

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # so that readline puts the terminal back
    question = "> " if sys.stdout.isatty() else ""
    lines: list[str] = []
    try:
        while not lines or lines[-1].endswith("\\"):
            lines.append(input("… " if lines and question else question))
    except KeyboardInterrupt:
        print()
        if lines or readline.get_line_buffer():
            return ""
        raise
    except EOFError:
        print()
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    _keep_history(lines)
    return "\n".join(line.removesuffix("\\") for line in lines)


def _load_history() -> None:
    import readline

    with contextlib.suppress(OSError):
        for line in HISTORY.expanduser().read_text(encoding="utf-8", errors="replace").split("\n")[-KEPT:]:
            if line:
                readline.add_history(line)


def _keep_history(lines: list[str]) -> None:
    """At once, so that nothing is lost however the session ends; where it cannot be written, it is not kept."""
    with contextlib.suppress(OSError):
        path = HISTORY.expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.writelines(f"{line}\n" for line in lines if line.strip())


@contextlib.contextmanager
def _stoppable() -> Iterator[Callable[[], None]]:
    """Within it Ctrl-C is noted, and the function that it gives raises KeyboardInterrupt then; a second one acts as before.

    An exception that is raised wherever the program is can be lost in a callback of JAX.
    """
    pressed = False

    def note(*_) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)

    def poll() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield poll
    finally:
        signal.signal(signal.SIGINT, before)


def _print_table(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, text in rows.items():
        tell(f"  {name:<{width}}  {text}")
