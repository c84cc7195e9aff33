"""A conversation with a model that learned dialogues: what was said is what the next answer follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from common.errors import require
from data.chat_template import ChatTemplate, Message, Turn, keep_newest, tokens_and_marks
from data.tokenizer import Tokenizer
from generation.answers import Answers
from generation.config import GenerationConfig
from generation.options import Given
from generation.prompts import EncodedPrompt, Prompt
from generation.reports import Pace, tell


def prompt_of(turns: Sequence[Turn], text: str, template: ChatTemplate, tokenizer: Tokenizer) -> EncodedPrompt:
    """What the answer to these turns follows, token by token as training has it; `text` is what it is called."""
    tokens, _ = tokens_and_marks(turns)
    return EncodedPrompt(text, [tokenizer.end_of_text, *tokens, *tokenizer.encode(template.opening)])


def ask(questions: Iterable[str], template: ChatTemplate, tokenizer: Tokenizer) -> list[EncodedPrompt]:
    """The prompts of dialogues that begin with these questions, called as the template writes them."""
    dialogues = [[Message("user", question)] for question in questions]
    encoded = template.encode(dialogues, tokenizer)
    return [
        prompt_of(turns, template.render(messages) + template.opening, template, tokenizer)
        for messages, turns in zip(dialogues, encoded, strict=True)
    ]


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


class Conversation:
    """Prints the answers to what a user says, each with all that was said before, as far as there is room for it."""

    def __init__(self, answers: Answers, template: ChatTemplate, tokenizer: Tokenizer, system: str | None = None):
        """`system`: what stands before the dialogue, and stays."""
        self._answers, self._template, self._tokenizer = answers, template, tokenizer
        self._begin = [] if system is None else [Message("system", system)]
        self._stops = stops(template, tokenizer)
        self.forget()

    def forget(self) -> None:
        """Begins anew."""
        self._messages = list(self._begin)

    def check(self, given: Given) -> GenerationConfig:
        """The config that was asked for.

        Raises:
            ConfigError: it cannot be, or means nothing in a conversation.
        """
        require(given.get("num_samples", 1) == 1, "num_samples: a conversation goes on from one answer; leave it 1")
        return self._answers.check(given)

    def say(self, text: str, given: Given, number: int = 0, poll: Callable[[], None] | None = None) -> None:
        """Prints the answer to a user's turn, and keeps both; neither, where `poll` ends it.

        Args:
            number: of the turn, since the seed was set: so that each draws for itself.
        """
        generation = self.check(given)
        opening = len(self._tokenizer.encode(self._template.opening))
        room = self._answers.longest - 1 - opening - min(generation.max_new_tokens, self._answers.longest // 4)
        messages = [*self._messages, Message("user", text)]
        (turns,) = self._template.encode([messages], self._tokenizer)
        kept = keep_newest(turns, room)
        prompt = prompt_of(kept, text, self._template, self._tokenizer)
        if self._stops:
            given = given | {"stop": [*given.get("stop", ()), *self._stops]}
        if lost := len(turns) - len(kept):
            tell(f"the context is full: the oldest {lost} of {len(turns)} turns are left out")
        (completion,) = self._answers.answer([prompt], given, number, poll)
        if lost:
            begin = len(self._begin)
            messages = [*messages[:begin], *messages[begin + lost :]]
        self._messages = [*messages, Message("assistant", completion.text)]

    def say_in_session(self, text: str, given: Given, number: int, poll: Callable[[], None]) -> None:
        """`say`, with a pace of its own."""
        self._answers.pace = Pace()
        self.say(text, given, number, poll)
        tell(self._answers.pace)

    def say_all(self, texts: Iterable[Prompt], given: Given) -> None:
        """`say` for each of a user's turns."""
        number = 0
        for number, prompt in enumerate(texts, 1):
            if number > 1 and not self._answers.as_json:
                print("---")
            self.say(prompt.text, given, number - 1)
        if number:
            tell(self._answers.pace)
