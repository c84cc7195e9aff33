"""What is streamed joins to the text that all tokens make together; sentinels are replaced by what was written for them."""

import functools
import random
import time

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, trainers

from data.hf_tokenizer import HfTokenizer, from_word_pieces
from data.tokenizer import TokenizerConfig, train
from generation.streams import SpanStream, TextStream

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


@functools.cache
def streaming(kind: str):
    """Tokenizers that put text together in different ways."""
    texts = ["the cat sat on the mat, and don't .", "你好，世界 the 世界"] * 20
    if kind == "ours":
        return train(texts, TokenizerConfig(310, "bpe", 1.0, byte_fallback=True, split_digits=True))
    if kind == "word pieces":
        pieces = "[UNK] [CLS] [SEP] the cat sat mat on and don ' t . , ##s ##at 你 好 世 界"
        return HfTokenizer({"tokenizer.json": from_word_pieces(pieces.replace(" ", "\n").encode(), {})})
    bytewise = tokenizers.Tokenizer(models.BPE())
    if kind == "bytes":
        bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bytewise.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:  # as Llama's and T5's: a text's first word loses its space
        bytewise.pre_tokenizer = pre_tokenizers.Metaspace()
        bytewise.decoder = decoders.Sequence([decoders.Metaspace()])
        alphabet = sorted(set("".join(texts)))
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    bytewise.train_from_iterator(texts, trainer)
    return HfTokenizer({"tokenizer.json": bytewise.to_str().encode()})


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["ours", "word pieces", "bytes", "spaces"]),
    seed=st.integers(0, 10**6),
    size=st.integers(0, 150),
)
def test_however_long_it_joins_to_what_all_tokens_make_together(kind, seed, size):
    tokenizer, draw = streaming(kind), random.Random(seed)
    prompt = tokenizer.encode("the cat")
    words = [tokenizer.encode(word) for word in ("the", " cat", "你好", " 世界", ".", " ", "é", "😀", "\n")]
    tokens = [token for _ in range(size) for token in draw.choice(words)]
    if draw.random() < 0.5:  # and whatever comes, half characters and special tokens
        tokens = [draw.randrange(tokenizer.vocab_size) if draw.random() < 0.3 else token for token in tokens]
    stream = TextStream(tokenizer, (), prompt)
    pieces = [stream.add(token) for token in tokens]
    whole = tokenizer.decode([*prompt[-1:], *tokens]).removeprefix(tokenizer.decode(prompt[-1:]))
    assert "".join([*pieces, stream.end()]) == stream.text == whole


def test_a_token_takes_no_longer_where_many_came_before():
    stream = TextStream(streaming("ours"), ("never",))
    tokens = streaming("ours").encode("the cat 你好 " * 4000)

    def seconds(tokens: list[int]) -> float:
        begin = time.perf_counter()
        for token in tokens:
            stream.add(token)
        return time.perf_counter() - begin

    first, *_, last = [seconds(tokens[start : start + 1000]) for start in range(0, len(tokens) - 1000, 1000)]
    assert last < 3 * first + 0.1
