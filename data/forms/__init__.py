"""The forms of examples, by the name that a task has in `Task.examples`."""

from data.forms.answers import ANSWERS
from data.forms.form import Example, Form, Pieces
from data.forms.labels import LABELS
from data.forms.messages import MESSAGES
from data.forms.preferences import PREFERENCES

FORMS: dict[str, Form] = {"labels": LABELS, "answers": ANSWERS, "messages": MESSAGES, "preferences": PREFERENCES}

# Those that `data.chat_template` writes, and whose answers a network learns.
DIALOGUES = ("messages", "preferences")

__all__ = ["DIALOGUES", "FORMS", "Example", "Form", "Pieces"]
