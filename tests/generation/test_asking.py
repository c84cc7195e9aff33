"""What a network is given of what a user types: what its examples begin with, token by token."""

import json

import pytest

from common.errors import ConfigError
from data.chat_template import DEFAULT_TEMPLATE, ChatTemplate, Message
from data.config import DataConfig
from data.forms import Example
from data.forms.messages import MESSAGES
from data.hf_tokenizer import HfTokenizer
from generation.asking import make_asking, stops
from tests.data.test_messages import OURS, THEIRS


def ending(text):
    return ChatTemplate.parse((*DEFAULT_TEMPLATE[:2], f"{{assistant}}{text}"))


def test_what_ends_an_answer():
    assert stops(ending(""), OURS) == ()
    assert stops(ending("<end>\n"), OURS) == ("<end>\n",)
    assert stops(ending("<|endoftext|>\n"), THEIRS) == (), "where every text ends"
    model = json.loads(THEIRS.files["tokenizer.json"])
    model["added_tokens"].append(model["added_tokens"][0] | {"id": 258, "content": "<|im_end|>"})
    tokenizer = HfTokenizer({"tokenizer.json": json.dumps(model).encode()})
    with pytest.raises(ConfigError, match=r"'<\|im_end\|>' .* is a special token that ends no text"):
        stops(ending("<|im_end|>"), tokenizer)


@pytest.mark.parametrize("form", ["messages", "preferences"])
def test_what_is_typed_begins_a_dialogue(form):
    asking = make_asking(form, DataConfig("a", "", 0.1, 32, ""), OURS)
    prompt = asking.prompt("你好")
    assert prompt.text == "你好" and asking.answers and asking.stop == ()
    assert prompt.tokens[0] == OURS.end_of_text and OURS.decode(prompt.tokens[1:]) == "User:\n你好\nAssistant:\n"
    data = DataConfig("a", "", 0.1, 64, "", chat_template=(*DEFAULT_TEMPLATE[:2], "{assistant}<end>\n"))
    asking = make_asking(form, data, OURS, "Be kind.")
    messages = [Message("system", "Be kind."), Message("user", "你好"), Message("assistant", "嗯")]
    pieces = MESSAGES.encode([Example("", "", values={"messages": messages})], OURS, (), data)
    prompt = asking.prompt("你好").tokens[1:]
    assert pieces.tokens[0][: len(prompt)] == prompt and pieces.marks[0][len(prompt) - 1 : len(prompt) + 1] == [0, 1]
    assert asking.stop == ("<end>\n",)


def test_a_source_is_put_into_its_prompt_and_other_texts_go_on():
    data = DataConfig("a", "", 0.1, 32, "", prompt="zh: {source}\nen: ")
    asking = make_asking("pairs", data, OURS)
    assert asking.prompt("你好") == "zh: 你好\nen: " and asking.answers
    for form in ("", "labels"):
        asking = make_asking(form, data, OURS)
        assert asking.prompt("你好") == "你好" and not asking.answers and asking.stop == ()
