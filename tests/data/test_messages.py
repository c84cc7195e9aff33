"""Dialogues become tokens as generation builds them, and what is wrong in them is told with its place."""

import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError, UserError
from data.chat_template import DEFAULT_TEMPLATE, ChatTemplate, Message, Turn, keep_newest, tokens_and_marks
from data.config import DataConfig
from data.examples import load_examples, read_examples
from data.forms import FORMS, Example
from data.hf_tokenizer import HfTokenizer, from_merges
from data.tokenizer import TokenizerConfig, train

MESSAGES = FORMS["messages"]
CHATML = ("{system}\n", "<user>{user}\n", "<bot>{assistant}<end>\n")
DIALOGUE = [
    Message("system", "Be kind."),
    Message("user", "你好！"),
    Message("assistant", "Hello,\nyou."),
    Message("user", "bye"),
    Message("assistant", "再见"),
]
OURS = train(
    ["Be kind. Hello, you. bye 你好！再见 User: Assistant:"] * 9, TokenizerConfig(300, "bpe", 0.99, True, True)
)


def byte_level():
    """A tokenizer of another kind: GPT-2's, which has no merges but one."""
    from tokenizers.pre_tokenizers import ByteLevel

    pieces = sorted(ByteLevel.alphabet())
    vocab = {piece: number for number, piece in enumerate([*pieces, "lo", "<|endoftext|>"])}
    merges = "#version: 0.2\nl o\n"
    return HfTokenizer({"tokenizer.json": from_merges(json.dumps(vocab).encode(), merges.encode(), {})})


THEIRS = byte_level()


def options(source="unused", length=128, **changes):
    return DataConfig((source,), (), 0.25, length, "unused", **changes)


def encode(dialogues, tokenizer=OURS, **changes):
    examples = [Example("unused", "unused", None, {"messages": tuple(each)}, "here") for each in dialogues]
    return MESSAGES.encode(examples, tokenizer, (), options(**changes))


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def plain(messages):
    return [message._asdict() for message in messages]


@pytest.mark.parametrize("tokenizer", [OURS, THEIRS])
def test_answers_and_the_end_of_text_behind_each_are_marked(tokenizer):
    pieces = encode([DIALOGUE], tokenizer)
    ((tokens,), (marks,)) = pieces.tokens, pieces.marks
    assert len(marks) == len(tokens) + 1 and pieces.cut == 0
    end = tokenizer.end_of_text
    learned = [token for token, mark in zip([*tokens, end], marks, strict=True) if mark]
    assert learned == [*tokenizer.encode("Hello,\nyou."), end, *tokenizer.encode("再见"), end]
    assert tokenizer.decode([token for token in tokens if token != end]) == (
        "Be kind.\nUser:\n你好！\nAssistant:\nHello,\nyou.User:\nbye\nAssistant:\n再见"
    )


def test_an_answer_may_end_with_a_text():
    pieces = encode([DIALOGUE], chat_template=CHATML)
    ((tokens,), (marks,)) = pieces.tokens, pieces.marks
    assert OURS.end_of_text not in tokens and marks[-1] == 1
    learned = OURS.decode([token for token, mark in zip(tokens, marks[:-1], strict=True) if mark])
    assert learned == "Hello,\nyou.<end>\n再见<end>\n"
    assert OURS.decode(tokens) == ChatTemplate.parse(CHATML).render(DIALOGUE)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<"), max_size=12)
MANY = st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), TEXTS), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(MANY, st.sampled_from([DEFAULT_TEMPLATE, CHATML]), st.sampled_from([OURS, THEIRS]))
def test_training_sees_what_generation_builds_before_each_answer(messages, lines, tokenizer):
    template = ChatTemplate.parse(lines)
    whole, marks = tokens_and_marks(template.encode([messages], tokenizer)[0])
    for place, message in enumerate(messages):
        if message.role == "assistant":
            before = tokens_and_marks(template.encode([messages[:place]], tokenizer)[0])[0]
            prompt = [*before, *tokenizer.encode(template.opening)]
            assert whole[: len(prompt)] == prompt and marks[len(prompt) - 1 : len(prompt) + 1] in ([0, 1], [1])


def test_of_a_long_dialogue_the_oldest_turns_go():
    (whole,), (only_last,) = encode([DIALOGUE]).tokens, encode([[DIALOGUE[0], *DIALOGUE[3:]]]).tokens
    assert encode([DIALOGUE], length=len(whole) + 1).cut == 0
    cut = encode([DIALOGUE, DIALOGUE[3:]], length=len(whole))
    assert cut.tokens[0] == only_last and cut.cut == 1 and cut.marks[0][-1] == 1
    shorter = encode([DIALOGUE], length=len(only_last))
    assert shorter.tokens[0] == only_last[:-1] and shorter.marks[0][-1] == 0, "it does not end there"
    assert shorter.cut == 1


def test_turns_are_kept_from_a_users_on():
    turns = [Turn(role, [1] * 3, []) for role in ("system", "user", "assistant", "assistant", "user", "user")]
    sizes = [len(keep_newest(turns, room)) for room in (18, 17, 9, 8, 0)]
    assert sizes == [6, 3, 3, 2, 2] and keep_newest(turns, 0)[0].role == "system"
    assert keep_newest(turns[2:3], 0) == turns[2:3] and keep_newest([], 0) == []


def test_a_corpus_of_dialogues(tmp_path):
    rows = [{"talk": plain([*DIALOGUE[:2], Message("assistant", f"answer {number}")])} for number in range(40)]
    rows[3]["talk"] += [{"role": "user", "content": "nobody answers", "name": "x"}]
    source, said = write(tmp_path / "a.jsonl", rows), []
    corpus = load_examples(options(source, messages_field="talk"), MESSAGES, OURS, (), said.append)
    sides = [corpus.train[source], corpus.valid[source]]
    assert sum(len(side.starts) for side in sides) == 40 and len(sides[1].starts) > 3 and not said
    for side in sides:
        assert side.marks.dtype == np.int32 and side.marks[0] == 0 and len(side.marks) == len(side.tokens)
        assert (side.marks[side.starts[1:]] == 1).all() and side.marks[-1] == 1, "the ends of the texts"
    assert not any("nobody" in OURS.decode(side.tokens) for side in sides)
    other = options(source, messages_field="talk", chat_template=CHATML)
    assert load_examples(other, MESSAGES, OURS, (), said.append).fingerprint != corpus.fingerprint


def test_the_built_in_dialogues():
    examples = list(read_examples(["builtin:chat"], MESSAGES, options("builtin:chat")))
    assert len(examples) > 1000 and all(len(example.values["messages"]) > 1 for example in examples)
    assert {example.values["messages"][0].role for example in examples} == {"user"}
    assert any("\n" in message.content for example in examples for message in example.values["messages"])
    with pytest.raises(ConfigError, match="builtin:hsk has no dialogues; builtin:chat has them"):
        list(read_examples(["builtin:hsk"], MESSAGES, options("builtin:hsk")))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("hello", r'a\.jsonl, line 1: "messages" is a string, not a list of'),
        (None, '"messages" is null, not a list'),
        ([], r'a\.jsonl, line 1: "messages" is an empty list; give each row its messages'),
        ([{"role": "user", "content": "a"}], "has no message of the assistant"),
        ([{"role": "usr", "content": "a"}], r"message 1: the role 'usr' is none of .* \(did you mean 'user'\?\)"),
        ([{"role": ["user"], "content": "a"}], "message 1: the role .* is none of system, user, assistant"),
        ([*plain(DIALOGUE), {"role": "user"}], r'line 1: "messages", message 6 must be .*, and has only \'role\''),
        ([{"from": "human", "value": "a"}], "must be .*, and has only 'from', 'value'"),
        (["hello"], r'message 1 must be \{"role": …, "content": …\}, not a string'),
        ([*plain(DIALOGUE), "bye"], "message 6 must be"),
        ([{"role": "user", "content": None}], 'message 1: "content" is null, not a string'),
        ([{"role": "assistant", "content": "half \ud800"}], "message 1: the text has half a character"),
    ],
)
def test_what_is_no_dialogue_is_told_with_its_place(tmp_path, value, message):
    source = write(tmp_path / "a.jsonl", [{"messages": value}])
    with pytest.raises(UserError, match=message):
        list(read_examples([source], MESSAGES, options(source)))


def test_an_answer_that_would_end_early_is_refused(tmp_path):
    source = write(tmp_path / "a.jsonl", [{"messages": plain(DIALOGUE)}])
    with pytest.raises(UserError, match=r"line 1: .*message 3: the answer holds '\\n', which ends answers"):
        list(read_examples([source], MESSAGES, options(source, chat_template=("{system}", "{user}", "{assistant}\n"))))


@pytest.mark.parametrize(
    "lines", [(), ("{system}", "{user}"), ("{system}", "{user}", "{content}"), (*DEFAULT_TEMPLATE, "more")]
)
def test_a_template_that_is_none(lines):
    with pytest.raises(ConfigError, match=r"must be three texts that hold \{system\}, \{user\} and \{assistant\} once"):
        options(chat_template=lines)


def test_parquet_has_them_too(tmp_path):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"messages": plain(DIALOGUE)}] * 2), tmp_path / "a.parquet")
    examples = list(read_examples([f"{tmp_path}/a.parquet"], MESSAGES, options()))
    assert [example.values["messages"] for example in examples] == [tuple(DIALOGUE)] * 2
    assert examples[1].place == f"{tmp_path}/a.parquet, row 2"
