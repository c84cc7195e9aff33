"""A question, a text, and the answer that stands in it (SQuAD, CMRC); a text too long for a row is read in windows."""

import bisect
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import UserError
from data.config import DataConfig
from data.forms.form import Example, Form, Pieces, filled
from data.tokenizer import Tokenizer

# Marks: an answer begins or ends at a token; the token is of the text; it stands behind the text.
BEGINS, ENDS, READ, BEHIND = 1, 2, 4, 8


@dataclasses.dataclass(frozen=True)
class Window:
    """A row of a question: the question, a separator, and as much of the text as there is room for.

    Attributes:
        tokens: all of them, behind what stands before a text ([CLS]).
        marks: of each token and of the end of text behind them, sums of BEGINS, ENDS, READ and BEHIND.
        before: how many tokens stand before those of the text.
        starts: the character of the text at which each of its tokens here begins, and the one at which the next does.
    """

    tokens: list[int]
    marks: list[int]
    before: int
    starts: list[int]


def check(values: Mapping[str, Any], data: DataConfig) -> Mapping[str, Any]:
    """The answers as a list, each with the character at which it begins; none: the text has no answer."""
    context, column = filled(values, "context", data), data.answers_field
    answers, starts = values["answers"], None
    if isinstance(answers, Mapping):
        answers, starts = answers.get("text"), answers.get("answer_start")
    answers = [] if answers in (None, "") else [answers] if isinstance(answers, str) else answers
    if not isinstance(answers, Sequence) or not all(isinstance(answer, str) and answer.strip() for answer in answers):
        raise UserError(
            f'"{column}" must be a text, a list of texts, or {{"text": [...], "answer_start": [...]}}; none of them empty'
        )
    if starts is None:
        starts = [context.find(answer) for answer in answers]
    if (
        not isinstance(starts, Sequence)
        or len(starts) != len(answers)
        or any(type(start) is not int for start in starts)
    ):
        raise UserError(f'"{column}": answer_start must have a whole number for each text')
    for answer, start in zip(answers, starts, strict=True):
        if start < 0 or context[start : start + len(answer)] != answer:
            at = context.find(answer)
            there = f"at {at}, and not at {start}" if at >= 0 else "nowhere"
            raise UserError(f'"{column}": {answer[:40]!r} stands {there} in "{data.context_field}"; mend one of them')
    question = filled(values, "question", data)
    return {"context": context, "question": question, "answers": list(answers), "starts": list(starts)}


def cut_windows(
    values: Mapping[str, Any], tokenizer: Tokenizer, sequence_length: int, stride: int | None
) -> tuple[list[Window], bool]:
    """The windows of an example, each shorter than a row; and whether its question was cut, to half a row.

    The first begins where the text does and each other `stride` tokens later (None: half a window; at most a whole one),
    until one holds the end. Where a window does not hold the whole of the (first) answer, nothing is marked in it, as if
    there were none (Devlin et al. 2018, arXiv:1810.04805, for SQuAD 2.0).

    Raises:
        UserError: a row has no room for the text.
    """
    whole = tokenizer.encode(values["question"])
    question = whole[: sequence_length // 2]
    head = [*question, *tokenizer.separator]
    room = sequence_length - 1 - len(head) - len(tokenizer.suffix)
    if room < 1:
        raise UserError(f"data.sequence_length={sequence_length} has no room for a text behind a question; raise it")
    tokens, starts = tokenizer.encode_with_offsets(values["context"])
    answer = _find(starts, values["starts"][0], values["answers"][0]) if values["answers"] and tokens else None
    step = min(stride or max(1, room // 2), room)
    windows = []
    for first in range(0, max(1, len(tokens) - room + step), step):
        last = min(first + room, len(tokens))
        marks = [0] * len(head) + [READ] * (last - first) + [BEHIND] * len(tokenizer.suffix) + [0]
        if answer is not None and first <= answer[0] and answer[1] < last:
            for token, mark in zip(answer, (BEGINS, ENDS), strict=True):
                marks[len(head) + token - first] += mark
        after = starts[last] if last < len(tokens) else len(values["context"])
        row = [*head, *tokens[first:last], *tokenizer.suffix]
        windows.append(Window(row, marks, len(head), [*starts[first:last], after]))
    return windows, len(question) < len(whole)


def _find(starts: Sequence[int], start: int, answer: str) -> tuple[int, int]:
    """The first and the last of the tokens that begin at `starts` which an answer from the character `start` on takes."""
    first = starts[max(0, bisect.bisect_right(starts, start) - 1)]
    return bisect.bisect_left(starts, first), max(0, bisect.bisect_left(starts, start + len(answer)) - 1)


def text_of(context: str, starts: Sequence[int], first: int, last: int) -> str:
    """What the tokens from `first` to `last` of a window stand for, counted from its first token of the text."""
    after = next((start for start in starts[last + 1 :] if start > starts[last]), starts[last] + 1)
    return context[starts[first] : after].strip()


def choose_answer(
    context: str,
    windows: Sequence[Window],
    first: Sequence[int],
    last: Sequence[int],
    score: Sequence[float],
    null: Sequence[float],
) -> tuple[str, float]:
    """The answer to a question, "" for none, and its probability, from the best span of each of its windows.

    That is the likeliest span of all windows unless no answer is likelier even in the window where that is least so.

    Args:
        first, last: places of each window's best span, counted from what stands before the window's tokens.
        score, null: log-probabilities of that span and of no answer, among those of the same window.
    """
    best = max(range(len(windows)), key=lambda number: score[number])
    if score[best] <= min(null):
        return "", math.exp(min(null))
    before = windows[best].before + 1
    answer = text_of(context, windows[best].starts, first[best] - before, last[best] - before)
    return answer, math.exp(score[best])


def encode(examples: Sequence[Example], tokenizer: Tokenizer, classes: Sequence[str], data: DataConfig) -> Pieces:
    """Each window as a document of its own, with its marks."""
    windows, owners, cut = [], [], 0
    for number, example in enumerate(examples):
        found, is_cut = cut_windows(example.values, tokenizer, data.sequence_length, data.window_stride)
        windows += found
        owners += [number] * len(found)
        cut += is_cut
    return Pieces([each.tokens for each in windows], marks=[each.marks for each in windows], cut=cut, owners=owners)


ANSWERS = Form(
    ("context", "question", "answers"),
    check,
    lambda values: f"{values['question']}\n{values['context']}",
    encode,
    key=lambda values: values["context"],
)
