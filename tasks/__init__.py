"""What is learned, as data: one record of functions for each objective."""

from tasks.causal_lm import CAUSAL_LM, PREFIX_LM
from tasks.chat import CHAT
from tasks.classification import CLASSIFICATION
from tasks.dpo import DPO
from tasks.masked_lm import MASKED_LM
from tasks.multilabel import MULTILABEL
from tasks.question_answering import QUESTION_ANSWERING
from tasks.regression import REGRESSION
from tasks.seq2seq import SEQ2SEQ
from tasks.span_corruption import SPAN_CORRUPTION
from tasks.task import Batch, CorruptionConfig, LossConfig, Task, as_tokens
from tasks.token_classification import TOKEN_CLASSIFICATION

TASKS: dict[str, Task] = {
    "causal_lm": CAUSAL_LM,
    "prefix_lm": PREFIX_LM,
    "masked_lm": MASKED_LM,
    "span_corruption": SPAN_CORRUPTION,
    "classification": CLASSIFICATION,
    "seq2seq": SEQ2SEQ,
    "multilabel": MULTILABEL,
    "regression": REGRESSION,
    "token_classification": TOKEN_CLASSIFICATION,
    "chat": CHAT,
    "dpo": DPO,
    "question_answering": QUESTION_ANSWERING,
}


def tasks_of(network: str) -> list[str]:
    """The tasks that train a network of this kind."""
    return [name for name, task in TASKS.items() if network in task.networks]


__all__ = ["TASKS", "Batch", "CorruptionConfig", "LossConfig", "Task", "as_tokens", "tasks_of"]
