"""From prompts in text to completions in text."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from common.errors import ConfigError, UserError, require
from data.tokenizer import Tokenizer
from generation.decoder import generate, predict
from generation.sampling import SamplingConfig
from generation.streams import SpanStream, TextStream
from model import TransformerConfig

NOT_FINITE = "the model gives no finite probabilities (NaN or infinity in its parameters)"


@dataclasses.dataclass(frozen=True)
class Completion:
    """What a model made of a prompt.

    Attributes:
        text: what followed the prompt, without the stop string that ended it; of a prompt with masks or sentinels, the whole
            text with these filled.
        tokens, logprobs: of all that was generated, natural logarithms under the model's own distribution.
        finish_reason: "stop" (end of text, or a stop string; all masks filled) or "length".
        candidates: for each mask, the likeliest pieces and their probabilities.
    """

    prompt: str
    text: str
    tokens: list[int]
    logprobs: list[float]
    finish_reason: str
    candidates: list[list[tuple[str, float]]] = dataclasses.field(default_factory=list)


def encode_prompts(
    prompts: Sequence[str], config: TransformerConfig, tokenizer: Tokenizer
) -> tuple[list[list[int]], list[list[int]] | None]:
    """Token ids with which each text begins, and those that an encoder reads first (None where there is none).

    The tokenizer knows what stands before and after a text; what an encoder-decoder reads ends with end-of-text.

    Raises:
        ConfigError: a prompt leaves no room in the context, or has no mask where a network can only fill masks.
    """
    require(config.head != "none", "this model has no head: it gives vectors, not text")
    texts = [tokenizer.encode(prompt) for prompt in prompts]
    suffix = tokenizer.suffix if config.network == "encoder" else ()
    rows = [[*tokenizer.prefix, *text, *suffix] or [tokenizer.end_of_text] for text in texts]
    longest, most = max(map(len, texts), default=0), config.max_length - max(1, len(tokenizer.prefix) + len(suffix))
    if longest > most:
        raise ConfigError(f"a prompt of {longest} tokens is too long: this model reads {most}; shorten it")
    if config.network == "encoder-decoder":
        return [[tokenizer.decoder_start] for _ in texts], [[*text, tokenizer.end_of_text] for text in texts]
    if config.network == "encoder":
        mask = "[MASK]" if tokenizer.mask is None else tokenizer.piece(tokenizer.mask)
        require(
            all(tokenizer.mask in text for text in texts),
            f"this model fills in what is masked: the prompt must hold {mask}",
        )
    return rows, None


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

    An encoder fills the prompt's masks instead, and an encoder-decoder its sentinels, where it has some. `on_text(row, text)`
    is called with each piece of text as soon as it is certain.

    Raises:
        ConfigError: a prompt leaves no room in the context, or has nothing to fill.
        UserError: the model gives no number.
    """
    rows, sources = encode_prompts(prompts, config, tokenizer)
    if not rows:
        return []
    allowed = np.arange(config.vocab_size) < tokenizer.vocab_size
    if tokenizer.unknown is not None:
        allowed[tokenizer.unknown] = False
    if config.network == "encoder":
        return _fill_masks(params, config, tokenizer, prompts, rows, sampling, seed, allowed, on_text)
    room = config.max_length - max(map(len, rows)) + 1
    streams = [
        SpanStream(tokenizer, source) if set(source) & set(tokenizer.sentinels) else TextStream(tokenizer, stop, row)
        for row, source in zip(rows, sources or rows, strict=True)
    ]
    logprobs: list[list[float]] = [[] for _ in rows]
    ended = [False] * len(rows)
    decoded = generate(params, config, rows, min(max_new_tokens, room), sampling, seed, allowed, sources)
    for tokens, values in decoded:
        if not np.isfinite(values).all():
            raise UserError(NOT_FINITE)
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


def _fill_masks(
    params,
    config,
    tokenizer: Tokenizer,
    prompts,
    rows,
    sampling: SamplingConfig,
    seed: int,
    allowed: np.ndarray,
    on_text,
) -> list[Completion]:
    """All masks of a text at once, each as if it were alone."""
    is_text = np.zeros_like(allowed)
    is_text[: tokenizer.vocab_size] = tokenizer.is_text
    chosen, logprobs, likeliest, probabilities = predict(params, config, rows, sampling, seed, allowed & is_text)
    if not np.isfinite(logprobs).all():
        raise UserError(NOT_FINITE)
    completions = []
    for row, (prompt, tokens) in enumerate(zip(prompts, rows, strict=True)):
        (masks,) = np.nonzero(np.array(tokens) == tokenizer.mask)
        filled = np.array(tokens)
        filled[masks] = chosen[row, masks]
        candidates = [
            [
                (tokenizer.decode([token]), float(probability))
                for token, probability in zip(likeliest[row, mask], probabilities[row, mask], strict=True)
            ]
            for mask in masks
        ]
        values = logprobs[row, masks].tolist()
        text = tokenizer.decode(filled)
        on_text(row, text)
        completions.append(Completion(prompt, text, filled[masks].tolist(), values, "stop", candidates))
    return completions
