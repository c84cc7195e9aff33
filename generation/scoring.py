"""How likely given texts are: log-probabilities of continuations, and of texts longer than the context."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence

import jax
import numpy as np

from common.errors import UserError, require
from data.tokenizer import Tokenizer
from generation.asking import Asking
from generation.encoding import encode_prompts
from generation.network import apply
from generation.prompts import TooLong
from generation.rows import WRONG, Status, token_logprobs
from generation.sizes import pad, round_up
from metrics import bits_per_byte, perplexity
from model import Tokens, TransformerConfig
from model.parameters import Params

TOKENS = 2048  # read at once, padding included: each needs a row of logits


@dataclasses.dataclass(frozen=True)
class Score:
    """How likely a text is after a prompt.

    Attributes:
        tokens, logprobs: those of `text`, natural logarithms, each given all that stands before it.
    """

    prompt: str
    text: str
    tokens: list[int]
    logprobs: list[float]

    @property
    def perplexity(self) -> float:
        """exp of the mean of -logprobs: it depends on the tokenizer."""
        return perplexity(-float(np.mean(self.logprobs)))

    @property
    def bits_per_byte(self) -> float:
        """Bits for each byte of the text in UTF-8, whatever the tokenizer."""
        return bits_per_byte(-float(np.sum(self.logprobs)), len(self.text.encode()))


@functools.partial(jax.jit, static_argnames="config")
def _logprobs(
    params: Params, tokens: Tokens, labels_BT: jax.Array, source: Tokens | None, *, config: TransformerConfig
) -> jax.Array:
    """Of each label, what follows the token in its place: float32 [B, T]."""
    return token_logprobs(apply(params, config, tokens, source).logits_BTV, labels_BT)


def score(
    params: Params,
    config: TransformerConfig,
    prompts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[int]],
    sources: Sequence[Sequence[int]] | None = None,
) -> list[np.ndarray]:
    """Log-probabilities of the tokens of each continuation, given its prompt and those before it.

    Each text is read in one pass, many at once, padded to few sizes.

    Args:
        params: as trained, or as `split_layers` gives them.
        prompts, continuations: at least one token each; one together with the other has at most `config.max_length` + 1,
            since nothing follows the last one.
        sources: token ids for the encoder, one text for each prompt, where there is an encoder.

    Returns:
        natural logarithms, float32 [tokens of the continuation] each.

    Raises:
        TooLong: a text is.
        ConfigError: the network gives no probabilities of what comes next.
        UserError: the network gives NaN or infinity.
    """
    require(config.network != "encoder" and config.gives_tokens, "this model gives no probabilities of what comes next")
    texts = [[*prompt, *continuation] for prompt, continuation in zip(prompts, continuations, strict=True)]
    sources = [()] * len(texts) if sources is None else sources
    lengths = [max(len(text) - 1, len(source)) for text, source in zip(texts, sources, strict=True)]
    longest = max(lengths, default=0)
    if longest > config.max_length:
        raise TooLong(
            f"prompt and continuation take {longest} tokens, and this model reads {config.max_length}; shorten them",
            lengths.index(longest),
        )

    def sizes(row: int) -> tuple[int, int]:
        return min(round_up(len(texts[row]) - 1), config.max_length), round_up(len(sources[row]))

    results: list[np.ndarray] = [np.zeros(0, np.float32)] * len(texts)
    for size, group in itertools.groupby(sorted(range(len(texts)), key=sizes), sizes):
        alike = list(group)
        most = 1 << (max(1, TOKENS // max(size)).bit_length() - 1)  # rows, a power of two
        for rows in (alike[start : start + most] for start in range(0, len(alike), most)):
            filled = np.resize(rows, round_up(len(rows), 1))  # the first ones once more
            tokens = pad([texts[row][:-1] for row in filled], config.max_length)
            labels = pad([texts[row][1:] for row in filled], config.max_length).ids
            source = pad([sources[row] for row in filled], config.max_length) if config.encoder_layers else None
            if config.bidirectional_prefix:
                starts = np.array([len(prompts[row]) for row in filled])
                tokens = tokens.replace(prefix=tokens.positions < starts[:, None])
            logprobs = np.asarray(_logprobs(params, tokens, labels, source, config=config))
            for row, line in zip(rows, logprobs, strict=False):
                results[row] = line[len(prompts[row]) - 1 : len(texts[row]) - 1]
                if not np.isfinite(results[row]).all():
                    raise UserError(WRONG[Status.NOT_FINITE])
    return results


def score_long(
    params: Params,
    config: TransformerConfig,
    tokens: Sequence[int],
    window: int | None = None,
    stride: int | None = None,
) -> np.ndarray:
    """Log-probabilities of all tokens of a text but the first, however long it is, by a window that moves over it.

    The window reads `window` tokens at a time (None: `config.max_length`); the first scores all that it can, and each
    later one, `stride` tokens further (None: half a window), those that are new to it, so that each has more than
    `window - stride` tokens before it. A short stride costs more and comes closer to a context without end.

    Returns:
        natural logarithms, float32 [N - 1].

    Raises:
        ConfigError: as `score`, or the window does not fit the context, or the stride the window.
    """
    require(config.network == "decoder", "the perplexity of a text needs a decoder-only model")
    window = config.max_length if window is None else window
    require(1 <= window <= config.max_length, f"window={window} must be from 1 to the context's {config.max_length}")
    stride = max(1, window // 2) if stride is None else stride
    require(1 <= stride <= window, f"stride={stride} must be from 1 to window={window}")
    ends = [*range(min(window + 1, len(tokens)), len(tokens), stride), len(tokens)]
    begins = [1, *ends[:-1]]  # of what is scored; the window itself begins at the first token that it has room for
    prompts = [tokens[max(0, end - window - 1) : begin] for begin, end in zip(begins, ends, strict=True)]
    continuations = [tokens[begin:end] for begin, end in zip(begins, ends, strict=True)]
    return np.concatenate(score(params, config, prompts, continuations))


def score_continuations(
    params: Params,
    config: TransformerConfig,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    continuations: Sequence[str],
    asking: Asking | None = None,
) -> list[Score]:
    """How likely each continuation is after its prompt.

    A decoder reads both as one text, encoded together, as it has learned to: "New Y" + "ork" are the tokens of "New York".
    Scored are the tokens from the first one on that the prompt alone does not have (one that reaches across the boundary
    counts to the continuation). What stands before a text is as in `encode_prompts`; if there were nothing, an
    end-of-text. Where the model has learned to answer, or an encoder reads the prompt, the continuation is a text of its own,
    with its own tokens. An end of text is not scored.

    Args:
        asking: how the model is asked; None: the prompt goes on as it is.

    Raises:
        TooLong, ConfigError: as `score`, or a continuation has no tokens.
    """
    require(config.network != "encoder", "this model fills in what is masked: it cannot score continuations")
    asking = asking or Asking()
    if asking.answers or config.network == "encoder-decoder":
        asked = [asking.prompt(prompt) for prompt in prompts]
        starts, sources = encode_prompts(asked, config, tokenizer)
        scored = [tokenizer.encode(continuation) for continuation in continuations]
    else:
        starts, scored, sources = [], [], None
        for prompt, continuation in zip(prompts, continuations, strict=True):
            whole = tokenizer.encode(prompt + continuation)
            pairs = itertools.takewhile(
                lambda pair: pair[0] == pair[1], zip(tokenizer.encode(prompt), whole, strict=False)
            )
            shared = len(list(pairs))
            starts.append([*tokenizer.prefix, *whole[:shared]] or [tokenizer.end_of_text])
            scored.append(whole[shared:])
    for continuation, tokens in zip(continuations, scored, strict=True):
        require(bool(tokens), f"there is nothing to score: the continuation {continuation!r} has no tokens")
    logprobs = score(params, config, starts, scored, sources)
    return [
        Score(*texts, tokens, values.tolist())
        for *texts, tokens, values in zip(prompts, continuations, scored, logprobs, strict=True)
    ]


def score_text(
    params: Params,
    config: TransformerConfig,
    tokenizer: Tokenizer,
    text: str,
    window: int | None = None,
    stride: int | None = None,
) -> Score:
    """How likely a text is, of any length, as `score_long` does it: all its tokens, after what stands before a text.

    That is the tokenizer's prefix, if there is one, or an end-of-text; only the first window sees it.

    Raises:
        ConfigError: as `score_long`, or the text has no tokens.
    """
    tokens = tokenizer.encode(text)
    require(bool(tokens), f"there is nothing to score: the text {text!r} has no tokens")
    before = list(tokenizer.prefix) or [tokenizer.end_of_text]
    logprobs = score_long(params, config, [*before, *tokens], window, stride)
    return Score("", text, tokens, logprobs[len(before) - 1 :].tolist())
