"""Exact match and F1 of answers, worked by hand; the best span, against all that there are."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics import answer_scores, best_spans, span_accuracy


@pytest.mark.parametrize(
    ("prediction", "answers", "exact", "f1"),
    [
        ("The Eiffel Tower!", ["eiffel  tower"], 1, 1),
        ("the tower", ["Eiffel Tower", "a tower"], 1, 1),
        ("an apple and a pear", ["apple"], 0, 0.5),  # 3 words and 1, one in common: 2 * 1 / (3 + 1)
        ("red red blue", ["red blue blue"], 0, 2 / 3),
        ("cat", ["dog", "cat dog"], 0, 2 / 3),
        ("theatre", ["atre"], 0, 0),
        ("", [], 1, 1),
        ("cat", [], 0, 0),
        ("", ["cat"], 0, 0),
        ("the", [""], 1, 1),  # as in SQuAD's own script: nothing is left of it
        ("U.S.", ["us"], 1, 1),
        ("1998年，", ["1998年"], 1, 1),
        ("《红楼梦》", ["红楼梦"], 1, 1),
        ("曹雪芹先生", ["曹雪芹"], 0, 0.75),  # 5 characters and 3, all in a run: 2 * 3 / 8
        ("学生是我", ["我是学生"], 0, 0.5),  # the same characters, of which two are in a run
        ("Tom和Jerry", ["tom和jerry"], 1, 1),
        ("和Jerry", ["Tom和jerry"], 0, 0.8),  # units are tom, 和, jerry
        ("a猫", ["猫"], 0, 2 / 3),  # no article in Chinese
        ("猫", ["狗"], 0, 0),
    ],
)
def test_worked_by_hand(prediction, answers, exact, f1):
    scores = answer_scores(prediction, answers)
    assert scores == {"exact_match": exact, "f1": pytest.approx(f1)}


def softmax(logits):
    return np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(0, 10**6), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_the_best_span_is_the_best_of_all(sizes, seed, longest):
    draw = np.random.default_rng(seed)
    count = sum(sizes)
    start, end = draw.normal(size=(2, count)).astype(np.float32) * 3
    context = draw.random(count) < 0.7
    begins = np.cumsum([0, *sizes[:-1]])
    first = np.isin(np.arange(count), begins)
    found = best_spans(start, end, first, context, longest)
    for number, (begin, size) in enumerate(zip(begins, sizes, strict=True)):
        here = slice(begin, begin + size)
        chances = np.outer(softmax(start[here].astype(float)), softmax(end[here].astype(float)))
        spans = {
            (one, other): chances[one, other]
            for one, other in itertools.product(range(size), repeat=2)
            if one <= other < one + longest and context[begin + one] and context[begin + other]
        }
        assert np.exp(found.null[number]) == pytest.approx(chances[0, 0])
        if not spans:
            assert (found.first[number], found.last[number], found.score[number]) == (-1, -1, -np.inf)
            continue
        best = max(spans, key=spans.get)
        assert (found.first[number], found.last[number]) == best
        assert np.exp(found.score[number]) == pytest.approx(spans[best])


def test_accuracy_of_spans_and_of_none():
    """Three windows of four places, the first of each no place for an answer."""
    high = {1: (1, 2), 2: (2, 2), 0: (0, 0)}
    start, end = np.zeros((2, 12))
    for window, (one, other) in enumerate(high.values()):
        start[4 * window + one] = end[4 * window + other] = 5
    first, context = np.tile([True, False, False, False], 3), np.tile([False, True, True, True], 3)
    places = {"start": start, "end": end, "first": first, "context": context}
    right = np.ravel([[0, 1, 2, 0], [0, 0, 3, 0], [3, 0, 0, 0]])
    assert span_accuracy(places | {"targets": right}) == {"span_accuracy": 1}
    wrong = np.ravel([[0, 1, 0, 2], [0, 0, 3, 0], [0, 0, 3, 0]])
    assert span_accuracy(places | {"targets": wrong}) == {"span_accuracy": pytest.approx(1 / 3)}
