"""Questions with choices, in the shapes that they come in."""

import json

import pytest

from common.errors import UserError
from data.config import DataConfig
from data.examples import read_all
from data.forms.choices import CHOICES

ROW = {"question": "Which one barks?", "choices": ["the cat", "the dog"], "answer": 1}
LABELLED = {"text": ["the cat", "the dog"], "label": ["A", "B"]}


def read(path, *rows, **changes):
    path.write_text("\n".join(json.dumps(ROW | row) for row in rows))
    data = DataConfig((str(path),), (), 0.1, 32, "unused", **changes)
    return [each.values for each in read_all([str(path)], CHOICES, data, pytest.fail)]


@pytest.mark.parametrize(
    "row", [{}, {"answer": "the dog"}, {"choices": LABELLED}, {"choices": LABELLED, "answer": "B"}]
)
def test_every_shape_is_the_same(tmp_path, row):
    assert read(tmp_path / "a.jsonl", row) == [ROW]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": "cow"}, r"a\.jsonl, line 2: \"answer\" is 'cow', which is none of \"choices\"; .* from 0 to 1"),
        ({"answer": 2}, '"answer" is 2, which is none'),
        ({"answer": -1}, '"answer" is -1, which is none'),
        ({"answer": True}, '"answer" is True, which is none'),
        ({"answer": None}, '"answer" is None, which is none'),
        ({"choices": ["the dog"]}, '"choices" must be a list of two texts or more'),
        ({"choices": "the dog"}, '"choices" must be a list of two texts or more'),
        ({"choices": {"texts": ["a", "b"]}}, r'"choices" has no "text", only .texts.'),
        ({"choices": ["a", "a"]}, '"choices": each must be a text of its own'),
        ({"choices": ["a", " "]}, '"choices": each must be a text of its own'),
        ({"choices": {"text": ["a", "b"], "label": "AB"}}, '"choices": "label" must be a list, with one for each text'),
        ({"question": ""}, '"question" is empty'),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, row, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path / "a.jsonl", {}, row)


def test_other_columns(tmp_path):
    row = {"ask": "Which one?", "among": ["a", "b"], "right": "b"}
    fields = {"question_field": "ask", "choices_field": "among", "answer_field": "right"}
    assert read(tmp_path / "a.jsonl", row, **fields) == [{"question": "Which one?", "choices": ["a", "b"], "answer": 1}]
