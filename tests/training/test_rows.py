"""What is shown is what a run trains on."""

from types import SimpleNamespace

import numpy as np
import pytest

from data.encoded import EncodedText
from data.tokenizer import TokenizerConfig, train
from tests.data.texts import TEXTS, encoded
from training.rows import describe_classes, show_row, show_rows


@pytest.mark.parametrize("changes", [{}, {"data__packing": "contiguous"}, {"data__weights": (1, 3)}])
def test_rows_are_those_of_the_run(make_trainer, changes):
    sources = {"data__train": ("builtin:hsk", "builtin:chat")}
    trainer = make_trainer(**sources, **changes)
    size = trainer.config.training.batch_size
    shown = list(show_rows(trainer.config, trainer.corpus, size + 1))
    for number, text in enumerate(shown):
        step, place = divmod(number, size)
        row = trainer.batches.packed.row(int(trainer.batches.indices(step)[place]))
        assert text == f"--- step {step + 1}, row {place + 1}: " + show_row(row, trainer.corpus.tokenizer)


def test_where_documents_begin_and_end_and_padding_are_seen():
    tokenizer = train(TEXTS, TokenizerConfig(400, "bpe", 0.98, True, True))
    end, first, second = tokenizer.end_of_text, tokenizer.encode("你好"), tokenizer.encode("cat")
    row = {
        "inputs": np.array([*first, end, *second, 0, 0]),
        "targets": np.array([*first[1:], end, *second, second[0], 0, 0]),
        "segment_ids": np.array([1] * len(first) + [2] * (1 + len(second)) + [0, 0]),
    }
    assert show_row(row, tokenizer).split("\n") == [
        f"{len(first) + len(second) + 1} tokens, 2 padding",
        f"[document, goes on: {len(first)} tokens] 你好",
        f"[document: {1 + len(second)} tokens] cat […]",
        "[padding: 2]",
    ]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([[1, 0], [1, 1], [0, 0], [1, 0]], "75.0% of them with the commonest label"),
        ([0, 1, 1, 0], "50.0% of them of one class"),
    ],
)
def test_how_much_the_commonest_label_has(labels, told):
    text = encoded([3, 5, 2, 4])
    side = {"a": EncodedText(text.tokens, text.starts, 0, labels=np.array(labels, np.int32))}
    corpus = SimpleNamespace(classes=("cat", "dog"), train=side, valid=side)
    assert describe_classes(corpus) == f"classes: 2 (cat, dog); 4 texts to train on, 4 to validate, {told}"
