"""What an encoder that has learned question_answering takes for the answer to a question, in a text of any length."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import numpy as np

from common.errors import ConfigError, UserError, require
from data.forms.answers import BEHIND, READ, Window, choose_answer, cut_windows
from data.tokenizer import Tokenizer
from generation.completion import WRONG
from generation.network import apply
from generation.rows import Status
from generation.sizes import pad, round_up
from metrics import best_spans
from model import Tokens, TransformerConfig
from model.parameters import Params
from tasks.places import opening_token

ROWS = 16  # windows that are read at once


@dataclasses.dataclass(frozen=True)
class Answer:
    """What stands in the text for an answer; "": there is none. `probability`: of that, in its window."""

    question: str
    text: str
    probability: float


@functools.partial(jax.jit, static_argnames="config")
def _logits(params: Params, tokens: Tokens, *, config: TransformerConfig) -> jax.Array:
    return apply(params, config, tokens).logits_BTV


def answer_questions(
    params: Params,
    config: TransformerConfig,
    tokenizer: Tokenizer,
    questions: Sequence[str],
    context: str,
    sequence_length: int | None = None,
    stride: int | None = None,
) -> list[Answer]:
    """The likeliest span of the text for each question, over all windows of `sequence_length` tokens (None: the model's most).

    Raises:
        ConfigError: a question or the text is empty; the model has not learned to answer so.
        UserError: a window has no room for the text; the model gives NaN or infinity.
    """
    is_fit = config.network == "encoder" and config.head == "classes" and config.num_classes == 2
    require(is_fit, "this model does not answer questions; --context is for what has learned question_answering")
    require(bool(context.strip()), "--context holds no text; give one, or a file with one")
    answers = []
    for question in questions:
        if not question.strip():
            raise ConfigError("--prompt is empty; ask something")
        values = {"context": context, "question": question, "answers": []}
        windows, _ = cut_windows(values, tokenizer, sequence_length or config.max_length, stride)
        logits = [
            logits
            for start in range(0, len(windows), ROWS)
            for logits in _read(params, config, tokenizer, windows[start : start + ROWS])
        ]
        marks = np.concatenate([[0, *window.marks[:-1]] for window in windows])
        first = np.concatenate([np.arange(len(each)) == 0 for each in logits])
        spans = best_spans(*np.concatenate(logits).T, first, (marks & READ) > 0)
        answers.append(Answer(question, *choose_answer(context, windows, *spans)))
    return answers


def _read(
    params: Params, config: TransformerConfig, tokenizer: Tokenizer, windows: Sequence[Window]
) -> list[np.ndarray]:
    """The logits at each place of each window, what stands before its text counted: float32 [places, 2]."""
    before = opening_token(tokenizer, config.network)
    rows = [[before, *window.tokens] for window in windows]
    blank = [[before]] * (round_up(len(rows), 1) - len(rows))
    tokens = pad([*rows, *blank], config.max_length)
    if config.num_token_types > 1:
        types = np.zeros(tokens.ids.shape, np.int32)
        for row, window in zip(types, windows, strict=False):
            row[: len(window.marks)] = (np.array([0, *window.marks[:-1]]) & (READ + BEHIND)) > 0
        tokens = tokens.replace(types=types)
    logits = np.asarray(_logits(params, tokens, config=config))
    if not np.isfinite(logits).all():
        raise UserError(WRONG[Status.NOT_FINITE])
    return [each[: len(row)] for each, row in zip(logits, rows, strict=False)]
