"""From tokens as they come to text."""

import math
from collections.abc import Sequence

from data.tokenizer import Tokenizer
from generation.rows import Decoded, Status

WINDOW = 16  # tokens that are decoded together; what stands before them is text for good


class TextStream:
    """Tokens in, text out: only what can no longer change, so never half a character nor half a stop string.

    `after` are the tokens before: some tokenizers drop the space of a text's first word, and so must see what it follows.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str], after: Sequence[int] = ()):
        self.tokens: list[int] = []
        self.text = ""
        self.stopped = False
        self._tokenizer, self._stop = tokenizer, stop
        self._anchor = list(after[-1:])  # the token before the window, and its text
        self._anchor_text = tokenizer.decode(self._anchor)
        self._begin, self._head = 0, ""  # the window's first token, and the text before it

    def add(self, token: int) -> str:
        """Takes a token; returns the text that it settles. Sets `stopped` where a stop string is complete."""
        self.tokens.append(token)
        text = self._decode()
        found = [at for at in (text.find(stop, len(self.text)) for stop in self._stop) if at >= 0]
        if found:
            self.stopped = True
            return self._settle(text[: min(found)])
        text = text.rstrip("\ufffd")  # bytes of a character that is not complete
        held = max((_overlap(text, stop) for stop in self._stop), default=0)
        return self._settle(text[: len(text) - held])

    def end(self) -> str:
        """The text that was held back."""
        return "" if self.stopped else self._settle(self._decode())

    def _decode(self) -> str:
        window = self.tokens[self._begin :]
        text = self._tokenizer.decode([*self._anchor, *window])
        whole = text.startswith(self._anchor_text)  # else the prompt ended within a character
        text = self._head + (text[len(self._anchor_text) :] if whole else self._tokenizer.decode(window))
        if len(window) >= WINDOW and not text.endswith("\ufffd"):
            anchor_text = self._tokenizer.decode(window[-1:])
            if anchor_text:
                self._anchor, self._anchor_text = window[-1:], anchor_text
                self._begin, self._head = len(self.tokens), text
        return text

    def _settle(self, text: str) -> str:
        new, self.text = text[len(self.text) :], max(text, self.text, key=len)
        return new


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` may be the start of `stop`."""
    return next((size for size in range(len(stop) - 1, 0, -1) if text.endswith(stop[:size])), 0)


class SpanStream:
    """As `TextStream`, for what is written in the place of sentinels: the whole text, once all of them are filled.

    A sentinel, and what follows it up to the next one, fills the place of that sentinel in `source`.
    """

    def __init__(self, tokenizer: Tokenizer, source: Sequence[int]):
        self.tokens: list[int] = []
        self.text = ""
        self.stopped = False
        self._tokenizer, self._source = tokenizer, source
        self._open = [token for token in source if token in tokenizer.sentinels]
        self._spans: dict[int, list[int]] = {token: [] for token in self._open}
        self._span: list[int] = []

    def add(self, token: int) -> str:
        self.tokens.append(token)
        if token in self._tokenizer.sentinels:
            self.stopped = all(self._spans.values()) and token not in self._spans
            self._span = self._spans.get(token, [])
        else:
            self._span.append(token)
        return self.end() if self.stopped else ""

    @property
    def spans(self) -> list[str]:
        """What was written for each sentinel of the source, in order."""
        return [self._tokenizer.decode(self._spans[token]) for token in self._open]

    def end(self) -> str:
        filled = [part for token in self._source for part in self._spans.get(token) or [token]]
        self.text = self._tokenizer.decode(filled)
        return self.text


def fillings(
    tokenizer: Tokenizer, source: Sequence[int], found: Decoded, first: int, count: int
) -> list[list[tuple[str, float]]]:
    """Of each sentinel of `source` what the rows from `first` on, `count` of them, wrote for it, likeliest first.

    With each text goes the probability of all the rows that wrote it: as rows differ, this is at most that of the text.
    """
    chances: list[dict[str, float]] = []
    for row in range(first, first + count):
        if found.status_B[row] in (Status.ENDED, Status.FULL):
            new = slice(found.prompt_lengths_B[row], found.lengths_B[row])
            stream = SpanStream(tokenizer, source)
            for token in found.ids_BS[row, new].tolist():
                stream.add(token)
            chances = chances or [{} for _ in stream.spans]
            chance = math.exp(found.logprobs_BS[row, new].sum())
            for of_text, text in zip(chances, stream.spans, strict=True):
                of_text[text] = of_text.get(text, 0.0) + chance
    return [sorted(of_text.items(), key=lambda pair: -pair[1]) for of_text in chances]
