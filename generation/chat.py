"""A conversation with a model that learned dialogues: what was said is what the next answer follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from common.errors import ConfigError, require
from data.chat_template import ChatTemplate, Message, keep_newest
from data.tokenizer import Tokenizer
from generation.answers import Answers
from generation.asking import begin_dialogue, prompt_of
from generation.config import GenerationConfig
from generation.options import Given
from generation.prompts import Prompt
from generation.reports import Pace, tell


class Conversation:
    """Prints the answers to what a user says, each with all that was said before, as far as there is room for it.

    Attributes:
        options: those of generation that mean something in one, by name.
    """

    def __init__(self, answers: Answers, template: ChatTemplate, tokenizer: Tokenizer, system: str | None = None):
        """`system`: what stands before the dialogue, and stays."""
        self._answers, self._template, self._tokenizer = answers, template, tokenizer
        self._begin = begin_dialogue(system)
        self.options = {name: option for name, option in answers.options.items() if name != "num_samples"}
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
        if lost := len(turns) - len(kept):
            tell(f"the context is full: the oldest {lost} of {len(turns)} turns are left out")
        (completion,) = self._answers.answer([prompt], given, number, poll)
        if lost:
            begin = len(self._begin)
            messages = [*messages[:begin], *messages[begin + lost :]]
        self._messages = [*messages, Message("assistant", completion.text)]

    def answer_in_session(self, text: str, given: Given, number: int, poll: Callable[[], None]) -> None:
        """`say`, with a pace of its own."""
        self._answers.pace = Pace()
        self.say(text, given, number, poll)
        tell(self._answers.pace)

    def answer_all(self, batches: Iterable[Sequence[Prompt]], given: Given) -> None:
        """`say` for each of a user's turns, whatever it begins with.

        Raises:
            ConfigError: one cannot be answered; the message says where it stands.
        """
        number = 0
        for prompts in batches:
            for prompt in prompts:
                if number and not self._answers.as_json:
                    print("---")
                try:
                    self.say(prompt.text, given, number)
                except ConfigError as error:
                    raise ConfigError(f"{prompt.where}: {error}") from error
                number += 1
        if number:
            tell(self._answers.pace)
