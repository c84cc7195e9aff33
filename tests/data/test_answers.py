"""Questions with answers that stand in a text: read in every shape they come in, and marked where they stand."""

import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError, UserError
from data.config import DataConfig
from data.examples import load_examples, read_examples
from data.forms import FORMS
from data.forms.answers import BEGINS, BEHIND, ENDS, READ, choose_answer, cut_windows, text_of
from data.hf_tokenizer import HfTokenizer, from_word_pieces
from data.skipped import Skipped
from data.tokenizer import TokenizerConfig, train

FORM = FORMS["answers"]
CONTEXT = "The red fox jumped over a lazy dog. 公园里有一只猫。"
QUESTION = "What did the fox jump over?"


def options(train, length=64, **changes):
    return DataConfig((str(train),), (), 0.25, length, "unused", **changes)


def row(**changes):
    answers = {"text": ["a lazy dog"], "answer_start": [24]}
    return {"context": CONTEXT, "question": QUESTION, "answers": answers} | changes


def write(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize(
    ("answers", "texts", "starts"),
    [
        ({"text": ["a lazy dog"], "answer_start": [24]}, ["a lazy dog"], [24]),
        ({"text": ["fox", "red fox"], "answer_start": [8, 4]}, ["fox", "red fox"], [8, 4]),
        ({"text": ["猫"]}, ["猫"], [42]),
        (["o", "一只猫"], ["o", "一只猫"], [9, 40]),
        ("dog", ["dog"], [31]),
        ("", [], []),
        ([], [], []),
        (None, [], []),
        ({"text": [], "answer_start": []}, [], []),
    ],
)
def test_every_shape_of_answers(tmp_path, answers, texts, starts):
    source = write(tmp_path / "a.jsonl", [row(answers=answers)])
    (example,) = read_examples([str(source)], FORM, options(source))
    assert example.values["answers"] == texts and example.values["starts"] == starts
    assert example.key == CONTEXT and example.text == f"{QUESTION}\n{CONTEXT}"


def test_tables_and_data_sets_have_the_same(tmp_path):
    rows = [row(), row(answers={"text": [], "answer_start": []})]
    expected = [{"answers": ["a lazy dog"], "starts": [24]}, {"answers": [], "starts": []}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    Dataset.from_list(rows).save_to_disk(tmp_path / "set")
    for source in (f"{tmp_path}/a.parquet", f"hf:{tmp_path}/set"):
        found = [example.values for example in read_examples([source], FORM, options(source))]
        assert [{name: each[name] for name in ("answers", "starts")} for each in found] == expected
    (tmp_path / "a.csv").write_text(f"text,ask,said\n{CONTEXT},{QUESTION},fox\n{CONTEXT},{QUESTION},\n")
    fields = {"context_field": "text", "question_field": "ask", "answers_field": "said"}
    found = read_examples([f"{tmp_path}/a.csv"], FORM, options("a.csv", **fields))
    assert [each.values["answers"] for each in found] == [["fox"], []]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"answers": ["a cat"]},
            r"a\.jsonl, line 2: \"answers\": 'a cat' stands nowhere in \"context\"; mend one of them",
        ),
        (
            {"answers": {"text": ["fox"], "answer_start": [9]}},
            r"line 2: \"answers\": 'fox' stands at 8, and not at 9 in \"context\"",
        ),
        ({"answers": {"text": ["fox"], "answer_start": []}}, "line 2: .* a whole number for each text"),
        ({"answers": {"text": ["fox"], "answer_start": ["8"]}}, "line 2: .* a whole number for each text"),
        ({"answers": 3}, r'line 2: "answers" must be a text, a list of texts, or'),
        ({"answers": [" "]}, r'line 2: "answers" must be .* none of them empty'),
        ({"question": " "}, r'line 2: "question" is empty'),
        ({"context": None}, r'line 2: "context" is null, not a string'),
    ],
)
def test_what_is_wrong_is_told_with_its_line_or_left_out(tmp_path, changes, message):
    source = write(tmp_path / "a.jsonl", [row(), row(**changes), row(answers="fox")])
    with pytest.raises(UserError, match=message):
        list(read_examples([str(source)], FORM, options(source)))
    data = options(source, skip_bad=True)
    skipped = Skipped()
    left_out = [each.values["answers"] for each in read_examples([str(source)], FORM, data, skipped)]
    assert left_out == [["a lazy dog"], ["fox"]] and skipped.count == 1


@pytest.fixture(scope="module")
def ours():
    return train([CONTEXT, QUESTION] * 9, TokenizerConfig(330, "bpe", 1.0, True, True))


@pytest.fixture(scope="module")
def word_pieces():
    names = "[PAD] [UNK] [CLS] [SEP] [MASK] the red fox jump ##ed over a lazy dog . 公 园 里 有 一 只 猫 。 what did ?"
    return HfTokenizer({"tokenizer.json": from_word_pieces(names.replace(" ", "\n").encode(), {})})


WORDS = st.lists(
    st.sampled_from(["fox", " ", "  ", "dog", "猫", "☃", "é", ".", "\n", "jumped"]), min_size=1, max_size=30
)


@given(WORDS, st.data())
@settings(max_examples=150, deadline=None)
@pytest.mark.parametrize("kind", ["ours", "word_pieces"])
def test_an_answer_is_marked_where_it_stands_whatever_the_window(request, kind, words, data):
    tokenizer, context = request.getfixturevalue(kind), "x" + "".join(words)
    start = data.draw(st.integers(0, len(context) - 1))
    answer = context[start : data.draw(st.integers(start + 1, len(context)))]
    values = {"context": context, "question": "what?", "answers": [answer], "starts": [start]}
    values = values if answer.strip() else values | {"answers": [], "starts": []}
    length, stride = data.draw(st.integers(14, 60)), data.draw(st.none() | st.integers(1, 50))
    windows, was_cut = cut_windows(values, tokenizer, length, stride)
    _, starts = tokenizer.encode_with_offsets(context)
    seen = set()
    marked = []
    for window in windows:
        assert len(window.tokens) < length and len(window.marks) == len(window.tokens) + 1 and not was_cut
        text = [place for place, mark in enumerate(window.marks) if mark & READ]
        assert text == list(range(window.before, window.before + len(text))) and len(window.starts) == len(text) + 1
        seen |= set(window.starts[:-1])
        behind = [mark for mark in window.marks if mark & BEHIND]
        assert len(behind) == len(tokenizer.suffix)
        begin, end = ([at for at, mark in enumerate(window.marks) if mark & side] for side in (BEGINS, ENDS))
        assert len(begin) == len(end) <= 1
        if begin:
            found = text_of(context, window.starts, begin[0] - window.before, end[0] - window.before)
            assert answer.strip() in found, "tokens may hold more than the answer, and never less"
            marked.append(found)
    assert seen == set(starts), "every token is read in one of them"
    if values["answers"] and len(windows) == 1:
        assert len(marked) == 1


def test_hand_worked_windows(word_pieces):
    """[CLS] what did the [SEP] … [SEP], with room for 5 tokens of text in a row of 11."""
    values = {"context": "The red fox jumped over a lazy dog.", "question": "what did the", "answers": ["jumped over"]}
    windows, _ = cut_windows(values | {"starts": [12]}, word_pieces, 11, 3)
    pieces = [" ".join(map(word_pieces.piece, window.tokens)) for window in windows]
    assert pieces == [
        "what did the [SEP] the red fox jump ##ed [SEP]",
        "what did the [SEP] jump ##ed over a lazy [SEP]",
        "what did the [SEP] a lazy dog . [SEP]",
    ]
    assert [window.marks for window in windows] == [
        [0, 0, 0, 0, 4, 4, 4, 4, 4, 8, 0],
        [0, 0, 0, 0, 5, 4, 6, 4, 4, 8, 0],
        [0, 0, 0, 0, 4, 4, 4, 4, 8, 0],
    ]
    assert windows[1].starts == [12, 16, 19, 24, 26, 31] and windows[2].starts[-1] == len(values["context"])
    one, _ = cut_windows(values | {"answers": ["fox"], "starts": [8]}, word_pieces, 40, None)
    assert [mark for mark in one[0].marks if mark & 3] == [READ + BEGINS + ENDS]
    long = values | {"question": "what did the fox ?", "starts": [12]}
    windows, was_cut = cut_windows(long, word_pieces, 7, None)
    assert was_cut and len(windows) == 10 and all(window.before == 4 for window in windows)
    with pytest.raises(UserError, match=r"data\.sequence_length=4 has no room for a text behind a question; raise it"):
        cut_windows(values | {"starts": [12]}, word_pieces, 4, None)


def test_the_answer_of_all_windows(word_pieces):
    context = "The red fox jumped over a lazy dog."
    values = {"context": context, "question": "what did the", "answers": [], "starts": []}
    windows, _ = cut_windows(values, word_pieces, 11, 3)
    first, last, half = [5, 5, 7], [5, 7, 7], np.log(0.5)
    assert choose_answer(context, windows, first, last, [-9, half, -3], [-0.1, -4, -1]) == ("jumped over", 0.5)
    assert choose_answer(context, windows, first, last, [-9, -5, half], [-0.1, -4, -1]) == ("dog", 0.5)
    assert choose_answer(context, windows, first, last, [-9, -5, -3], [-0.1, half, -0.2])[0] == ""
    nothing = choose_answer(context, windows, [-1] * 3, [-1] * 3, [-np.inf] * 3, [half, 0, 0])
    assert nothing == ("", 0.5)


def test_a_corpus_of_windows_keeps_texts_apart(tmp_path, ours):
    rows = [row(context=f"{number}: {CONTEXT}", answers=["fox"]) for number in range(40) for _ in range(2)]
    source, said = write(tmp_path / "a.jsonl", rows), []
    data = options(source, length=20, window_stride=5)
    corpus = load_examples(data, FORM, ours, (), said.append)
    train_text, valid_text = corpus.train[str(source)], corpus.valid[str(source)]
    contexts = [example.values["context"] for example in corpus.valid_documents[str(source)]]
    assert len(contexts) % 2 == 0 and sorted(contexts[::2]) == sorted(contexts[1::2]), "both questions are on one side"
    total = sum(len(f"{each['question']}\n{each['context']}".encode()) for each in rows)
    assert train_text.num_bytes + valid_text.num_bytes == total
    assert len(valid_text.starts) > len(contexts) and valid_text.lengths.max() <= 20
    assert len(train_text.marks) == len(train_text.tokens) and not corpus.classes
    with pytest.raises(ConfigError, match=r"window_stride=0 must be at least 1"):
        options(source, window_stride=0)
    with pytest.raises(ConfigError, match="answers_field is empty"):
        options(source, answers_field="")
    with pytest.raises(ConfigError, match="builtin:hsk has no examples for this task"):
        load_examples(options("builtin:hsk"), FORM, ours, (), said.append)
