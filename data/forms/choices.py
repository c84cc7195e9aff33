"""A question with some answers to choose from, one of which is right; a model is asked them, and not trained on them."""

from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import UserError
from data.config import DataConfig
from data.forms.form import Form, filled
from data.readers import name_some


def check(values: Mapping[str, Any], data: DataConfig) -> Mapping[str, Any]:
    """The right answer as the number of a choice, from 0: it may be given as that, as its text, or as its label.

    Choices are a list of texts, or {"text": [...], "label": [...]}.
    """
    choices, answer, labels = values["choices"], values["answer"], []
    if isinstance(choices, Mapping):
        if "text" not in choices:
            raise UserError(f'"{data.choices_field}" has no "text", only {name_some(choices)}')
        choices, labels = choices["text"], choices.get("label") or []
    if isinstance(choices, str) or not isinstance(choices, Sequence) or len(choices) < 2:
        raise UserError(
            f'"{data.choices_field}" must be a list of two texts or more, or {{"text": [...], "label": [...]}}'
        )
    if not all(isinstance(choice, str) and choice.strip() for choice in choices) or len(set(choices)) < len(choices):
        raise UserError(f'"{data.choices_field}": each must be a text of its own, and none empty')
    if not isinstance(labels, list | tuple) or len(labels) not in (0, len(choices)):
        raise UserError(f'"{data.choices_field}": "label" must be a list, with one for each text')
    names = [name for name in (choices, labels) if answer in name]
    number = names[0].index(answer) if names else answer
    if type(number) is not int or not 0 <= number < len(choices):
        raise UserError(
            f'"{data.answer_field}" is {answer!r}, which is none of "{data.choices_field}"; give the text of one, or its '
            f"number, from 0 to {len(choices) - 1}"
        )
    return {"question": filled(values, "question", data), "choices": list(choices), "answer": number}


CHOICES = Form(("question", "choices", "answer"), check, lambda values: values["question"])
