"""The plain baselines of benchmarks/baselines.py, on examples worked by hand."""

import pytest

from benchmarks import baselines
from data.forms import Example


def examples(*rows: dict) -> list[Example]:
    return [Example("", "rows", None, row, f"row {number}") for number, row in enumerate(rows, 1)]


def labelled(**texts: str) -> list[Example]:
    """`labelled(cat="miau purr")`: a text of each word, with its label."""
    return examples(*({"text": text, "label": label} for label, each in texts.items() for text in each.split()))


def test_the_commonest_class_for_all():
    figures = baselines.majority(labelled(a="1 2 3", b="4"), labelled(a="5 6", b="7 8"))
    assert (figures["accuracy"], figures["macro_f1"]) == pytest.approx((1 / 2, 1 / 3))


def test_logistic_regression_tells_characters_apart():
    train = labelled(rain="下雨了 雨很大 大雨 雨", sun="晴天 太阳 晴了 太阳大")
    figures = baselines.logistic_regression(train, labelled(rain="有雨", sun="太阳"))
    assert (figures["accuracy"], figures["macro_f1"]) == (1, 1)


def test_names_that_were_seen():
    def words(*tagged: str) -> dict:
        return dict(
            zip(("tokens", "tags"), map(list, zip(*(each.split("/") for each in tagged), strict=True)), strict=True)
        )

    train = examples(words("Ann/B-PER", "saw/O", "Rome/B-LOC"), words("Rome/B-LOC", "fell/O"))
    asked = examples(words("Rome/B-LOC", "saw/O", "Ann/B-PER", "and/O", "Bob/B-PER"))
    figures = baselines.known_names(train, asked)
    assert figures == pytest.approx({"precision": 1, "recall": 2 / 3, "f1": 4 / 5, "accuracy": 4 / 5})


def test_the_target_of_the_source_most_alike():
    train = examples({"source": "今天下雨", "target": "It rains today."}, {"source": "你好", "target": "Hello."})
    figures = baselines.nearest(train, examples({"source": "明天下雨", "target": "It rains today."}))
    assert figures["chrf"] == pytest.approx(100) and figures["rougeL"] == 1


def test_the_first_sentence():
    row = {"source": "Close the file. It may be opened again.", "target": "Close the file."}
    assert baselines.lead([], examples(row))["rougeL"] == 1


def test_what_differs_in_the_sentence_most_alike():
    assert baselines.guess("我有多少本书？", "今天天气很好。我有三本书。他来了。") == "三"
    assert baselines.guess("who has two cars?", "It rains. My father has two cars. He is here.") == "My father"
    right = {"question": "我有多少本书？", "context": "我有三本书。", "answers": ["三"]}
    wrong = right | {"answers": ["四"]}
    assert baselines.what_differs([], examples(right, wrong)) == {"exact_match": 0.5, "f1": 0.5}
