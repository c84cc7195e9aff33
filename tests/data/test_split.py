"""What belongs together stays together, and no document changes sides when others come."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.document import Document
from data.sources import read_documents
from data.split import split_documents


@pytest.mark.parametrize("source", ["builtin:hsk", "builtin:chat"])
def test_what_belongs_together_is_on_one_side(source):
    documents = list(read_documents([source]))
    train, valid = split_documents(documents, 0.05)
    assert len(train) + len(valid) == len(documents)
    assert 0.02 < len(valid) / len(documents) < 0.08
    assert len({document.key for document in documents}) < len(documents)
    assert not {document.key for document in train} & {document.key for document in valid}


def test_neither_direction_of_a_validation_pair_is_trained_on():
    train, valid = split_documents(list(read_documents(["builtin:hsk"])), 0.05)
    trained = {document.text for document in train}
    for document in valid:
        first, second = document.text.split("\n", 1)
        assert document.text not in trained and f"{second}\n{first}" not in trained


DOCUMENTS = st.builds(
    Document, st.text("abc\n", min_size=1), st.just("x"), st.none() | st.sampled_from(["k", "l", "m"])
)


@given(st.lists(DOCUMENTS, max_size=20), st.lists(DOCUMENTS, max_size=20))
@settings(max_examples=50, deadline=None)
def test_adding_documents_moves_none_across(first, others):
    anchors = [Document(f"{number}", "x") for number in range(50)]  # so that neither side is ever empty
    train, valid = split_documents(anchors + first, 0.3)
    more_train, more_valid = split_documents(others + first + anchors, 0.3)
    assert set(train) <= set(more_train) and set(valid) <= set(more_valid)
    assert not set(more_train) & set(more_valid)


def test_a_larger_fraction_only_adds_to_validation():
    documents = [Document(f"{number}", "x") for number in range(1000)]
    sides = [split_documents(documents, fraction) for fraction in (0.05, 0.1, 0.5, 0.9)]
    for fraction, (train, valid) in zip((0.05, 0.1, 0.5, 0.9), sides, strict=True):
        assert abs(len(valid) / 1000 - fraction) < 5 * math.sqrt(fraction * (1 - fraction) / 1000)
        assert set(train) | set(valid) == set(documents)
    assert all(set(valid) < set(larger) for (_, valid), (_, larger) in itertools.pairwise(sides))


@pytest.mark.parametrize(
    ("fraction", "held_out"), [(0.05, 1), (0.3, 3), (0.5, 5), (0.96, 9)], ids=["least", "some", "half", "all but one"]
)
def test_of_a_single_document_the_last_lines_are_held_out(fraction, held_out):
    lines = [f"  line {number}" for number in range(10)]
    train, valid = split_documents([Document("\n".join(lines) + "\n \n", "x")], fraction)
    (kept,), (out,) = train, valid
    assert kept.text.strip().split("\n") == [line.strip() if line == lines[0] else line for line in lines[:-held_out]]
    assert out.text.split("\n") == lines[-held_out:]


@pytest.mark.parametrize(
    ("text", "kept", "held_out"),
    [
        ("你好！今天？真的。", "你好！今天？", "真的。"),
        ("他说：“好。真的。”我不信！再见。 ", "他说：“好。真的。”我不信！", "再见。"),
        ("It costs 3.50. Is it? Yes! ", "It costs 3.50. Is it?", "Yes!"),
    ],
)
def test_of_a_single_line_the_last_sentences_are_held_out(text, kept, held_out):
    (train,), (valid,) = split_documents([Document(text, "x")], 0.05)
    assert (train.text, valid.text) == (kept, held_out)


def test_where_lines_are_held_out_a_document_of_one_line_is_kept():
    documents = [Document("one line", "x"), Document("two\nlines", "x")]
    train, valid = split_documents(documents, 1e-9)
    assert [document.text for document in train] == ["one line", "two"]
    assert [document.text for document in valid] == ["lines"]


@pytest.mark.parametrize("fraction", [1e-9, 1 - 1e-9])
@pytest.mark.parametrize("key", [None, "of its own"], ids=["lines", "pairs"])
def test_few_documents_that_cannot_be_cut_are_split_all_the_same(fraction, key):
    def make(number):
        return (
            [Document(f"{number}", "x")]
            if key is None
            else [Document(f"{number}\n{k}", "x", str(number)) for k in "ab"]
        )

    documents = list(itertools.chain.from_iterable(map(make, range(5))))
    train, valid = split_documents(documents, fraction)
    assert sorted(train + valid, key=documents.index) == documents
    assert len(valid) == len(make(0)) and not {d.key for d in train} & {d.key for d in valid} - {None}
