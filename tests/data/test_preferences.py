"""Pairs of answers become one document each, and what is wrong in them is told with its place."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from data.chat_template import ChatTemplate, Message
from data.examples import read_examples
from data.forms import FORMS, Example
from data.forms.preferences import CHOSEN, END, REJECTED
from tests.data.test_messages import CHATML, OURS, options, plain, write

PREFERENCES = FORMS["preferences"]
EOT = OURS.end_of_text
ROW = {"prompt": "你好？", "chosen": "Hello.", "rejected": "bye"}


def encode(prompt, chosen="Hello.", rejected="bye", **changes):
    prompt = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    example = Example("unused", "unused", None, {"prompt": prompt, "chosen": chosen, "rejected": rejected}, "here")
    pieces = PREFERENCES.encode([example], OURS, (), options(**changes))
    return [*pieces.tokens[0], EOT], np.array(pieces.marks[0]), pieces.cut


def test_both_texts_stand_in_one_document():
    tokens, marks, cut = encode("你好？")
    prompt = OURS.encode("User:\n你好？\n") + OURS.encode("Assistant:\n")
    first, second = [*prompt, *OURS.encode("Hello."), EOT], [*prompt, *OURS.encode("bye"), EOT]
    assert tokens == first + second and cut == 0
    assert marks.tolist() == (
        [0] * len(prompt)
        + [CHOSEN] * (len(first) - len(prompt) - 1)
        + [CHOSEN | END]
        + [0] * len(prompt)
        + [REJECTED] * (len(second) - len(prompt))
    )


def test_answers_that_end_with_a_text():
    tokens, marks, _ = encode("hi", chat_template=CHATML)
    assert OURS.decode([token for token, mark in zip(tokens, marks, strict=True) if mark & CHOSEN]) == "Hello.<end>\n"
    assert OURS.decode([token for token, mark in zip(tokens, marks, strict=True) if mark & REJECTED]) == "bye<end>\n"


def test_of_a_long_prompt_the_oldest_turns_go():
    old = [Message("user", "you " * 20), Message("assistant", "bye")]
    short, marks, _ = encode("你好？")
    tokens, new_marks, cut = encode((*old, Message("user", "你好？")), length=len(short))
    assert tokens == short and new_marks.tolist() == marks.tolist() and cut == 1


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(8, 60))
def test_both_texts_fit_into_a_row_and_only_whole_answers_end(prompt, chosen, rejected, length):
    """`.` is one token, and an answer that is cut has no end to be learned."""
    plain_text = ("{system}", "{user}", "{assistant}")
    answers = "." * chosen, "," * rejected
    tokens, marks, cut = encode("!" * prompt, *answers, length=length, chat_template=plain_text)
    assert len(tokens) == len(marks) <= length
    (end,) = np.flatnonzero(marks & END)
    assert tokens[end] == EOT and tokens.count(EOT) == 2
    whole = prompt + len(OURS.encode(answers[0])) + 1, prompt + len(OURS.encode(answers[1])) + 1
    for text, size, mark in ((slice(0, end + 1), whole[0], CHOSEN), (slice(end + 1, None), whole[1], REJECTED)):
        if not cut:
            assert len(tokens[text]) == size
        assert tokens[text][0] in OURS.encode("!" * prompt), "something is left of the prompt"
        assert (marks[text][-1] & mark > 0) == (sum(marks[text] & mark > 0) == size - prompt)
    assert sum(whole) <= length if not cut else sum(whole) > length


def test_prompts_and_answers_may_be_messages(tmp_path):
    talk = [Message("system", "Be kind."), Message("user", "hi")]
    rows = [ROW, ROW | {"prompt": plain(talk), "chosen": plain([Message("assistant", "yes")])}]
    source = write(tmp_path / "a.jsonl", rows)
    first, second = read_examples([source], PREFERENCES, options(source))
    assert first.values["prompt"] == (Message("user", "你好？"),) and first.values["chosen"] == "Hello."
    assert second.values["prompt"] == tuple(talk) and second.values["chosen"] == "yes"
    assert second.text == ChatTemplate.parse(options().chat_template).render([*talk, Message("assistant", "yes")])


def test_pairs_of_one_prompt_are_on_one_side():
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "你好？"}]
    for prompt, expected in (("你好？", "你好？"), (messages, "Be kind.\n你好？")):
        rows = [{"prompt": prompt, "chosen": chosen, "rejected": "bye"} for chosen in ("Hello.", "你好。")]
        assert {PREFERENCES.key(PREFERENCES.check(row, options())) for row in rows} == {expected}


def test_the_built_in_pairs():
    examples = list(read_examples(["builtin:chat"], PREFERENCES, options("builtin:chat")))
    assert len(examples) > 1000
    answers = {example.values["chosen"] for example in examples}
    assert all(example.values["rejected"] in answers for example in examples[:50])
    assert len(list(read_examples(["builtin:chat/chinese"], PREFERENCES, options("builtin:chat/chinese")))) > 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": "bye"}, r'a\.jsonl, line 1: "chosen" and "rejected" are the same'),
        ({"chosen": " "}, '"chosen" is empty; give each row its text'),
        ({"rejected": 3}, '"rejected" is a number, not a string'),
        ({"prompt": []}, '"prompt" is an empty list; give each row its messages'),
        ({"prompt": None}, '"prompt" is null, not a string'),
        ({"chosen": plain([Message("user", "a")])}, '"chosen" must be a text, or one message of the assistant'),
        ({"prompt": [{"role": "bot", "content": "a"}]}, "the role 'bot' is none of"),
    ],
)
def test_what_is_no_pair_is_told_with_its_place(tmp_path, change, message):
    source = write(tmp_path / "a.jsonl", [ROW | change])
    with pytest.raises(UserError, match=message):
        list(read_examples([source], PREFERENCES, options(source)))


def test_a_field_that_is_missing(tmp_path):
    source = write(tmp_path / "a.jsonl", [{"prompt": "a", "chosen": "b"}])
    with pytest.raises(UserError, match='line 1: no "rejected" field'):
        list(read_examples([source], PREFERENCES, options(source)))
    (tmp_path / "b.jsonl").write_text(json.dumps({"q": "a", "good": "b", "bad": "c"}))
    names = {"prompt_field": "q", "chosen_field": "good", "rejected_field": "bad"}
    (example,) = read_examples([f"{tmp_path}/b.jsonl"], PREFERENCES, options(**names))
    assert example.values["rejected"] == "c"
