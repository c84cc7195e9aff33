"""What a network is given of what a user types, as its run has learned it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from common.errors import require
from data.chat_template import ChatTemplate, Message, Turn, tokens_and_marks
from data.config import DataConfig
from data.forms.pairs import put_into_prompt
from data.tokenizer import Tokenizer
from generation.prompts import EncodedPrompt


@dataclasses.dataclass(frozen=True)
class Asking:
    """How a model is asked.

    Attributes:
        prompt: what is typed -> what the network is given to go on from.
        answers: whether what follows is a text of its own, with tokens of its own; else the prompt goes on.
        stop: the texts that end an answer, beside an end of text.
    """

    prompt: Callable[[str], str | EncodedPrompt] = str
    answers: bool = False
    stop: tuple[str, ...] = ()


def make_asking(form: str, data: DataConfig, tokenizer: Tokenizer, system: str | None = None) -> Asking:
    """How a run is asked that has learned from examples of this form ("": from text alone) by these settings.

    Args:
        system: what stands before a dialogue.

    Raises:
        ConfigError: see `stops`.
    """
    make = ASKINGS.get(form)
    return Asking() if make is None else make(data, tokenizer, system)


def as_source(data: DataConfig, tokenizer: Tokenizer, system: str | None) -> Asking:
    """A source, put into `data.prompt`, for which a target is written."""
    return Asking(lambda typed: put_into_prompt(typed, data), answers=True)


def as_turn(data: DataConfig, tokenizer: Tokenizer, system: str | None) -> Asking:
    """What a user says first, by `data.chat_template`, which the assistant answers."""
    template = ChatTemplate.parse(data.chat_template)

    def prompt(typed: str) -> EncodedPrompt:
        dialogue = [*begin_dialogue(system), Message("user", typed)]
        (turns,) = template.encode([dialogue], tokenizer)
        return prompt_of(turns, typed, template, tokenizer)

    return Asking(prompt, answers=True, stop=stops(template, tokenizer))


# By the form of examples; what has learned from others goes on from a text as it is.
ASKINGS: dict[str, Callable[[DataConfig, Tokenizer, str | None], Asking]] = {
    "pairs": as_source,
    "messages": as_turn,
    "preferences": as_turn,
}


def begin_dialogue(system: str | None) -> list[Message]:
    """What stands before all turns."""
    return [] if system is None else [Message("system", system)]


def prompt_of(turns: Sequence[Turn], text: str, template: ChatTemplate, tokenizer: Tokenizer) -> EncodedPrompt:
    """What the answer to these turns follows, token by token as training has it; `text` is what it is called."""
    tokens, _ = tokens_and_marks(turns)
    return EncodedPrompt(text, [tokenizer.end_of_text, *tokens, *tokenizer.encode(template.opening)])


def stops(template: ChatTemplate, tokenizer: Tokenizer) -> tuple[str, ...]:
    """The text that ends an answer, where that is not an end of text, at which all generation ends.

    Raises:
        ConfigError: it is a special token, which is no text, and at which no text of this tokenizer ends.
    """
    if not template.ending:
        return ()
    tokens = tokenizer.encode(template.ending)
    if tokens[0] in tokenizer.ends:
        return ()
    require(
        template.ending in tokenizer.decode(tokens),
        f"answers end with {template.ending!r} by data.chat_template, which is a special token that ends no text; "
        "generation_config.json must name it as an eos_token_id",
    )
    return (template.ending,)
