"""What a person may set about generation: one table, of which `sample.py` makes flags and a session its `/` commands."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from common.errors import ConfigError, require
from generation.config import CACHE_DTYPES, GenerationConfig

if TYPE_CHECKING:  # which --help and a wrong flag need not wait for
    from data.tokenizer import Tokenizer

Given = dict[str, Any]  # an option's name -> its value, of those that were given


SWITCH = {"on": True, "off": False}
STOPPING = SWITCH | {"never": "never"}
DTYPES = {name: name for name in CACHE_DTYPES}


def text(typed: str) -> str:
    """What was typed, which must not hold bytes that Python could not decode."""
    try:
        typed.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"is not valid UTF-8 (character {error.start + 1})") from error
    return typed


def integer(typed: str) -> int:
    try:
        return int(typed)
    except ValueError:
        raise ValueError("is not a whole number") from None


def number(typed: str) -> float:
    try:
        return float(typed)
    except ValueError:
        raise ValueError("is not a number") from None


def bias(typed: str) -> tuple[str, float]:
    piece, _, value = text(typed).rpartition("=")
    with contextlib.suppress(ValueError):
        if piece and float(value) < math.inf:
            return piece, float(value)
    raise ValueError("is not TEXT=NUMBER, such as the=-2")


def one_of(choices: Mapping[str, Any]) -> Callable[[str], Any]:
    def read(typed: str) -> Any:
        if typed.strip() not in choices:
            raise ValueError(f"is none of {', '.join(choices)}")
        return choices[typed.strip()]

    return read


@dataclasses.dataclass(frozen=True)
class Option:
    """One thing that can be set.

    Attributes:
        read: its value from what a person typed; a ValueError says what is wrong with it.
        fills: it means something where masks are filled, too.
        many: it may be given many times.
    """

    name: str
    read: Callable[[str], Any]
    metavar: str
    help: str
    fills: bool = False
    many: bool = False

    def parse(self, typed: str) -> Any:
        """
        Raises:
            ConfigError: it is no value for this option.
        """
        try:
            return self.read(typed)
        except ValueError as error:
            raise ConfigError(f"{self.name} {typed!r} {error}") from error


OPTIONS = {
    option.name: option
    for option in (
        Option("max_new_tokens", integer, "N", "write at most so many tokens"),
        Option("min_new_tokens", integer, "N", "do not end before so many tokens"),
        Option("temperature", number, "X", "0: the likeliest token each time; 1: draws as the model believes", True),
        Option("top_k", integer, "K", "draw from the K likeliest tokens; 0: from all", True),
        Option("top_p", number, "P", "draw from the likeliest tokens, as many as sum to P; 1: from all", True),
        Option("min_p", number, "P", "draw from tokens at least P times as likely as the likeliest; 0: from all", True),
        Option("repetition_penalty", number, "X", "above 1: what the text has already comes less often", True),
        Option("no_repeat_ngram_size", integer, "N", "no N tokens in a row come twice; 0: they may"),
        Option("logit_bias", bias, "TEXT=X", "add X to the logit of this token; -inf: it never comes", True, True),
        Option("stop", text, "TEXT", "end before this text", many=True),
        Option("num_samples", integer, "N", "completions of each prompt", True),
        Option(
            "best_of", integer, "N", "of N completions keep the likeliest, as many as num_samples says; 0: off", True
        ),
        Option("beam", integer, "K", "search for the likeliest text with K beams; 1: off"),
        Option("length_penalty", number, "X", "of beams: above 0 favours long texts, below 0 short ones"),
        Option(
            "early_stopping",
            one_of(STOPPING),
            "on|off|never",
            "of beams: end once K texts have; never: search on",
        ),
        Option("slide", one_of(SWITCH), "on|off", "where the context is full, forget what is oldest and go on"),
        Option("draft_tokens", integer, "N", "tokens that the draft guesses at a time"),
        Option("cache_dtype", one_of(DTYPES), "|".join(DTYPES), "of kept keys and values"),
        Option("seed", integer, "N", "the same seed gives the same texts, in their order", True),
    )
}


def show_value(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, bool):
        return ("off", "on")[value]
    if isinstance(value, list | tuple | dict):
        return " ".join(repr("{}={:g}".format(*each) if isinstance(each, tuple) else each) for each in value)
    return "" if value is None else str(value)


@functools.cache
def defaults() -> Mapping[str, Any]:
    """Option -> its value where it is not given."""
    fields = dataclasses.asdict(GenerationConfig())
    return {name: fields.get(name, 0) for name, option in OPTIONS.items()}


def configure(given: Given, tokenizer: Tokenizer | None = None) -> GenerationConfig:
    """The config of what was given. Beams do not draw unless a temperature says so, which is then refused.

    Before there is a tokenizer, `logit_bias` is left out.

    Raises:
        ConfigError: a value is not allowed, or a text of `logit_bias` is not one token.
    """
    require(0 <= given.get("seed", 0) < 2**32, f"seed={given.get('seed')} must be from 0 to {2**32 - 1}")
    fields = {name: value for name, value in given.items() if name != "seed"}
    biases = fields.pop("logit_bias", ())
    if tokenizer is not None:
        fields["logit_bias"] = collections.Counter()
        for piece, value in biases:
            fields["logit_bias"][one_token(piece, tokenizer)] += value
    if "stop" in fields:
        fields["stop"] = tuple(fields["stop"])
    if fields.get("beam", 1) > 1:
        fields.setdefault("temperature", 0.0)
    return GenerationConfig(**fields)


def one_token(piece: str, tokenizer: Tokenizer) -> int:
    """The token that is this text; an end of text by its name."""
    named = {tokenizer.piece(token): token for token in tokenizer.ends}
    tokens = [named[piece]] if piece in named else tokenizer.encode(piece)
    pieces = " ".join(repr(tokenizer.piece(token)) for token in tokens)
    end = tokenizer.piece(tokenizer.end_of_text)
    message = f"logit_bias: {piece!r} is not one token but {len(tokens)}: {pieces} (the end of a text is {end!r})"
    require(len(tokens) == 1, message)
    return tokens[0]
