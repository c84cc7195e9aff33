import numpy as np

from tasks import TASKS, CorruptionConfig
from tests.tasks.test_causal_lm import row


def test_only_what_is_marked_counts():
    given = row(4, 2) | {"marks": np.array([0, 1, 0, 1, 0, 1, 0, 0, 0])}
    fed = TASKS["chat"].prepare(None, None, CorruptionConfig(), "decoder")(given, None)
    assert fed.keys() == given.keys() - {"marks"} and fed["weights"].dtype == np.float32
    assert fed["weights"].tolist() == [0, 1, 0, 1, 0, 1, 0, 0, 0]
    assert fed["inputs"] is given["inputs"]
