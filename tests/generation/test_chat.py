import json

import pytest

from common.errors import ConfigError
from data.chat_template import DEFAULT_TEMPLATE, ChatTemplate
from data.hf_tokenizer import HfTokenizer
from generation.chat import ask, stops
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


def test_questions_begin_dialogues():
    (prompt,) = ask(["你好"], ChatTemplate.parse(DEFAULT_TEMPLATE), OURS)
    assert prompt.text == "User:\n你好\nAssistant:\n"
    assert prompt.tokens[0] == OURS.end_of_text and OURS.decode(prompt.tokens[1:]) == prompt.text
