"""Many texts answered by a model that has learned pairs: a translation of each, say."""

import dataclasses
from collections.abc import Callable, Sequence

from common.command import Say
from common.errors import require
from data.config import DataConfig
from data.forms.pairs import fit_prompts, put_into_prompt
from data.tokenizer import Tokenizer
from generation.completion import complete
from generation.config import GenerationConfig
from model import TransformerConfig
from model.parameters import Params, split_layers

GREEDY = GenerationConfig(temperature=0.0)


def write_targets(
    params: Params,
    config: TransformerConfig,
    tokenizer: Tokenizer,
    data: DataConfig,
    sources: Sequence[str],
    say: Say,
    tell: Callable[[int, int], None],
    beam: int = 1,
    max_new_tokens: int | None = None,
    batch_size: int = 32,
) -> list[str]:
    """What the model writes for each source, in their order: the likeliest token each time, or the likeliest text of beams.

    A source that is too long for the context is cut at its end, as in training.

    Args:
        say: told how many sources are cut, and how many answers.
        tell: told how far it is: sources done, and how many there are.
        max_new_tokens: None: 64, or half the context where that is less.

    Raises:
        ConfigError: `max_new_tokens` leaves no room for a prompt.
    """
    most = min(GREEDY.max_new_tokens, config.max_length // 2) if max_new_tokens is None else max_new_tokens
    around = len(tokenizer.prefix) + most if config.network == "decoder" else 1  # what stands beside a prompt
    room, words = config.max_length - around, len(tokenizer.encode(put_into_prompt("", data)))
    require(
        room > words,
        f"max_new_tokens={most} leaves no room for a source: this model takes {config.max_length} tokens, {words} of them "
        "the words of data.prompt",
    )
    generation = dataclasses.replace(GREEDY, beam=beam, max_new_tokens=most)
    prompts, tokens, cut = fit_prompts(sources, [room] * len(sources), tokenizer, data)
    if any(cut):
        say(f"{sum(cut):,} of {len(cut):,} sources are cut to {room} tokens")
    params, texts, full = split_layers(params), [""] * len(sources), 0
    order = sorted(range(len(sources)), key=lambda index: len(tokens[index]))  # so that a batch has like lengths
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        completions = complete(params, config, tokenizer, [prompts[index] for index in batch], generation)
        for index, completion in zip(batch, completions, strict=True):
            texts[index] = completion.text
            full += completion.finish_reason == "length"
        tell(start + len(batch), len(order))
    if full:
        say(f"{full:,} of {len(order):,} answers do not end within max_new_tokens={most}, and are cut there")
    return texts
