"""A dialogue: messages of a system, a user and an assistant, whose answers are learned."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from common.errors import UserError, nearest
from data.builtin import read_builtin_dialogues
from data.chat_template import ROLES, ChatTemplate, Message, keep_newest, tokens_and_marks
from data.config import DataConfig
from data.document import Document
from data.forms.form import Example, Form, Pieces
from data.readers import check_text, kind_of, name_some
from data.tokenizer import Tokenizer


def read_messages(value: Any, column: str, template: ChatTemplate) -> tuple[Message, ...]:
    """The messages of a list of {"role": …, "content": …}.

    Raises:
        UserError: it is none, or empty; a role that is not known; a content that is no text; an answer that holds what ends
            answers.
    """
    if not isinstance(value, list):
        kind = kind_of(value)
        raise UserError(f'"{column}" is {kind}, not a list of {{"role": …, "content": …}}')
    if not value:
        raise UserError(f'"{column}" is an empty list; give each row its messages')
    messages = []
    for number, each in enumerate(value, 1):
        where = f'"{column}", message {number}'
        if not isinstance(each, Mapping) or "role" not in each or "content" not in each:
            there = f", and has only {name_some(each)}" if isinstance(each, Mapping) else f", not {kind_of(each)}"
            raise UserError(f'{where} must be {{"role": …, "content": …}}{there}')
        role = each["role"]
        if role not in ROLES:
            raise UserError(f"{where}: the role {role!r} is none of {', '.join(ROLES)}{nearest(str(role), ROLES)}")
        try:
            messages.append(Message(role, check_text(each["content"], "content")))
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        if role == "assistant" and not each["content"].strip():
            raise UserError(f"{where}: the answer is empty; there is nothing to learn")
        if role == "assistant":
            check_answer(each["content"], where, template)
    return tuple(messages)


def check_answer(content: str, where: str, template: ChatTemplate) -> None:
    """Raises UserError where generation would take a part of this answer for its end."""
    if template.ending and template.ending in content:
        raise UserError(
            f"{where}: the answer holds {template.ending!r}, which ends answers by data.chat_template; "
            "leave nothing behind {assistant}, and the end of text ends them"
        )


def check(values: Mapping[str, Any], data: DataConfig) -> Mapping[str, Any]:
    """The messages up to the last answer, as nothing is learned of what follows; and the dialogue as one text."""
    template = ChatTemplate.parse(data.chat_template)
    messages = read_messages(values["messages"], data.messages_field, template)
    answers = [number for number, message in enumerate(messages, 1) if message.role == "assistant"]
    if not answers:
        raise UserError(f'"{data.messages_field}" has no message of the assistant; there is nothing to learn')
    messages = messages[: answers[-1]]
    return {"messages": messages, "text": template.render(messages)}


def encode(examples: Sequence[Example], tokenizer: Tokenizer, classes: Sequence[str], data: DataConfig) -> Pieces:
    """Dialogues by `data.chat_template`; the marks are 1 where an answer is to be learned, and at the end of the last one.

    Of a dialogue that is longer than a row the oldest turns go; of a last turn that is, the end of the answer.
    """
    template, room = ChatTemplate.parse(data.chat_template), data.sequence_length - 1
    ends = 0 if template.ending else 1  # tokens that the last answer ends with, and that every document is given anyway
    all_tokens, all_marks, cut = [], [], 0
    for turns in template.encode([example.values["messages"] for example in examples], tokenizer):
        kept = keep_newest(turns, room + ends)
        tokens, marks = tokens_and_marks(kept)
        tokens, marks = tokens[: len(tokens) - ends], [*marks[: len(tokens) - ends], 1]
        if len(tokens) > room:
            tokens, marks = tokens[:room], [*marks[:room], 0]  # it does not end there
        all_tokens.append(tokens)
        all_marks.append(marks)
        cut += len(kept) < len(turns) or not marks[-1]
    return Pieces(all_tokens, marks=all_marks, cut=cut)


def builtin(source: str, data: DataConfig) -> Iterator[tuple[Document, Mapping[str, Any]]]:
    """The dialogues of `builtin:chat`: a user begins, and they take turns."""
    for document, turns in read_builtin_dialogues(source):
        messages = [{"role": ROLES[1 + number % 2], "content": turn} for number, turn in enumerate(turns)]
        if len(messages) > 1:
            yield document, {"messages": messages}


MESSAGES = Form(("messages",), check, lambda values: values["text"], encode, builtin=builtin)
