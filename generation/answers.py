"""What a model says to prompts, as `sample.py` prints it: once, in batches, or in a session."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence

from common.errors import ConfigError, UserError, require
from data.tokenizer import Tokenizer
from generation.asking import Asking
from generation.completion import Completion, check_use, complete
from generation.config import GenerationConfig
from generation.encoding import encode_prompts
from generation.options import OPTIONS, Given, configure
from generation.prompts import EncodedPrompt, Prompt
from generation.reports import Pace, print_completions, tell
from generation.speculative import Draft
from model import TransformerConfig
from model.parameters import Params


class Answers:
    """Prints a model's completions of prompts, and on stderr what there is to be said about them.

    Attributes:
        pace: how fast it went, all prompts together.
        as_json: whether it prints for programs.
        longest: the most tokens that there is room for, the prompt's included.
        options: those of generation that mean something to this model, by name.
        forget: as in a conversation; there is nothing to forget, since each prompt is asked by itself.
    """

    forget: Callable[[], None] | None = None

    def __init__(
        self,
        params: Params,
        config: TransformerConfig,
        tokenizer: Tokenizer,
        draft: Draft | None = None,
        as_json: bool = False,
        asking: Asking | None = None,
    ):
        """`asking`: how the model is asked; None: the prompt goes on as it is."""
        self._config, self._tokenizer, self.as_json, self._asking = config, tokenizer, as_json, asking or Asking()
        self._complete = functools.partial(complete, params, config, tokenizer, draft=draft)
        self._draft = draft
        self.longest = min(each.max_length for each in (config, *([draft.config] if draft else [])))
        self._tell_once = functools.cache(tell)
        self._joins_spaces = tokenizer.encode(" a") != tokenizer.encode(" ") + tokenizer.encode("a")
        fills = config.network == "encoder"
        self.options = {name: option for name, option in OPTIONS.items() if option.fills or not fills}
        self.pace = Pace()

    def check(self, given: Given) -> GenerationConfig:
        """The config that was asked for.

        Raises:
            ConfigError: it cannot be, or means nothing to this model.
        """
        for name in given:
            require(name in self.options, f"{name} is for models that write on; this one fills in what is masked")
        if self._asking.stop:
            given = given | {"stop": [*given.get("stop", ()), *self._asking.stop]}
        generation = configure(given, self._tokenizer)
        check_use(self._draft, self._config, generation)
        return generation

    def check_prompts(self, prompts: Iterable[Prompt], given: Given) -> list[str]:
        """The prompts' texts.

        Raises:
            ConfigError: one of them cannot be answered; the message says where it stands.
        """
        slide, texts = self.check(given).slide, []
        for prompt in prompts:
            try:
                encode_prompts([self._asking.prompt(prompt.text)], self._config, self._tokenizer, slide)
            except UserError as error:
                raise ConfigError(f"{prompt.where}: {error}") from error
            texts.append(prompt.text)
        return texts

    def answer(
        self,
        prompts: Sequence[str | EncodedPrompt],
        given: Given,
        first: int = 0,
        poll: Callable[[], None] | None = None,
    ) -> list[Completion]:
        """Prints the completions of prompts, in order, and returns them; the only one of an only prompt as it is made.

        Args:
            first: the first prompt's number in the list that these are part of.
            poll: called at each token; what it raises ends the text.
        """
        generation = self.check(given)
        live = len(prompts) == generation.num_samples == 1 and not self.as_json
        if self._joins_spaces and any(isinstance(prompt, str) and prompt.endswith(" ") for prompt in prompts):
            tell("a prompt ends in a space; the model writes better without it, since a space is part of the next word")

        def show(row: int, text: str) -> None:
            if row == 0:
                self.pace.tick()
            if poll is not None:
                poll()
            if live:
                print(text, end="", flush=True)

        self.pace.begin()
        on_text = show if live or poll else None
        asked = [self._asking.prompt(prompt) if isinstance(prompt, str) else prompt for prompt in prompts]
        completions = self._complete(asked, generation, given.get("seed", 0), on_text, first=first)
        self.pace.end(sum(len(completion.tokens) for completion in completions))
        for place in range(len(prompts)):
            if place and not self.as_json:
                print("---")
            mine = completions[place * generation.num_samples :][: generation.num_samples]
            typed = prompts[place] if isinstance(prompts[place], str) else prompts[place].text
            mine = [dataclasses.replace(each, prompt=typed) for each in mine]
            print_completions(mine, self.as_json, written=live)
        lengths = [len(each.tokens) for each in completions if each.finish_reason == "length"]
        if min(lengths, default=generation.max_new_tokens) < generation.max_new_tokens:
            self._tell_once(
                f"max_new_tokens={generation.max_new_tokens} is more than there is room for: "
                f"this model takes {self.longest} tokens"
                + (", the prompt's included" if self._config.network == "decoder" else "")
            )
        return completions

    def answer_in_session(self, prompt: str, given: Given, number: int, poll: Callable[[], None]) -> None:
        """`answer` for one prompt, with a pace of its own."""
        self.pace = Pace()
        self.answer([prompt], given, number, poll)
        tell(self.pace)

    def answer_all(self, batches: Iterable[Sequence[Prompt]], given: Given) -> None:
        """`answer` for each batch, of which each prompt is checked first."""
        number = 0
        for prompts in batches:
            texts = self.check_prompts(prompts, given)
            if number and not self.as_json:
                print("---")
            self.answer(texts, given, number)
            number += len(texts)
        if number:
            tell(self.pace)
