"""The label of each word, read at the first of its pieces: names in a text."""

import numpy as np

from data.batches import PackedRows, PrepareRow, Row
from data.forms.tags import IGNORED
from data.tokenizer import Tokenizer
from metrics import span_metrics
from tasks.classification import predict
from tasks.cross_entropy import token_loss
from tasks.places import before_text, marks_of_inputs
from tasks.task import CorruptionConfig, Task


def prepare(packed: PackedRows, tokenizer: Tokenizer, config: CorruptionConfig, network: str) -> PrepareRow:
    """The label of a word is the target of its first piece; all other places have none (a mark below 0) and no weight."""

    def tag_row(row: Row, generator: np.random.Generator) -> Row:
        marks = marks_of_inputs(row, IGNORED)
        targets, weights = np.maximum(marks, 0).astype(np.int32), (marks >= 0).astype(np.float32)
        return before_text(row, tokenizer, network) | {"targets": targets, "weights": weights}

    return tag_row


def score(answers: dict[str, np.ndarray]) -> dict[str, float]:
    return span_metrics(answers["targets"], answers["prediction"], answers["documents"], answers["classes"])


TOKEN_CLASSIFICATION = Task(
    ("encoder", "decoder"),
    prepare,
    token_loss,
    examples="tags",
    head="classes",
    pooled=False,
    predict=predict,
    score=score,
    figures=("precision", "recall", "f1", "accuracy"),
)
