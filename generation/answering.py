"""What answers a user, made of a trained model by the task that its run has learned."""

from __future__ import annotations

from data.chat_template import ChatTemplate
from data.config import DataConfig
from data.forms import DIALOGUES
from data.tokenizer import Tokenizer
from generation.answers import Answers
from generation.asking import Asking
from generation.chat import Conversation
from generation.labels import TELLS, Labeller
from generation.prompts import read_text
from generation.questions import Finder
from generation.readings import Readings
from generation.speculative import Draft
from generation.uses import USES
from model import TransformerConfig
from model.parameters import Params

Network = tuple[Params, TransformerConfig, Tokenizer]


def make_answering(
    network: Network,
    task: str,
    data: DataConfig,
    classes: tuple[str, ...],
    as_json: bool,
    asking: Asking,
    draft: Draft | None = None,
    context: str | None = None,
) -> Answers | Readings:
    """What tells labels, where the task learns some, or finds answers in a text; else what writes.

    Args:
        task, data, classes: what the run has learned, its settings, and the names of its classes.
        context: the text that answers stand in, or the name of its file.

    Raises:
        ConfigError, UserError: the model has no head for it; the text cannot be read.
    """
    if task in TELLS:
        return Readings(Labeller(*network, task, data, classes, USES[task].does), as_json)
    if context is not None:
        text = read_text("context", context, or_text=True)
        return Readings(Finder(*network, text, data.sequence_length, data.window_stride), as_json)
    return Answers(*network, draft, as_json, asking)


def make_conversation(
    answering: Answers | Readings, form: str, data: DataConfig, tokenizer: Tokenizer, system: str | None
) -> Answers | Readings | Conversation:
    """The same for what comes line by line: where examples of this form are dialogues, each is a turn of one."""
    if form not in DIALOGUES:
        return answering
    return Conversation(answering, ChatTemplate.parse(data.chat_template), tokenizer, system)
