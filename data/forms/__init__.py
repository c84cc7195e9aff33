"""The forms of examples, by the name that a task has in `Task.examples`."""

from data.forms.answers import ANSWERS
from data.forms.form import Example, Form, Pieces
from data.forms.label_sets import LABEL_SETS
from data.forms.labels import LABELS
from data.forms.pairs import PAIRS
from data.forms.scores import SCORES
from data.forms.tags import TAGS

FORMS: dict[str, Form] = {
    "labels": LABELS,
    "label_sets": LABEL_SETS,
    "scores": SCORES,
    "tags": TAGS,
    "pairs": PAIRS,
    "answers": ANSWERS,
}

__all__ = ["FORMS", "Example", "Form", "Pieces"]
