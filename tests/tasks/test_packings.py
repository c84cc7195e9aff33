"""Every objective takes the rows of every packing."""

import numpy as np
import pytest

from data.batches import PackedRows
from data.encoded import encode_texts
from data.packing import PACKINGS
from tasks import TASKS, CorruptionConfig
from tests.tasks.conftest import TEXTS

CONFIG = CorruptionConfig()


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if not task.examples])
def test_all_rows_have_one_shape_and_count_only_text(task, packing, tokenizer):
    texts = [encode_texts(part, tokenizer) for part in (TEXTS, TEXTS[:3], ["a", "b"])]
    packed = PackedRows.pack(texts, TASKS[task].row_length(24, CONFIG), packing)
    prepare = TASKS[task].prepare(packed, tokenizer, CONFIG, TASKS[task].networks[0])
    rows = [prepare(packed.row(index), np.random.default_rng(index + 1)) for index in range(-1, len(packed))]
    shapes = {tuple((name, array.shape, array.dtype) for name, array in sorted(row.items())) for row in rows}
    assert len(shapes) == 1
    assert rows[0]["weights"].sum() == 0, "a row of padding"
    for row in rows[1:]:
        assert row["weights"].sum() > 0 and (row["weights"][row["segment_ids"] == 0] == 0).all()
        for side in ("", "encoder_"):
            if f"{side}segment_ids" in row:
                segments, positions = row[f"{side}segment_ids"], row[f"{side}positions"]
                begins = np.diff(segments, prepend=0) > 0
                assert ((positions == 0) == (begins | (segments == 0))).all(), "each text is counted from 0"
