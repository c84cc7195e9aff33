"""Labelled texts are read with their labels from each format, and what is wrong is told with its place."""

import collections
import csv
import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from datasets import Dataset

import data.examples
from common.errors import ConfigError, UserError
from data.batches import PackedRows
from data.builtin import read_builtin
from data.config import DataConfig
from data.examples import load_examples, read_examples
from data.forms import FORMS
from data.mapped import join
from data.measured import load_held_out
from data.tokenizer import TokenizerConfig

ROWS = [
    {"body": f"the {animal} number {number}\n好", "kind": kind}
    for number in range(30)
    for animal, kind in (("cat", 2), ("dog", 10))
]
CHAR = TokenizerConfig(300, "char", 1.0, byte_fallback=False, split_digits=True)


def write(path, rows=ROWS):
    if path.suffix == ".jsonl":
        path.write_text("\n\n".join(json.dumps(row) for row in rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["kind", "body"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return str(path)


def options(train, valid=(), valid_fraction=0.25, **changes):
    sources = (tuple(train) if isinstance(train, list) else (train,)), valid
    return DataConfig(*sources, valid_fraction, 32, "unused", **{"text_field": "body", "label_field": "kind"} | changes)


def load(data, tokenizer, classes, say):
    return load_examples(data, FORMS["labels"], tokenizer, classes, say)


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_each_format_has_the_same_examples(tmp_path, ending):
    source = write(tmp_path / f"a{ending}")
    examples = list(read_examples([source], FORMS["labels"], options(source)))
    assert [(example.text, example.values["label"]) for example in examples] == [
        (row["body"], str(row["kind"])) for row in ROWS
    ]
    third = {".jsonl": "line 5", ".csv": "line 6", ".parquet": "row 3"}  # each text of the table takes two lines
    assert examples[2].place == f"{tmp_path}/a{ending}, {third[ending]}"


def test_a_saved_data_set_has_them_too(tmp_path):
    Dataset.from_list(ROWS).save_to_disk(tmp_path / "set")
    source = f"hf:{tmp_path}/set"
    examples = list(read_examples([source], FORMS["labels"], options(source)))
    assert [tuple(example.values.values()) for example in examples] == [(row["body"], str(row["kind"])) for row in ROWS]
    assert examples[1].place == f"{source}, row 2"


def test_broken_rows_can_be_left_out(tmp_path):
    source = write(tmp_path / "a.jsonl", [*ROWS[:20], {"body": " ", "kind": 2}, ROWS[2] | {"kind": None}, *ROWS[20:]])
    with pytest.raises(UserError, match=r'a\.jsonl, line 41: "body" is empty; give each row its text'):
        load(options(source), CHAR, (), pytest.fail)
    corpus = load(options(source, skip_bad=True), CHAR, (), pytest.fail)
    assert corpus.skipped.count == 2 and "line 41" in corpus.skipped.summary()
    assert sum(len(side[source].starts) for side in (corpus.train, corpus.valid)) == len(ROWS)


def test_where_examples_are_few_each_is_on_one_side_as_a_whole(tmp_path):
    rows = [{"body": "\n".join(["line"] * (number + 2)), "kind": "ab"[number % 2]} for number in range(4)]
    corpus = load(options(write(tmp_path / "a.jsonl", rows), valid_fraction=0.01), CHAR, ("a", "b"), pytest.fail)
    sides = [
        [
            corpus.tokenizer.decode(text.tokens[start + 1 : start + length])
            for text in side.values()
            for start, length in zip(text.starts, text.lengths, strict=True)
        ]
        for side in (corpus.train, corpus.valid)
    ]
    assert sorted(sides[0] + sides[1]) == [row["body"] for row in rows] and len(sides[1]) == 1


def test_the_tokenizer_is_trained_on_no_more_than_it_is_told(tmp_path, monkeypatch):
    sources, seen, train = [write(tmp_path / name) for name in ("a.jsonl", "b.csv")], [], data.examples.train
    monkeypatch.setattr(data.examples, "train", lambda texts, config: seen.extend(texts) or train(texts, config))
    load(options(sources), dataclasses.replace(CHAR, sample_bytes=600), (), pytest.fail)
    assert 400 < sum(len(text.encode()) for text in seen) < 800
    numbers = [int(text.split()[-2]) for text in seen]
    assert max(numbers) > 15 and numbers != sorted(numbers), "not the first ones"


def test_a_corpus_of_two_classes(tmp_path):
    source = write(tmp_path / "a.jsonl")
    corpus = load(options(source), CHAR, (), pytest.fail)
    assert corpus.classes == ("2", "10") and corpus.origin["classes"] == corpus.classes, "numbers in their order"
    train, valid = corpus.train[source], corpus.valid[source]
    assert len(train.starts) + len(valid.starts) == len(ROWS) and 5 < len(valid.starts) < 25
    texts = {row["body"]: str(row["kind"]) for row in ROWS}
    for text in (train, valid):
        for start, length, label in zip(text.starts, text.lengths, text.labels, strict=True):
            decoded = corpus.tokenizer.decode(text.tokens[start + 1 : start + length])
            assert texts[decoded] == corpus.classes[label]
    documents = corpus.valid_documents[source]
    assert [corpus.classes.index(document.values["label"]) for document in documents] == valid.labels.tolist()

    again = load(options(source), corpus.tokenizer, corpus.classes, pytest.fail)
    assert again.fingerprint == corpus.fingerprint
    changed = write(tmp_path / "a.jsonl", [*ROWS[1:], ROWS[0] | {"kind": 10}])
    assert load(options(changed), corpus.tokenizer, (), pytest.fail).fingerprint != corpus.fingerprint


def test_rows_have_the_labels_of_their_documents(tmp_path):
    source = write(tmp_path / "a.jsonl")
    text = load(options(source), CHAR, (), pytest.fail).train[source]
    packed = PackedRows.pack([text], 64)
    seen = collections.Counter()
    for index in range(len(packed)):
        row = packed.row(index)
        assert (row["labels"][row["segment_ids"] == 0] == 0).all() and row["labels"].dtype == np.int32
        for segment, document in enumerate(packed.documents(index), 1):
            assert set(row["labels"][row["segment_ids"] == segment]) == {text.labels[document]}
            seen[int(text.labels[document])] += 1
    assert seen == collections.Counter(text.labels.tolist()) and len(seen) == 2
    assert (packed.row(-1)["labels"] == 0).all()
    np.testing.assert_array_equal(join([text, text]).labels, [*text.labels, *text.labels])


def test_long_texts_are_cut_to_one_row_and_told(tmp_path):
    source, said = write(tmp_path / "a.jsonl", [{"body": "x" * 50, "kind": "long"}, *ROWS]), []
    corpus = load(options(source, valid=(source,)), CHAR, (), said.append)
    text = corpus.train[source]
    assert text.lengths.max() == 32 and len(PackedRows.pack([text], 32, "pad")) == len(text.starts)
    assert said == [f"{source}: 1 of 61 texts are cut to data.sequence_length=32"] * 2
    assert corpus.classes == ("2", "10", "long"), "numbers before words"


def test_labels_that_were_not_trained_on_can_be_left_out(tmp_path):
    source, other = write(tmp_path / "a.jsonl"), write(tmp_path / "b.jsonl", [*ROWS[:3], {"body": "a fish", "kind": 7}])
    data = options(source, valid=(other,), skip_bad=True)
    corpus = load(data, CHAR, (), pytest.fail)
    assert corpus.skipped.count == 1 and len(corpus.valid[other].starts) == 3
    assert "b.jsonl, line 7: the label '7' is none that was trained on: 2, 10" in corpus.skipped.summary()
    texts, examples, skipped = load_held_out(data, FORMS["labels"], corpus.tokenizer, corpus.classes, pytest.fail)
    assert skipped.count == 1 and len(texts[other].starts) == len(examples[other]) == 3
    none = options(source, valid=(write(tmp_path / "c.jsonl", [{"body": "a fish", "kind": 7}]),), skip_bad=True)
    with pytest.raises(UserError, match="no example has only labels that were trained on: 2, 10"):
        load(none, CHAR, (), pytest.fail)


def test_texts_that_cleaning_makes_equal_are_on_one_side(tmp_path):
    rows = [{"body": f"{'HELLO' if odd else 'hello'} {number}", "kind": odd} for number in range(60) for odd in (0, 1)]
    corpus = load(options(write(tmp_path / "a.jsonl", rows), clean=("lowercase",)), CHAR, (), pytest.fail)
    held_out = {example.text for examples in corpus.valid_documents.values() for example in examples}
    (text,) = corpus.valid.values()
    assert len(text.starts) == 2 * len(held_out) > 10


def test_texts_are_cleaned_and_those_that_a_step_drops_are_left_out(tmp_path):
    rows = [*ROWS, {"body": "<b>the  cow</b>", "kind": 2}, {"body": "x" * 30, "kind": 10}]
    source = write(tmp_path / "a.jsonl", rows)
    data = options(source, clean=("html", "whitespace", "max_words=5", "min_words=2"), valid=(source,))
    corpus = load(data, CHAR, (), pytest.fail)
    texts = [example.text for example in corpus.valid_documents[source]]
    assert texts[-1] == "the cow" and len(texts) == len(ROWS) + 1
    _, examples, _ = load_held_out(data, FORMS["labels"], corpus.tokenizer, corpus.classes, pytest.fail)
    assert [example.text for example in examples[source]] == texts
    with pytest.raises(UserError, match=r"data\.clean leaves nothing of .*a\.jsonl"):
        load(options(source, clean=("min_words=50",)), CHAR, (), pytest.fail)
    with pytest.raises(ConfigError, match=r"data\.clean=\('nfc',\) is for text alone"):
        load_examples(options(source, clean=("nfc",)), FORMS["tags"], CHAR, (), pytest.fail)


def test_the_built_in_sentences(tmp_path):
    data = options("builtin:hsk/zh", label_field="hsk_level", packing="pad")
    corpus = load(data, TokenizerConfig(2000, "unigram", 0.99, byte_fallback=True, split_digits=True), (), pytest.fail)
    assert corpus.classes == tuple("123456")
    texts = [document.text for document in read_builtin("builtin:hsk/zh")]
    assert len(texts) == sum(len(side["builtin:hsk/zh"].starts) for side in (corpus.train, corpus.valid)) > 4000
    assert all("\n" not in text for text in texts)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"body": "one"}],
            r'a\.jsonl, line 1: no "kind" field, only .body.; .*--config\.data\.label_field=NAME',
        ),
        ([{"kind": "one"}], r'a\.jsonl, line 1: no "body" field'),
        (
            [ROWS[0], ROWS[1] | {"kind": None}],
            r'a\.jsonl, line 3: "kind" is null; a label is text or a whole number',
        ),
        ([ROWS[0], ROWS[1] | {"kind": 0.5}], r'a\.jsonl, line 3: "kind" is a number'),
        ([ROWS[0], ROWS[1] | {"kind": " "}], r'a\.jsonl, line 3: "kind" is empty; give each row its label'),
        ([ROWS[0], ROWS[1] | {"body": 3}], r'a\.jsonl, line 3: "body" is a number, not a string'),
        (
            ROWS[::2],
            r"data\.label_field='kind': what is trained on of .*a\.jsonl has the one label '2', and two are needed; give rows",
        ),
        (
            ROWS[:2],
            r"has the one label '[210]+', and two are needed; [210]+ is held out: give more rows, or data\.valid",
        ),
        (ROWS[:1], r"the examples of .*a\.jsonl are one, .* give more, or --config\.data\.valid=FILE"),
        ([], "holds no text"),
    ],
)
def test_bad_rows_are_told_with_their_place(tmp_path, rows, message):
    source = write(tmp_path / "a.jsonl", rows)
    with pytest.raises(UserError, match=message):
        load(options(source), CHAR, (), pytest.fail)


def test_a_label_that_was_not_trained_on_and_a_class_without_examples(tmp_path):
    source, other = write(tmp_path / "a.csv"), write(tmp_path / "b.csv", [ROWS[0], {"body": "a fish", "kind": 7}])
    with pytest.raises(UserError, match=r"b\.csv, line 4: the label '7' is none that was trained on: 2, 10"):
        load(options(source, valid=(other,)), CHAR, (), pytest.fail)
    corpus = load(options(source), CHAR, (), pytest.fail)
    with pytest.raises(UserError, match="the label '7' is none that was trained on"):
        load_held_out(options(source, valid=(other,)), FORMS["labels"], corpus.tokenizer, corpus.classes, pytest.fail)
    with pytest.raises(UserError, match=r"the class 'bird' has no example to train on in .*a\.csv"):
        load(options(source), CHAR, ("2", "10", "bird"), pytest.fail)


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        ("builtin:hsk", {}, "builtin:hsk has no labels; builtin:hsk/zh and builtin:hsk/en have them"),
        ("builtin:hsk/zh", {}, "data.label_field='kind' is not known; choose from: hsk_level, sentence_type, topic"),
        (
            "README.md",
            {},
            r"README\.md: examples are read from \.jsonl, \.csv, \.parquet; give one of these, with 'body' and 'kind'",
        ),
        (
            "a.json",
            {},
            r"a\.json: \.json is not read, only JSONL, which has {\"body\": …, \"kind\": …} on each .*: jq -c '\.\[\]' .*",
        ),
        ("a.parquet.gz", {}, r"a\.parquet\.gz: \.parquet is not read out of \.gz; unpack it first, with gzip -d"),
        ("a.csv", {"dedup": "exact"}, "data.dedup=.* is for text alone"),
        ("a.csv", {"subword_sampling": 0.1}, "data.subword_sampling=0.1 is for text alone, .*; leave it 0.0"),
        ("a.csv", {"packing": "contiguous"}, "cuts texts, and examples are whole; set pad"),
    ],
)
def test_sources_and_settings_that_have_no_labels(tmp_path, source, changes, message):
    if source.endswith(".gz"):
        content = Path(write(tmp_path / "a.parquet")).read_bytes()
        (tmp_path / source).write_bytes(gzip.compress(content))
        source = f"{tmp_path}/{source}"
    elif source.endswith(".json"):
        source = f"{tmp_path}/{source}"
        Path(source).write_text(json.dumps(ROWS))
    with pytest.raises((ConfigError, UserError), match=message):
        load(options(source, **changes), CHAR, (), pytest.fail)
