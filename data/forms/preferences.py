"""A prompt with two answers, of which people like one better."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import UserError, require
from data.builtin import read_builtin_dialogues
from data.chat_template import ChatTemplate, Message, keep_newest, tokens_and_marks
from data.config import DataConfig
from data.document import Document
from data.forms.form import Example, Form, Pieces, filled
from data.forms.messages import check_answer, read_messages
from data.tokenizer import Tokenizer

CHOSEN, REJECTED, END = 1, 2, 4  # marks: of an answer's tokens, and of the last target of the first text


def check(values: Mapping[str, Any], data: DataConfig) -> Mapping[str, Any]:
    """The prompt as messages, the answers as texts.

    A prompt is what a user says, or a list of messages; an answer is a text, or a list of one message of the assistant.
    """
    template, prompt = ChatTemplate.parse(data.chat_template), values["prompt"]
    if isinstance(prompt, list):
        prompt = read_messages(prompt, data.prompt_field, template)
    else:
        prompt = (Message("user", filled(values, "prompt", data)),)
    answers = {name: _answer(values, name, template, data) for name in ("chosen", "rejected")}
    if answers["chosen"] == answers["rejected"]:
        raise UserError(f'"{data.chosen_field}" and "{data.rejected_field}" are the same; there is nothing to prefer')
    return {"prompt": prompt, **answers, "text": template.render([*prompt, Message("assistant", answers["chosen"])])}


def _answer(values: Mapping[str, Any], name: str, template: ChatTemplate, data: DataConfig) -> str:
    column, value = getattr(data, f"{name}_field"), values[name]
    if isinstance(value, list):
        messages = read_messages(value, column, template)
        if [message.role for message in messages] != ["assistant"]:
            raise UserError(
                f'"{column}" must be a text, or one message of the assistant; what stands before is the prompt'
            )
        value = messages[0].content
    answer = filled({name: value}, name, data)
    check_answer(answer, f'"{column}"', template)
    return answer


def encode(examples: Sequence[Example], tokenizer: Tokenizer, classes: Sequence[str], data: DataConfig) -> Pieces:
    """Both texts of a pair as one document: prompt, chosen answer, end of text, prompt, rejected answer.

    The marks are CHOSEN and REJECTED where these answers stand, each with the end of text behind it, and END is added where
    the first text ends. Of a pair that is longer than a row the oldest turns of the prompt go, then the beginning of what is
    left of it, then the ends of the answers. The labels, float32 [pairs, 2], are the log-probabilities of the two answers
    under a reference; they are 0 until it is asked.
    """
    template, length = ChatTemplate.parse(data.chat_template), data.sequence_length
    require(length >= 8, f"data.sequence_length={length} is too short for two texts; set 8 or more")
    dialogues = [
        [*example.values["prompt"], Message("assistant", example.values[name])]
        for example in examples
        for name in ("chosen", "rejected")
    ]
    encoded = iter(template.encode(dialogues, tokenizer))
    all_tokens, all_marks, cut = [], [], 0
    for (*turns, chosen), (*_, rejected) in zip(encoded, encoded, strict=True):
        ends = 0 if template.ending else 1
        answers = [answer.learned[: len(answer.learned) - ends] for answer in (chosen, rejected)]
        room = (length - sum(map(len, answers)) - 2) // 2 - len(chosen.given)
        prompt = tokens_and_marks(keep_newest(turns, room))[0] + chosen.given
        is_cut = len(prompt) < sum(turn.size for turn in turns) + len(chosen.given)
        if 2 * len(prompt) + sum(map(len, answers)) + 2 > length:
            half, is_cut = length // 2, True
            prompt = prompt[-max(half - 1 - max(map(len, answers)), half // 2) :]
            whole, answers = answers, [answer[: half - 1 - len(prompt)] for answer in answers]
        else:
            whole = answers
        tokens, marks = [], []
        for answer, uncut, mark in zip(answers, whole, (CHOSEN, REJECTED), strict=True):
            tokens += [*prompt, *answer, tokenizer.end_of_text]
            marks += [0] * len(prompt) + [mark] * len(answer) + [mark if answer == uncut else 0]
        marks[len(prompt) + len(answers[0])] |= END
        all_tokens.append(tokens[:-1])
        all_marks.append(marks)
        cut += is_cut
    return Pieces(all_tokens, np.zeros((len(examples), 2), np.float32), all_marks, cut)


def builtin(source: str, data: DataConfig) -> Iterator[tuple[Document, Mapping[str, Any]]]:
    """Of each dialogue of `builtin:chat` its first answer, and in its place the answer to another question in that language."""
    _, _, language = source.partition("/")
    for name in [language] if language else ["english", "chinese"]:
        dialogues = [each for each in read_builtin_dialogues(f"builtin:chat/{name}") if len(each[1]) > 1]
        others = [turns[1] for _, turns in dialogues]
        random.Random(0).shuffle(others)
        for (document, (question, answer, *_)), other in zip(dialogues, others, strict=True):
            if answer != other:
                pair = {"prompt": question, "chosen": answer, "rejected": other}
                yield Document(document.text, source, document.key), pair


PREFERENCES = Form(
    ("prompt", "chosen", "rejected"),
    check,
    lambda values: values["text"],
    encode,
    builtin=builtin,
    key=lambda values: "\n".join(message.content for message in values["prompt"]),
)
