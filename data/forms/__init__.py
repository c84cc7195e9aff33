"""The forms of examples, by the name that a task has in `Task.examples`."""

from data.forms.answers import ANSWERS
from data.forms.form import Example, Form, Pieces
from data.forms.label_sets import LABEL_SETS
from data.forms.labels import LABELS
from data.forms.messages import MESSAGES
from data.forms.pairs import PAIRS
from data.forms.preferences import PREFERENCES
from data.forms.scores import SCORES
from data.forms.tags import TAGS

FORMS: dict[str, Form] = {
    "labels": LABELS,
    "label_sets": LABEL_SETS,
    "scores": SCORES,
    "tags": TAGS,
    "pairs": PAIRS,
    "answers": ANSWERS,
    "messages": MESSAGES,
    "preferences": PREFERENCES,
}

# Those that `data.chat_template` writes, and whose answers a network learns.
DIALOGUES = ("messages", "preferences")

__all__ = ["DIALOGUES", "FORMS", "Example", "Form", "Pieces"]
