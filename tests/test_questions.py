"""The questions that benchmarks/questions.py makes: their answers stand in their texts."""

import itertools

from benchmarks.questions import ask, make


def test_questions_of_both_languages_worked_by_hand():
    assert list(ask("我有三本书。", "zh")) == [("我有多少本书？", "三", 2)]
    assert list(ask("今天他来。", "zh")) == [("什么时候他来？", "今天", 0), ("今天谁来？", "他", 2)]
    assert list(ask("My father has two cars.", "en")) == [
        ("who has two cars?", "My father", 0),
        ("My father has how many cars?", "two", 14),
    ]
    assert list(ask("他和他的书。", "zh")) == [], "which of the two is meant, no answer could tell"


def test_answers_stand_in_their_texts():
    rows = list(make(0))
    assert rows[:50] == list(itertools.islice(make(0), 50)) != list(itertools.islice(make(1), 50))
    without = sum(not row["answers"]["text"] for row in rows)
    assert 0.1 < without / len(rows) < 0.2 and len(rows) > 2000
    for row in rows:
        for answer, start in zip(*row["answers"].values(), strict=True):
            assert row["context"][start : start + len(answer)] == answer
    assert {row["question"][-1] for row in rows} == {"？", "?"}
