"""From prompts in text to completions in text."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from common.errors import UserError, require
from data.tokenizer import Tokenizer
from generation.beam_search import Search, beam_search
from generation.config import GenerationConfig
from generation.decoder import generate
from generation.encoding import encode_prompts
from generation.method import method
from generation.predict import predict
from generation.prompts import EncodedPrompt
from generation.rows import WRONG, Decoded, Status
from generation.speculative import Draft, generate_speculatively
from generation.streams import SpanStream, TextStream, fillings
from model import TransformerConfig
from model.parameters import Params

STEPS = 16  # tokens between two looks for stop strings


@dataclasses.dataclass(frozen=True)
class Completion:
    """What a model made of a prompt.

    Attributes:
        text: what followed the prompt, without the stop string that ended it; of a prompt with masks or sentinels, the whole
            text with these filled.
        tokens, logprobs: of all that was generated, natural logarithms under the model's own distribution.
        finish_reason: "stop" (end of text, or a stop string; all masks filled) or "length".
        candidates: for each mask, the likeliest pieces and their probabilities among all that are text; with beams, for each
            sentinel what they wrote for it, see `streams.fillings`.
    """

    prompt: str
    text: str
    tokens: list[int]
    logprobs: list[float]
    finish_reason: str
    candidates: list[list[tuple[str, float]]] = dataclasses.field(default_factory=list)


def complete(
    params: Params,
    config: TransformerConfig,
    tokenizer: Tokenizer,
    prompts: Sequence[str | EncodedPrompt],
    generation: GenerationConfig,
    seed: int = 0,
    on_text: Callable[[int, str], None] | None = None,
    first: int = 0,
    draft: Draft | None = None,
) -> list[Completion]:
    """Continues each prompt until an end of text, a stop string, `max_new_tokens`, or the end of the model's context.

    An encoder fills the prompt's masks instead, and an encoder-decoder its sentinels, where it has some. `on_text(row, text)`
    is called at each step with the text that is certain now, which may be none. Where the prompts are part of a longer list,
    `first` is the first one's number there, so that each draws what it would draw whatever the batches are. A `draft`
    makes it faster, with the same distribution. With `best_of` and beams text is given to `on_text` once it is chosen.

    Returns:
        `generation.num_samples` completions of the first prompt, then those of the second, and so on; with `best_of`, or
        beams, best first.

    Raises:
        ConfigError: a prompt leaves no room in the context, or has nothing to fill; beams for a model that fills masks; a
            draft that does not fit, or with what has no use for it.
        UserError: the model gives no number, or no token is allowed.
    """
    if generation.best_of:
        return _best(params, config, tokenizer, prompts, generation, seed, on_text, first, draft)
    rows, sources = encode_prompts(prompts, config, tokenizer, generation.slide)
    check_use(draft, config, generation)
    if not rows:
        return []
    if config.network == "encoder":
        require(generation.beam == 1, "this model fills in each mask by itself: beam must be 1")
        return _fill_masks(params, config, tokenizer, prompts, rows, generation, seed, on_text, first)
    writers = [
        _Writer(_stream(tokenizer, generation.stop, row, source))
        for row, source in zip(rows, sources or [()] * len(rows), strict=True)
        for _ in range(generation.num_samples)
    ]
    spans = any(isinstance(writer.stream, SpanStream) for writer in writers)
    candidates: list[list[list[tuple[str, float]]]] = [[] for _ in prompts]
    how = method(generation, tokenizer, config.vocab_size)
    shared = {
        "max_new_tokens": generation.max_new_tokens,
        "sources": sources,
        "cache_dtype": None if generation.cache_dtype == "computed" else generation.cache_dtype,
    }
    if generation.beam > 1:
        search = Search(generation.beam, np.float32(generation.length_penalty), generation.early_stopping)
        over = functools.partial(_over, tokenizer, generation.stop, rows, sources) if generation.stop or spans else None
        shared |= {"stops": over, "poll": on_text and (lambda: on_text(0, ""))}
        kept = generation.beam if spans else generation.num_samples
        found, _ = beam_search(params, config, rows, how, search, best=kept, **shared)
        if spans:
            candidates = [
                fillings(tokenizer, source, found, place * kept, kept) for place, source in enumerate(sources)
            ]
        of_prompts = np.arange(len(rows) * kept).reshape(-1, kept)[:, : generation.num_samples]
        best = Decoded(*(each[of_prompts.ravel()] for each in found))
        few = (best.status_B == Status.NOTHING_ALLOWED).sum()
        if 0 < few < len(best.status_B):
            raise UserError(f"{few} of {len(best.status_B)} texts cannot be: {WRONG[Status.NOTHING_ALLOWED]} more")
        decodings = [best]
    else:
        shared |= {"seed": seed, "first_row": first * generation.num_samples, "samples": generation.num_samples}
        shared |= {"steps": 1 if on_text else STEPS if generation.stop or spans else None}
        if draft:
            propose = {"draft_tokens": min(generation.draft_tokens, generation.max_new_tokens)}
            decodings = generate_speculatively(params, config, draft, rows, how, **propose, **shared)
        else:
            decodings = generate(params, config, rows, how, sliding=generation.slide, **shared)
    for decoded in decodings:
        for row, writer in enumerate(writers):
            text = writer.take(decoded, row)
            if on_text:
                on_text(row, text)
        if all(writer.reason for writer in writers):
            break
    names = [prompt if isinstance(prompt, str) else prompt.text for prompt in prompts]
    asked = [pair for pair in zip(names, candidates, strict=True) for _ in range(generation.num_samples)]
    return [
        Completion(prompt, writer.stream.text, writer.stream.tokens, writer.logprobs, writer.reason, others)
        for (prompt, others), writer in zip(asked, writers, strict=True)
    ]


def _best(
    params: Params,
    config: TransformerConfig,
    tokenizer: Tokenizer,
    prompts: Sequence[str | EncodedPrompt],
    generation: GenerationConfig,
    seed: int,
    on_text: Callable[[int, str], None] | None,
    first: int,
    draft: Draft | None,
) -> list[Completion]:
    """Of `best_of` completions of each prompt the `num_samples` likeliest, a token at a time."""
    drawn = dataclasses.replace(generation, num_samples=generation.best_of, best_of=0)
    watch = on_text and (lambda row, _: on_text(row, ""))
    completions = complete(params, config, tokenizer, prompts, drawn, seed, watch, first, draft)
    groups = (completions[start : start + drawn.num_samples] for start in range(0, len(completions), drawn.num_samples))
    ranked = (sorted(group, key=lambda each: np.mean(each.logprobs), reverse=True) for group in groups)
    chosen = [completion for group in ranked for completion in group[: generation.num_samples]]
    if on_text:
        for row, completion in enumerate(chosen):
            on_text(row, completion.text)
    return chosen


def check_use(draft: Draft | None, config: TransformerConfig, generation: GenerationConfig) -> None:
    """Raises ConfigError where a draft, or sliding, means nothing to this model."""
    useful = config.network != "encoder" and generation.beam == 1 and not generation.slide
    require(draft is None or useful, "a draft is for models that write on, without beams and slide")
    require(config.network == "decoder" or not generation.slide, "slide is for decoder-only models")


def _stream(tokenizer: Tokenizer, stop: Sequence[str], prompt: Sequence[int], source: Sequence[int]):
    """What makes text of the tokens that follow a prompt, or that fill the sentinels of what an encoder read."""
    spans = set(source) & set(tokenizer.sentinels)
    require(not (spans and stop), "where sentinels are filled nothing is written on: stop means nothing there")
    return SpanStream(tokenizer, source) if spans else TextStream(tokenizer, stop, prompt)


def _over(
    tokenizer: Tokenizer,
    stop: Sequence[str],
    prompts: Sequence[Sequence[int]],
    sources: Sequence[Sequence[int]] | None,
    prompt: int,
    new: Sequence[int],
) -> bool:
    """Whether one of the stop strings stands in what follows a prompt, or all of its sentinels are filled."""
    stream = _stream(tokenizer, stop, prompts[prompt], sources[prompt] if sources else ())
    for token in new:
        stream.add(token)
    return stream.stopped


class _Writer:
    """One row's tokens as text, until it ends: then it has a `reason`."""

    def __init__(self, stream: TextStream | SpanStream):
        self.stream = stream
        self.logprobs: list[float] = []
        self.reason = ""

    def take(self, decoded: Decoded, row: int) -> str:
        """Takes what is new of a row; returns the text that is certain now.

        Raises:
            UserError: the row could not go on.
        """
        if self.reason:
            return ""
        status = Status(decoded.status_B[row])
        new = slice(decoded.prompt_lengths_B[row] + len(self.logprobs), decoded.lengths_B[row])
        tokens, logprobs = decoded.ids_BS[row, new].tolist(), decoded.logprobs_BS[row, new].tolist()
        text = ""
        for place, (token, logprob) in enumerate(zip(tokens, logprobs, strict=True), 1):
            self.logprobs.append(logprob)
            if status == Status.ENDED and place == len(tokens):
                self.stream.tokens.append(token)
                self.reason = "stop"
                return text + self.stream.end()
            text += self.stream.add(token)
            if self.stream.stopped:
                self.reason = "stop"
                return text
        if status in WRONG:
            raise UserError(WRONG[status])
        if status == Status.FULL:
            self.reason = "length"
            text += self.stream.end()
        return text


def _fill_masks(
    params: Params,
    config: TransformerConfig,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    rows: Sequence[Sequence[int]],
    generation: GenerationConfig,
    seed: int,
    on_text: Callable[[int, str], None] | None,
    first: int,
) -> list[Completion]:
    """All masks of a text at once, each as if it were alone."""
    is_text = np.zeros(config.vocab_size, bool)
    is_text[: tokenizer.vocab_size] = tokenizer.is_text
    repeated = [(prompt, row) for prompt, row in zip(prompts, rows, strict=True) for _ in range(generation.num_samples)]
    chosen, logprobs, wrong, likeliest, probabilities = predict(
        params,
        config,
        [row for _, row in repeated],
        method(generation, tokenizer, config.vocab_size, is_text),
        is_text,
        seed,
        first * generation.num_samples,
    )
    completions = []
    for row, (prompt, tokens) in enumerate(repeated):
        (masks,) = np.nonzero(np.array(tokens) == tokenizer.mask)
        for status in wrong[row, masks]:
            if status in WRONG:
                raise UserError(WRONG[status])
        filled = np.array(tokens)
        filled[masks] = chosen[row, masks]
        candidates = [
            [
                (tokenizer.decode([token]), float(probability))
                for token, probability in zip(likeliest[row, mask], probabilities[row, mask], strict=True)
            ]
            for mask in masks
        ]
        text = tokenizer.decode(filled)
        if on_text:
            on_text(row, text)
        values = logprobs[row, masks].tolist()
        completions.append(Completion(prompt, text, filled[masks].tolist(), values, "stop", candidates))
    return completions
