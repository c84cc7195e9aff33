import dataclasses
import functools
import os
import re
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.errors import ConfigError, UserError
from data.tokenizer import END_OF_TEXT, LINE_LENGTH, Tokenizer, train
from tests.conftest import ROOT
from tests.data.texts import TEXTS

# All of Unicode but surrogates, which are no characters; the second has more of what tokenizers get wrong.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
HARD_TEXT = st.lists(
    st.sampled_from([" ", "  ", "\n", "\t", "\r", "\0", "0", "42", "the", "Fox", "天气", "\u2581", "\u2585"])
    | st.sampled_from(
        ["\u2047", "\ufeff", "\ufffd", "e\u0301", "👩‍👩‍👧", "\u3000", "\u00a0", END_OF_TEXT, "<unk>", "<0x41>", "<s>"]
    ),
    max_size=12,
).map("".join)


@given(ANY_TEXT | HARD_TEXT)
@example("")
@example(" leading, two  inside, trailing ")
@example("\n\n a\n b \n")
@example("\u2581 is how SentencePiece writes a space\u2581\u2581")
@example("\x00\x01\x1f\x7f\x85")
@settings(max_examples=300, deadline=None)
def test_decoding_gives_back_any_text(tokenizer, text):
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert tokenizer.unknown not in tokens and tokenizer.end_of_text not in tokens


@given(st.lists(ANY_TEXT | HARD_TEXT, max_size=5))
@settings(max_examples=30, deadline=None)
def test_many_texts_are_encoded_as_one(tokenizer, texts):
    assert tokenizer.encode_all(texts) == [tokenizer.encode(text) for text in texts]


def test_half_a_character_is_refused(tokenizer):
    with pytest.raises(UserError, match=r"half a character, U\+D800 at 2"):
        tokenizer.encode("ab\ud800")


@pytest.mark.parametrize("text", [" world", "  two", "\n", " ", " 天"])
def test_a_continuation_decoded_alone_keeps_its_leading_space(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text
    whole = tokenizer.encode("the fox") + tokenizer.encode(text)
    assert tokenizer.decode(whole) == "the fox" + text


def test_training_finds_the_words_of_the_text(tokenizer):
    assert tokenizer.vocab_size == 400
    pieces = [tokenizer.piece(token) for token in tokenizer.encode("and the fox")]
    assert pieces == ["and", "▁the", "▁fox"]


@pytest.mark.parametrize("model_type", ["bpe", "unigram", "char"])
def test_equal_texts_and_configs_give_equal_bytes(tokenizer_config, model_type):
    config = tokenizer_config(model_type=model_type, vocab_size=320)
    model = train(TEXTS, config).model
    assert train(iter(TEXTS), config).model == model
    assert train([*TEXTS, "over the lazy dog " * 9], config).model != model
    assert train(TEXTS, dataclasses.replace(config, split_digits=False)).model != model


PROGRAM = """
import os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
from data.tokenizer import TokenizerConfig, train
from tests.conftest import ROOT
from tests.data.texts import TEXTS
for kind in ("bpe", "unigram", "char", "byte"):
    print(train(TEXTS, TokenizerConfig(320, kind, 0.98, True, True)).model.hex())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux lets a process have fewer cores")
def test_every_process_trains_the_same_on_any_number_of_cores():
    """SentencePiece sums in as many parts as it has threads: it must not take one for each core."""
    done = [
        subprocess.run([sys.executable, "-c", PROGRAM, cores], cwd=ROOT, capture_output=True, text=True, check=True)
        for cores in ("1", "64")
    ]
    assert done[0].stdout == done[1].stdout and len(set(done[0].stdout.split())) == 4


def test_a_kept_model_is_the_same_tokenizer(tokenizer):
    kept = Tokenizer(tokenizer.model)
    assert kept.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])
    assert (kept.vocab_size, kept.end_of_text, kept.unknown) == (400, tokenizer.end_of_text, tokenizer.unknown)


@pytest.mark.parametrize("model", [b"", b"not a model", b"\x0a\x05hello"])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(UserError, match="the tokenizer is not a SentencePiece model"):
        Tokenizer(model)


def test_each_digit_is_a_piece(tokenizer_config):
    texts = ["1984 1984 1984 1984 in 1984"] * 5
    whole = train(texts, tokenizer_config(split_digits=False, vocab_size=275))
    split = train(texts, tokenizer_config(vocab_size=268))
    assert any("1984" in whole.piece(token) for token in whole.encode("in 1984"))
    assert [split.piece(token) for token in split.encode("1984")] == ["1", "9", "8", "4"]


def test_a_newline_is_a_piece_of_its_own(tokenizer):
    (newline,) = tokenizer.encode("\n")
    assert tokenizer.piece(newline) == "\n"
    assert tokenizer.encode("fox\n\nthe").count(newline) == 2
    with_newline = [token for token in range(tokenizer.vocab_size) if "\n" in tokenizer.piece(token)]
    assert with_newline == [newline]


def test_runs_of_spaces_are_pieces_where_asked_for(tokenizer_config):
    code = ["def f(x):\n    if x:\n        return  x\n\t\tgo\n"] * 30
    text = "        return  x\n\t\tgo"
    counts = []
    for space_pieces in (False, True):
        tokenizer = train(code, tokenizer_config(vocab_size=290, space_pieces=space_pieces))
        pieces = [tokenizer.piece(token) for token in tokenizer.encode(text)]
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert any(set(piece) == {"\u2581"} and len(piece) > 1 for piece in pieces) == space_pieces
        counts.append(len(pieces))
    assert counts[1] <= counts[0] - 4


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
def test_user_symbols_are_never_cut_nor_joined(tokenizer_config, model_type):
    texts = [*TEXTS, "a->b, c->d, e->f; the->the, 3.14 and C++"]
    symbols = ("->", "C++", "3.14", ",")
    tokenizer = train(texts, tokenizer_config(model_type=model_type, vocab_size=330, user_symbols=symbols))
    pieces = [tokenizer.piece(token) for token in tokenizer.encode("x->the, C++3.14")]
    assert [piece for piece in pieces if piece in symbols] == ["->", ",", "C++", "3.14"]
    assert tokenizer.is_text[[tokenizer.encode(symbol)[-1] for symbol in symbols]].all()
    assert tokenizer.vocab_size == 330


def test_bytes_need_no_text_and_have_special_tokens_too(tokenizer_config):
    config = tokenizer_config(model_type="byte", vocab_size=4096, special_tokens=("[MASK]", "<extra_id_0>"))
    tokenizer = train([], config)
    assert (
        tokenizer.vocab_size == 260 and len(tokenizer.sentinels) == 1 and tokenizer.prefix == (tokenizer.end_of_text,)
    )
    assert tokenizer.encode("é[MASK]")[2:] == [tokenizer.mask] and not tokenizer.is_text[tokenizer.mask]
    assert tokenizer.is_text.sum() == 256


def test_special_tokens_have_no_text_and_no_text_gives_them(tokenizer):
    assert tokenizer.piece(tokenizer.end_of_text) == END_OF_TEXT
    assert tokenizer.decode([tokenizer.end_of_text]) == ""
    assert tokenizer.end_of_text not in tokenizer.encode(END_OF_TEXT)


def test_bytes_that_are_no_utf8_show_as_replacement_characters(tokenizer):
    tokens = tokenizer.encode("龘")
    assert len(tokens) == 3
    assert tokenizer.decode(tokens[:2]) == "\ufffd\ufffd"


def test_a_character_vocabulary_is_all_characters_and_no_more(tokenizer_config):
    text = "abc 天\nabc"
    config = tokenizer_config(model_type="char", vocab_size=4096, character_coverage=1.0, byte_fallback=False)
    tokenizer = train([text], config)
    assert tokenizer.vocab_size == len({"unknown", "end of text"} | set(text))
    assert len(tokenizer.encode(text)) == len(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("龘") == [tokenizer.unknown]


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
@pytest.mark.parametrize("special_tokens", [(), ("[MASK]", "<extra_id_0>")])
def test_a_vocabulary_that_is_too_large_says_what_is_possible(tokenizer_config, special_tokens, model_type):
    tokenizer_config = functools.partial(tokenizer_config, model_type=model_type)
    with pytest.raises(ConfigError) as caught:
        train(TEXTS, tokenizer_config(special_tokens=special_tokens, vocab_size=5000))
    most = re.fullmatch(
        r"tokenizer.vocab_size=5000 is more than this text gives pieces for; "
        r"set --config.tokenizer.vocab_size=(\d+) or less",
        str(caught.value),
    )
    most = int(most[1])
    assert train(TEXTS, tokenizer_config(special_tokens=special_tokens, vocab_size=most)).vocab_size == most
    with pytest.raises(ConfigError):
        train(TEXTS, tokenizer_config(special_tokens=special_tokens, vocab_size=most + 1))


@pytest.mark.parametrize("special_tokens", [(), ("[MASK]", "<extra_id_0>")])
def test_a_vocabulary_that_is_too_small_says_what_is_needed(tokenizer_config, special_tokens):
    with pytest.raises(ConfigError) as caught:
        train(TEXTS, tokenizer_config(special_tokens=special_tokens, vocab_size=270))
    least = re.fullmatch(
        r"tokenizer.vocab_size=270 is too small for this text's characters; "
        r"set --config.tokenizer.vocab_size=(\d+) or more, or a lower tokenizer.character_coverage",
        str(caught.value),
    )
    least = int(least[1])
    assert train(TEXTS, tokenizer_config(special_tokens=special_tokens, vocab_size=least)).vocab_size == least
    with pytest.raises(ConfigError):
        train(TEXTS, tokenizer_config(special_tokens=special_tokens, vocab_size=least - 1))


@pytest.mark.parametrize("texts", [[], ["\n\n"], ["\u2585 \u2585\u2585"]])
def test_no_text_to_train_on_is_one_clear_error(tokenizer_config, texts):
    with pytest.raises(ConfigError, match="there is no line of text that a tokenizer can be trained on"):
        train(texts, tokenizer_config())


def test_a_line_of_any_length_counts(tokenizer_config):
    line = "the fox and the dog " * (LINE_LENGTH // 4)
    tokenizer = train([line], tokenizer_config(vocab_size=280))
    assert len(tokenizer.encode("the fox and the dog")) < 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model_type": "bpee"},
            "model_type='bpee' is not known (did you mean 'bpe'?); choose from: bpe, byte, char, unigram",
        ),
        ({"vocab_size": 2, "byte_fallback": False}, "vocab_size=2 must be at least 3"),
        ({"vocab_size": 259}, "vocab_size=259 must be above 259 with byte_fallback"),
        ({"model_type": "byte", "vocab_size": 257}, "vocab_size=257 must be above 257 with byte_fallback"),
        ({"model_type": "byte", "byte_fallback": False}, "model_type='byte' has nothing but bytes"),
        ({"model_type": "byte", "user_symbols": ("->",)}, "user_symbols: model_type='byte' has no pieces but bytes"),
        ({"user_symbols": ("[MASK]",)}, "user_symbols: '[MASK]' looks special; put it in special_tokens"),
        ({"user_symbols": ("a b",)}, "user_symbols: 'a b' must be printable characters without spaces"),
        ({"user_symbols": ("",)}, "user_symbols: '' must be printable characters"),
        ({"user_symbols": ("->", "->")}, "user_symbols: each must be there only once"),
        ({"user_symbols": ("->",), "vocab_size": 260}, "vocab_size=260 must be above 260"),
        ({"sample_bytes": 0}, "sample_bytes=0 must be at least 1, or None"),
        ({"character_coverage": 0.5}, "character_coverage=0.5 must be in [0.98, 1]"),
        ({"character_coverage": 1.1}, "character_coverage=1.1 must be in [0.98, 1]"),
    ],
)
def test_options_out_of_range_are_refused(tokenizer_config, changes, message):
    with pytest.raises(ConfigError) as caught:
        tokenizer_config(**changes)
    assert message in str(caught.value)


def test_characters_that_the_coverage_leaves_out_are_spelled_in_bytes(tokenizer_config):
    texts = ["a" * 990 + "今"]
    covered = train(texts, tokenizer_config(character_coverage=1.0, vocab_size=261))
    left_out = train(texts, tokenizer_config(character_coverage=0.98, vocab_size=261))
    assert [len(tokenizer.encode("今")) for tokenizer in (covered, left_out)] == [1, 3]
