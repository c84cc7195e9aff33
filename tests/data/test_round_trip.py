"""Any text comes back as it was, from every kind of tokenizer that has bytes for what has no piece."""

import sys
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.tokenizer import TokenizerConfig, train
from tests.data.texts import TEXTS


def scripts() -> dict[str, list[str]]:
    """All letters, marks and numbers by the first word of their name, which is that of the script: LATIN, HAN as CJK …"""
    found: dict[str, list[str]] = {}
    for point in range(sys.maxunicode + 1):
        character = chr(point)
        if unicodedata.category(character)[0] in "LMN":
            found.setdefault(unicodedata.name(character, "?").split()[0], []).append(character)
    return found


SCRIPTS = scripts()
SKIN_TONES = [chr(point) for point in range(0x1F3FB, 0x1F400)]
REGIONS = [chr(point) for point in range(0x1F1E6, 0x1F200)]
PEOPLE = ["👩", "👨", "🧑", "👧", "❤\ufe0f", "🚀", "🏳\ufe0f", "🌈", "☠\ufe0f", "✈\ufe0f"]
EMOJI = st.one_of(
    st.lists(st.sampled_from(PEOPLE), min_size=2, max_size=4).map("\u200d".join),  # joined to one, as families are
    st.tuples(st.sampled_from("👋👍🤝🧑"), st.sampled_from(SKIN_TONES)).map("".join),
    st.tuples(st.sampled_from(REGIONS), st.sampled_from(REGIONS)).map("".join),  # flags of countries
    st.sampled_from("0123456789#*").map(lambda key: f"{key}\ufe0f\u20e3"),  # keycaps
    st.just("🏴" + "".join(chr(0xE0000 + ord(letter)) for letter in "gbeng") + "\U000e007f"),  # of tags
)
SPACE = [chr(point) for point in range(0x110000) if chr(point).isspace()]  # all 29 of Python's
PARTS = {
    "a script": st.sampled_from(sorted(SCRIPTS)).flatmap(
        lambda script: st.text(SCRIPTS[script], min_size=1, max_size=5)
    ),
    "emoji": EMOJI,
    "control": st.text(st.characters(categories=["Cc", "Cf"]), min_size=1, max_size=4),
    "marks": st.tuples(st.characters(categories=["L"]), st.text(st.characters(categories=["M"]), max_size=5)).map(
        "".join
    ),
    "private or unassigned": st.text(st.characters(categories=["Co", "Cn"]), min_size=1, max_size=4),
    "space": st.text(st.sampled_from([" ", " ", "\n", "\t", *SPACE]), min_size=1, max_size=6),
    # SentencePiece writes spaces as U+2581, unknown characters as U+2047, and keeps U+2585 for itself.
    "its own": st.sampled_from(
        ["\u2581", "\u2047", "\u2585", " \u2047 ", "<unk>", "<0x41>", "<|endoftext|>", "\ufffd"]
    ),
    "words": st.sampled_from(["the", " fox", "天气", "1984", "[MASK]", "->", "."]),
}
ANY_TEXT = st.lists(st.one_of(*PARTS.values()), max_size=8).map("".join)
KINDS = {
    "bpe": {},
    "unigram": {"vocab_size": 330},
    "char": {},
    "byte": {},
    "spaces, symbols": {"space_pieces": True, "user_symbols": ("->", "吗？"), "special_tokens": ("[MASK]",)},
}


@pytest.fixture(scope="module")
def tokenizers():
    def make(kind: str, changes: dict):
        return train([*TEXTS, "    a -> b\n        c -> d\n"], TokenizerConfig(
            **{"vocab_size": 400, "model_type": kind if "," not in kind else "bpe", "character_coverage": 0.98,
               "byte_fallback": True, "split_digits": True} | changes))  # fmt: skip

    return {kind: make(kind, changes) for kind, changes in KINDS.items()}


def test_there_are_all_scripts():
    """Of those that Unicode has, which are 170 and more, only a few share a first word (OLD ITALIC and OLD TURKIC)."""
    for name in ("LATIN", "CJK", "ARABIC", "DEVANAGARI", "HANGUL", "CUNEIFORM", "TANGUT", "ADLAM", "KHITAN", "TIBETAN"):
        assert name in SCRIPTS
    assert len(SCRIPTS) > 150 and len(SPACE) == 29


@pytest.mark.parametrize("kind", KINDS)
@given(text=ANY_TEXT)
@example(text=" \t\n\r\n  \x0b\x0c\x1c\x85\u2028\u2029\u3000 ")
@example(text="".join(map(chr, range(32))) + "\x7f" + "".join(map(chr, range(0x80, 0xA0))))
@example(text="\ufeff\ufffe\uffff\U0010ffff\ufdd0\u200b\u202e\u2066")
@settings(max_examples=150, deadline=None)
def test_any_text_comes_back(tokenizers, kind, text):
    tokenizer = tokenizers[kind]
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert tokenizer.unknown not in tokens and tokenizer.end_of_text not in tokens


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_of_each_script_comes_back(tokenizers, kind):
    texts = [f"{''.join(letters[:40])} {''.join(letters[-40:])}" for letters in SCRIPTS.values()]
    assert [tokenizers[kind].decode(tokens) for tokens in tokenizers[kind].encode_all(texts)] == texts


@given(text=ANY_TEXT)
@settings(max_examples=100, deadline=None)
def test_bytes_are_the_bytes_of_utf8(tokenizers, text):
    assert tokenizers["byte"].encode(text.replace("[MASK]", "")) == [
        2 + byte for byte in text.replace("[MASK]", "").encode()
    ]


@pytest.mark.parametrize("model_type", ["bpe", "unigram", "char"])
def test_without_bytes_what_is_unknown_shows_as_such(tokenizer_config, model_type):
    tokenizer = train(TEXTS, tokenizer_config(model_type=model_type, byte_fallback=False, vocab_size=75))
    tokens = tokenizer.encode("the 龘 fox")
    assert tokens.count(tokenizer.unknown) == 1
    assert tokenizer.decode(tokens) == "the  \u2047  fox"  # SentencePiece's mark, with a space on either side
    for text in TEXTS[::3]:
        assert tokenizer.decode(tokenizer.encode(text)) == text
