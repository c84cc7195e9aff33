"""From prompts in text to completions in text."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from common.errors import ConfigError, UserError
from data.tokenizer import Tokenizer
from generation.decoder import generate
from generation.sampling import SamplingConfig
from model import TransformerConfig


@dataclasses.dataclass(frozen=True)
class Completion:
    """What followed a prompt.

    Attributes:
        text: without the prompt, and without the stop string that ended it.
        tokens, logprobs: of all that was generated, natural logarithms under the model's own distribution.
        finish_reason: "stop" (end of text, or a stop string) or "length".
    """

    prompt: str
    text: str
    tokens: list[int]
    logprobs: list[float]
    finish_reason: str


class TextStream:
    """Tokens in, text out: only what can no longer change, so never half a character nor half a stop string."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]):
        self.tokens: list[int] = []
        self.text = ""
        self.stopped = False
        self._tokenizer, self._stop = tokenizer, stop

    def add(self, token: int) -> str:
        """Takes a token; returns the text that it settles. Sets `stopped` where a stop string is complete."""
        self.tokens.append(token)
        text = self._tokenizer.decode(self.tokens)
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.stopped = True
            return self._settle(text[: min(found)])
        text = text.rstrip("\ufffd")  # bytes of a character that is not complete
        held = max((_overlap(text, stop) for stop in self._stop), default=0)
        return self._settle(text[: len(text) - held])

    def end(self) -> str:
        """The text that was held back."""
        return "" if self.stopped else self._settle(self._tokenizer.decode(self.tokens))

    def _settle(self, text: str) -> str:
        new, self.text = text[len(self.text) :], max(text, self.text, key=len)
        return new


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` may be the start of `stop`."""
    return next((size for size in range(len(stop) - 1, 0, -1) if text.endswith(stop[:size])), 0)


def encode_prompts(prompts: Sequence[str], config: TransformerConfig, tokenizer: Tokenizer) -> list[list[int]]:
    """Token ids of each prompt, end-of-text first, as documents begin.

    Raises:
        ConfigError: a prompt leaves no room in the context.
    """
    rows = [[tokenizer.end_of_text, *tokenizer.encode(prompt)] for prompt in prompts]
    longest = max(map(len, rows), default=0)
    if longest > config.max_length:
        raise ConfigError(
            f"a prompt of {longest - 1} tokens is too long: this model reads {config.max_length - 1}; shorten it"
        )
    return rows


def complete(
    params,
    config: TransformerConfig,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    sampling: SamplingConfig,
    seed: int = 0,
    stop: Sequence[str] = (),
    on_text: Callable[[int, str], None] = lambda row, text: None,
) -> list[Completion]:
    """Continues each prompt until the end of text, a stop string, `max_new_tokens`, or the end of the model's context.

    `on_text(row, text)` is called with each piece of text as soon as it is certain.

    Raises:
        ConfigError: a prompt leaves no room in the context.
        UserError: the model gives no number.
    """
    rows = encode_prompts(prompts, config, tokenizer)
    if not rows:
        return []
    room = config.max_length - max(map(len, rows)) + 1
    streams = [TextStream(tokenizer, stop) for _ in rows]
    logprobs: list[list[float]] = [[] for _ in rows]
    ended = [False] * len(rows)
    allowed = np.arange(config.vocab_size) < tokenizer.vocab_size
    allowed[tokenizer.unknown] = False
    for tokens, values in generate(params, config, rows, min(max_new_tokens, room), sampling, seed, allowed):
        if not np.isfinite(values).all():
            raise UserError("the model gives no finite probabilities (NaN or infinity in its parameters)")
        for row, (token, value) in enumerate(zip(tokens.tolist(), values.tolist(), strict=True)):
            if ended[row]:
                continue
            logprobs[row].append(value)
            if token == tokenizer.end_of_text:
                streams[row].tokens.append(token)
                ended[row] = True
                on_text(row, streams[row].end())
            else:
                on_text(row, streams[row].add(token))
                ended[row] = streams[row].stopped
        if all(ended):
            break
    for row, stream in enumerate(streams):
        if not ended[row]:
            on_text(row, stream.end())
    return [
        Completion(prompt, stream.text, stream.tokens, values, "stop" if done else "length")
        for prompt, stream, values, done in zip(prompts, streams, logprobs, ended, strict=True)
    ]
