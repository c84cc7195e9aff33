"""Where a class is read, and how classes are weighted, against scikit-learn."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from common.errors import ConfigError
from data.batches import PackedRows
from data.encoded import EncodedText
from tasks import TASKS, CorruptionConfig, LossConfig
from tests.data.texts import END, encoded

LABELS = np.array([2, 0, 2, 2, 1, 2], np.int32)
TASK = TASKS["classification"]


@pytest.fixture
def text() -> EncodedText:
    given = encoded([3, 5, 2, 4, 1, 3])
    return EncodedText(given.tokens, given.starts, 0, labels=LABELS)


@pytest.mark.parametrize("network", ["encoder", "decoder"])
@pytest.mark.parametrize("packing", ["pad", "best_fit"])
@pytest.mark.parametrize("prefix", [(), (99,)])
def test_the_class_is_read_once_where_the_whole_text_is_seen(text, network, packing, prefix):
    tokenizer = SimpleNamespace(prefix=prefix, end_of_text=END)
    packed = PackedRows.pack([text], 8, packing)
    prepare = TASK.prepare(packed, tokenizer, CorruptionConfig(), network)
    seen = []
    for index in range(len(packed)):
        before, row = packed.row(index), prepare(packed.row(index), None)
        assert row.keys() == {"inputs", "targets", "positions", "segment_ids", "weights", "balance"}
        for segment, document in enumerate(packed.documents(index), 1):
            places = np.flatnonzero(before["segment_ids"] == segment)
            (read,) = places[row["weights"][places] > 0]
            assert read == (places[0] if network == "encoder" else places[-1])
            assert row["targets"][read] == LABELS[document]
            np.testing.assert_array_equal(row["inputs"][places[1:]], before["inputs"][places[1:]])
            first = prefix[0] if prefix and network == "encoder" else END
            assert row["inputs"][places[0]] == first
            seen.append(document)
    assert sorted(seen) == list(range(len(LABELS)))
    assert prepare(packed.row(-1), None)["weights"].sum() == 0


def test_balanced_classes_count_alike(text):
    packed = PackedRows.pack([text], 8, "pad")
    prepare = TASK.prepare(packed, SimpleNamespace(prefix=(), end_of_text=END), CorruptionConfig(), "encoder")
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    rows = [prepare(packed.row(index), None) for index in range(len(packed))]
    batch = {name: jnp.asarray(np.stack([row[name] for row in rows])) for name in rows[0]}
    logits = np.random.default_rng(0).normal(size=(6, 8, 3)).astype(np.float32)

    def loss(weights):
        config = LossConfig(0.0, 0.0, 0.0, 0.0, weights)
        return TASK.loss(lambda *_: SimpleNamespace(logits_BTV=jnp.asarray(logits)), {}, batch, None, config)

    (plain, values), (balanced, same) = loss("none"), loss("balanced")
    np.testing.assert_allclose(balanced, plain * expected[batch["targets"]], rtol=1e-6)
    np.testing.assert_array_equal(values["loss"], same["loss"])
    np.testing.assert_array_equal(plain, values["loss"])
    with pytest.raises(ConfigError, match="class_weights='even' is not known; choose from: balanced, none"):
        loss("even")
