"""Words with labels: the pieces of each, whatever the tokenizer, against properties and the whole text's own pieces."""

import io
import json
from types import SimpleNamespace

import pytest
import sentencepiece
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from common.errors import UserError
from data.config import DataConfig
from data.forms.form import Example
from data.forms.tags import TAGS
from data.forms.words import cut_words, encode_parts, first_of_word, join_words
from data.hf_tokenizer import HfTokenizer, from_word_pieces
from data.tokenizer import Tokenizer, TokenizerConfig, train

TEXT = ["今天天气很好，我们去公园。", "The cats are walking to the garden, and they're unbelievable! 1984"] * 20
ENGLISH = ["The", "cats", "they're", "unbelievable", "!", "garden", "1984", "x", "ñandú", "(", "-"]
CHINESE = ["今", "天", "天气", "很", "好", "，", "我们", "。", "龘", "公园", "Ａ"]
OTHERS = ["▁", "🙂", "a\u0301", "[MASK]", "New York", "\u200b", "\n", "12天"]
WORDS = st.lists(st.sampled_from(ENGLISH + CHINESE) | st.sampled_from(OTHERS), min_size=1, max_size=12)


def ours(model_type: str, size: int = 340) -> Tokenizer:
    return train(TEXT, TokenizerConfig(size, model_type, 0.99, True, True))


def byte_level() -> HfTokenizer:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return HfTokenizer({"tokenizer.json": tokenizer.to_str().encode()})


def word_pieces() -> HfTokenizer:
    letters = sorted({character for text in TEXT for character in text.lower() if not character.isspace()})
    names = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *(f"##{letter}" for letter in letters),
        "cats",
        "the",
    ]
    return HfTokenizer({"tokenizer.json": from_word_pieces("\n".join(names).encode(), {})})


def metaspace() -> HfTokenizer:
    """As XLM-R's and newer Llamas' are: a space before the text, of SentencePiece's kind."""
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(tokenizers.Regex(r"\s+"), " ")]
    )
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, show_progress=False, special_tokens=["<s>", "</s>", "<unk>"], unk_token="<unk>"
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    ids = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ids)
    return HfTokenizer({"tokenizer.json": tokenizer.to_str().encode()})


LOSSLESS = {name: ours(name) for name in ("bpe", "char", "byte")} | {"unigram": ours("unigram", 300)}
LOSSLESS["byte-level"] = byte_level()
PUBLISHED = {"word pieces": word_pieces(), "metaspace": metaspace()}
EVERY = LOSSLESS | PUBLISHED


def test_a_space_stands_between_words_but_not_between_chinese_ones():
    assert join_words(["我们", "在", "Google", "工作", "，", "OK", "?", "東京タワー", "へ"]) == [
        *("我们", "在", " Google", " 工作", "，", " OK", " ?", " 東京タワー", "へ")
    ]
    assert join_words(["one"]) == ["one"] and join_words([]) == []


@pytest.mark.parametrize("name", LOSSLESS)
@settings(max_examples=60, deadline=None)
@given(words=WORDS)
def test_the_pieces_make_the_text_and_each_word_has_its_own(name, words):
    tokenizer, parts = LOSSLESS[name], join_words(words)
    (pieces,) = encode_parts([parts], tokenizer)
    assert [tokenizer.decode(part) for part in pieces] == parts or any("▁" in word for word in words)
    assert tokenizer.decode([token for part in pieces for token in part]) == "".join(parts)
    for word, part in zip(words, pieces, strict=True):
        at = first_of_word(part, tokenizer)
        assert tokenizer.decode(part[at:]).lstrip(" ") == word or word == "▁"
        assert tokenizer.decode(part[:at]) in ("", " ")


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=60, deadline=None)
@given(words=st.lists(st.sampled_from(ENGLISH), min_size=1, max_size=12))
def test_words_with_spaces_have_the_pieces_of_the_whole_text(name, words):
    tokenizer, parts = EVERY[name], join_words(words)
    (pieces,) = encode_parts([parts], tokenizer)
    assert [token for part in pieces for token in part] == tokenizer.encode("".join(parts))


@pytest.mark.parametrize("name", PUBLISHED)
@settings(max_examples=60, deadline=None)
@given(words=WORDS)
def test_every_word_has_a_piece_whatever_the_tokenizer_drops(name, words):
    tokenizer = PUBLISHED[name]
    (pieces,) = encode_parts([join_words(words)], tokenizer)
    assert len(pieces) == len(words) and all(pieces)


def test_hugging_faces_own_alignment_of_words_is_the_same():
    """tokenizers marks which word a piece is of, where it is given words apart."""
    tokenizer, words = PUBLISHED["word pieces"], ["The", "cats", "今天", "walking", "。", "zzz"]
    encoding = tokenizers.Tokenizer.from_str(tokenizer.files["tokenizer.json"].decode()).encode(
        words, is_pretokenized=True, add_special_tokens=False
    )
    (pieces,) = encode_parts([join_words(words)], tokenizer)
    assert [token for part in pieces for token in part] == encoding.ids
    assert [number for number, part in enumerate(pieces) for _ in part] == encoding.word_ids


LLAMA = {"model_type": "bpe", "byte_fallback": True, "bos_id": 1, "eos_id": 2, "unk_id": 0}
LLAMA |= {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
T5 = {"model_type": "unigram", "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}


@pytest.mark.parametrize("how", [LLAMA, T5])
def test_a_tokenizer_that_begins_texts_with_a_space(how):
    """SentencePiece as Llama and T5 have it: only the first word gets that space; Chinese words within a text do not."""
    model, text = io.BytesIO(), ["The fox and the dog.", "我们是学生。", "the the fox fox 学生 学生 我们"] * 9
    options = {"vocab_size": 300, "hard_vocab_limit": False, "minloglevel": 2, **how}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(text), model_writer=model, **options)
    tokenizer = Tokenizer(model.getvalue())
    (pieces,) = encode_parts([join_words(["The", "fox", "我们", "是", "学生"])], tokenizer)
    assert tokenizer.piece(pieces[0][0]).startswith("▁") and tokenizer.piece(pieces[1][0]).startswith("▁")
    assert [token for part in pieces[:2] for token in part] == tokenizer.encode("The fox")
    assert not any(tokenizer.piece(part[0]).startswith("▁") for part in pieces[3:])


def options(**changes):
    return DataConfig(("unused",), (), 0.25, 8, "unused", **changes)


def test_the_label_stands_at_the_first_piece_of_its_word():
    words, tags = ["New", "York", "我", "们"], ["B-LOC", "I-LOC", "O", "B-PER"]
    example = Example("", "", values={"tokens": words, "tags": tags})
    classes = ("O", "B-LOC", "B-PER", "I-LOC")
    found = TAGS.encode([example], LOSSLESS["char"], classes, options(tokens_field="unused"))
    assert found.cut == 1 and LOSSLESS["char"].decode(found.tokens[0]) == "New Yor"
    assert found.marks == [[1, -1, -1, -1, 3, -1, -1, -1]], "not at the space, and none at the end of text"
    framed = TAGS.encode([example], PUBLISHED["word pieces"], classes, options())
    assert framed.tokens[0][-1] == PUBLISHED["word pieces"].suffix[0] and framed.marks[0][-2:] == [-1, -1]
    assert len(framed.tokens[0]) == 7 and len(framed.marks[0]) == 8


def test_a_word_that_the_tokenizer_has_no_piece_for():
    tokenizer = SimpleNamespace(encode_all=lambda texts: [[] for _ in texts], unknown=None, piece=str)
    with pytest.raises(UserError, match="the tokenizer has no piece for the word 'a'; leave it out"):
        encode_parts([["a"]], tokenizer)


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        (["a", "b"], ["O"], '"words" has 2 words and "kinds" 1 labels; give each word one'),
        (["a", "b"], ["O", "I-PER"], '"kinds": label 2, I-PER, follows O; a name begins with B-PER'),
        (["a", "b"], ["B-LOC", "I-PER"], '"kinds": label 2, I-PER, follows B-LOC; a name begins with B-PER'),
        (["a"], ["I-PER"], "label 1, I-PER, follows O"),
        (["a"], ["S-PER"], "label 1, 'S-PER', is none of O, B-TYPE and I-TYPE"),
        (["a"], ["B-"], "label 1, 'B-', is none of"),
        (["a", " "], ["O", "O"], '"words": word 2 is empty; leave it out, with its label'),
        ([], [], '"words" is empty; give each row its words'),
        ("a b", ["O"], '"words" is a string, not a list of strings; JSONL, Parquet and hf: have them'),
        (["a"], [3], '"kinds" has a number in it; write words, and the names of labels, such as B-PER'),
        (["\ud800"], ["O"], "half a character"),
    ],
)
def test_what_is_no_labelling_is_told(words, tags, message):
    data = options(tokens_field="words", tags_field="kinds")
    with pytest.raises(UserError) as caught:
        TAGS.check({"tokens": words, "tags": tags}, data)
    assert message in str(caught.value)


def test_json_gives_what_the_form_takes():
    values = json.loads('{"tokens": ["a", "b", "c"], "tags": ["B-X-Y", "I-X-Y", "B-X-Y"]}')
    assert TAGS.check(values, options()) == values
    assert TAGS.text(values) == "a b c"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("John lives in New York, doesn't he?", ["John", "lives", "in", "New", "York", ",", "doesn't", "he", "?"]),
        ("他在北京工作。", [*"他在北京工作。"]),
        ("我用 iPhone15，打3.5折", [*"我用", "iPhone15", *"，打", "3.5", "折"]),
        ("हिन्दी a\u0301b\t[x]", ["हिन्दी", "a\u0301b", "[", "x", "]"]),
        (" \n", []),
    ],
)
def test_words_of_a_text_that_nobody_has_cut(text, words):
    assert cut_words(text) == words


@given(WORDS)
def test_what_is_cut_into_words_loses_only_spaces(words):
    text = "".join(join_words(words))
    assert "".join(cut_words(text)) == "".join(text.split())
