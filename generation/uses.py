"""What a model can be asked, by the task that its run has learned: a table that `sample.py` reads."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from common.errors import ConfigError, check_choice, require

CONTINUE = "continue"
OF_TEXT = ("draft", "score", "perplexity", "stride")


class Use(NamedTuple):
    names: tuple[str, ...]  # what a user calls it, for --task
    does: str  # what the model does, for messages
    flags: tuple[str, ...] = ()  # those of `SPECIAL` that mean something


USES = {
    "causal_lm": Use((CONTINUE,), "goes on with a text", OF_TEXT),
    "prefix_lm": Use((CONTINUE,), "goes on with a text", OF_TEXT),
    "masked_lm": Use(("fill",), "fills in what is masked"),
    "span_corruption": Use(("fill",), "fills in what a sentinel such as <extra_id_0> stands for", ("draft", "score")),
    "seq2seq": Use(("translate", "summarize"), "writes a target for a source", OF_TEXT),
    "chat": Use(("chat", CONTINUE), "answers what a user says", ("system", *OF_TEXT)),
    "dpo": Use(("chat", CONTINUE), "answers what a user says", ("system", *OF_TEXT)),
    "classification": Use(("classify",), "gives a text its class"),
    "multilabel": Use(("classify",), "gives a text its classes"),
    "regression": Use(("grade",), "gives a text a number"),
    "token_classification": Use(("tag",), "gives each word of a text its label"),
    "question_answering": Use(("answer",), "finds answers in a text", ("context",)),
}
SPECIAL = ("context", "system", *OF_TEXT)  # flags that mean nothing to some
NAMES = tuple(dict.fromkeys(name for use in USES.values() for name in use.names))


def check_name(name: str) -> None:
    """Raises ConfigError unless `name` is one for --task: what a user calls it, or a run's own task."""
    check_choice({*NAMES, *USES}, name, "--task")


def check_use(ckpt: str, learned: str, asked: str | None, flags: Collection[str]) -> None:
    """Refuses what a run that has `learned` this task cannot be asked.

    Args:
        asked: as what it is used; None: as what it is.
        flags: those that are given.

    Raises:
        ConfigError: the message says what the run can do.
    """
    use = USES[learned]
    can = f"{ckpt} has learned {learned}: it {use.does}"
    if asked is not None and asked not in (*use.names, learned):
        others = [name for name, other in USES.items() if asked in (*other.names, name)]
        raise ConfigError(f"{can} (--task {' or '.join(use.names)}); --task {asked} is for {' or '.join(others)}")
    for flag in SPECIAL:
        if flag in flags and flag not in use.flags:
            others = [name for name, other in USES.items() if flag in other.flags]
            raise ConfigError(f"{can}; --{flag} is for {', '.join(others)}")
    require(asked != CONTINUE or "system" not in flags, f"--system means nothing with --task {CONTINUE}")
    require(
        "context" not in use.flags or "context" in flags,
        f"{can}; name that with --context, a text or a file, and ask with --prompt",
    )
