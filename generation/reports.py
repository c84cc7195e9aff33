"""What `sample.py` prints: completions and scores on stdout, for people or for programs, and how fast it went on stderr."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from common.files import to_json

if TYPE_CHECKING:  # they wait for JAX
    from data.tokenizer import Tokenizer
    from generation.completion import Completion
    from generation.scoring import Score


def tell(message: object) -> None:
    print(message, file=sys.stderr)


def print_json(fields: dict[str, Any]) -> None:
    print(to_json(fields), flush=True)


def print_completions(completions: Sequence[Completion], as_json: bool, written: bool = False) -> None:
    """The completions of one prompt; `written`: the text of the only one is there already."""
    if as_json:
        for completion in completions:
            fields = dataclasses.asdict(completion)
            if not completion.candidates:  # only what fills a text has some
                del fields["candidates"]
            print_json(fields)
        return
    print("" if written else "\n---\n".join(completion.text for completion in completions), flush=True)
    for number, candidates in enumerate(completions[0].candidates, 1):
        likeliest = ", ".join(f"{piece!r} {chance:.0%}" for piece, chance in candidates)
        print(f"    gap {number}: {likeliest}", flush=True)


def print_score(score: Score, tokenizer: Tokenizer, as_json: bool) -> None:
    """The log-probability of a text, and of each of its tokens."""
    pieces = [show_token(token, tokenizer) for token in score.tokens]
    total = sum(score.logprobs)
    if as_json:
        numbers = {"logprob": total, "tokens": score.tokens, "pieces": pieces, "logprobs": score.logprobs}
        print_json({"prompt": score.prompt, "text": score.text, **numbers})
        return
    print(f"{total:.4f}  {score.text!r} after {score.prompt!r}")
    for piece, logprob in zip(pieces, score.logprobs, strict=True):
        print(f"{logprob:12.4f}  {piece!r}", flush=True)


def print_perplexity(name: str, score: Score, as_json: bool) -> None:
    numbers = {"perplexity": score.perplexity, "bits_per_byte": score.bits_per_byte}
    size = {"tokens": len(score.tokens), "bytes": len(score.text.encode())}
    if as_json:
        print_json({"file": name, **numbers, **size})
    else:
        print("perplexity {perplexity:.2f}, {bits_per_byte:.3f} bits a byte".format(**numbers), end=" ")
        print("({tokens:,} tokens, {bytes:,} bytes)".format(**size), flush=True)


def show_token(token: int, tokenizer: Tokenizer) -> str:
    """A token's text; its name in the vocabulary where it has none, or is part of a character."""
    text = tokenizer.decode([token])
    return tokenizer.piece(token) if not text or "\ufffd" in text else text


class Pace:
    """How fast tokens come. Where each step is noted by `tick`, the first one, which waits for compilers, is told apart."""

    def __init__(self):
        self._tokens, self._seconds = 0, 0.0
        self._first: float | None = None
        self._paces: list[float] = []  # seconds a token, of each step after a prompt's first

    def begin(self) -> None:
        self._times = [time.monotonic()]

    def tick(self) -> None:
        self._times.append(time.monotonic())

    def end(self, tokens: int) -> None:
        """The prompt that was begun has got so many tokens."""
        begin, *ticks = self._times
        self._tokens += tokens
        self._seconds += time.monotonic() - begin
        if len(ticks) > 1:
            self._first = self._first or ticks[0] - begin
            self._paces += [(after - before) * len(ticks) / tokens for before, after in itertools.pairwise(ticks)]

    def __str__(self) -> str:
        tokens = f"{self._tokens:,} token" + "s" * (self._tokens != 1)
        if self._first is None:
            return f"{tokens} in {self._seconds:.2f} s, {_rate(self._tokens / self._seconds)}, compiling included"
        return (
            f"{tokens}, the first after {self._first:.2f} s, then {_rate(1 / statistics.median(self._paces))} (median)"
        )


def _rate(tokens: float) -> str:
    """Tokens a second, with a digit behind the point where there are few."""
    return f"{tokens:,.{0 if tokens >= 10 else 1}f} tokens/s"
