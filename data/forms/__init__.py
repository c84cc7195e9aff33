"""The forms of examples, by the name that a task has in `Task.examples`."""

from data.forms.answers import ANSWERS
from data.forms.form import Example, Form, Pieces
from data.forms.labels import LABELS

FORMS: dict[str, Form] = {"labels": LABELS, "answers": ANSWERS}

__all__ = ["FORMS", "Example", "Form", "Pieces"]
