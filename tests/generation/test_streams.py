"""Sentinels are replaced by what was written for them."""

import pytest

from data.tokenizer import TokenizerConfig, train
from generation.streams import SpanStream

SENTINELS = tuple(f"<extra_id_{number}>" for number in reversed(range(5)))


@pytest.fixture(scope="module")
def tokenizer():
    return train(["我 am a student. 你好"] * 20, TokenizerConfig(280, "bpe", 1.0, True, True, SENTINELS))


@pytest.mark.parametrize(
    ("source", "written", "text", "stopped"),
    [
        ("I <extra_id_0> a <extra_id_1>.", "<extra_id_0>am<extra_id_1>student", "I am a student.", False),
        ("I <extra_id_0> a.", "<extra_id_0>am<extra_id_1>more", "I am a.", True),
        ("I <extra_id_0> <extra_id_1>", "<extra_id_1>b<extra_id_0>a", "I a b", False),  # in any order
        ("I <extra_id_0> <extra_id_1>", "<extra_id_0>a", "I a <extra_id_1>", False),  # not all were written
        ("I <extra_id_0>", "nothing", "I <extra_id_0>", False),
        ("我<extra_id_0>。", "<extra_id_0>你好", "我你好。", False),
    ],
)
def test_spans_take_their_places(tokenizer, source, written, text, stopped):
    stream = SpanStream(tokenizer, tokenizer.encode(source))
    pieces = []
    for token in tokenizer.encode(written):
        pieces.append(stream.add(token))
        if stream.stopped:
            break
    assert stream.stopped is stopped
    assert (stream.text if stopped else stream.end()) == text
    assert "".join(pieces) == (text if stopped else "")
