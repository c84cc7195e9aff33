import dataclasses
import errno
import json

import numpy as np
import pytest

import data.cache
import data.corpus
from common.errors import ConfigError, UserError
from data.config import DataConfig
from data.corpus import load_corpus
from data.encoded import encode_texts

TEXT = "\n\n".join(f"document {number}\nhas {number % 7} lines" for number in range(60))


@pytest.fixture
def load(tokenizer_config, tmp_path):
    """`load(text, tokenizer=None, **changes)`: the corpus of a text file, in characters unless a tokenizer is given."""
    char = tokenizer_config(model_type="char", character_coverage=1.0, byte_fallback=False)

    def make(text: str, tokenizer=char, **changes):
        path = tmp_path / "text.txt"
        path.write_text(text, encoding="utf-8")
        options = {
            "train": str(path),
            "valid": (),
            "valid_fraction": 0.1,
            "sequence_length": 16,
            "cache_dir": str(tmp_path / "cache"),
        }
        return load_corpus(DataConfig(**options | changes), tokenizer)

    return make


@pytest.fixture
def calls(monkeypatch):
    """The names of the slow functions, as they are called."""
    called = []

    def count(name):
        function = getattr(data.corpus, name)
        monkeypatch.setattr(data.corpus, name, lambda *arguments: called.append(name) or function(*arguments))

    count("train")
    count("encode_texts")
    return called


def all_texts(corpus) -> list:
    return [*corpus.train.values(), *corpus.valid.values()]


def num_train_tokens(corpus) -> int:
    return sum(text.num_tokens for text in corpus.train.values())


def texts_of(encoded, tokenizer) -> list[str]:
    """The documents, read back from the tokens as `EncodedText` describes them."""
    assert encoded.tokens[0] == tokenizer.end_of_text
    documents = []
    for start, length in zip(encoded.starts, encoded.lengths, strict=True):
        *targets, last = encoded.tokens[start + 1 : start + 1 + length]
        assert last == tokenizer.end_of_text
        documents.append(tokenizer.decode(targets))
    return documents


# What a corpus is.


def test_a_corpus_is_the_text_again(load):
    corpus = load(TEXT + "\n\n你好")
    ((source, encoded),) = corpus.valid.items()
    assert list(corpus.train) == [source]
    train_text = corpus.train[source]
    train = texts_of(train_text, corpus.tokenizer)
    valid = texts_of(encoded, corpus.tokenizer)
    assert sorted(train + valid) == sorted((TEXT + "\n\n你好").split("\n\n"))
    assert source.endswith("text.txt") and 0 < len(valid) < len(train)
    assert train_text.num_bytes == sum(len(text.encode()) for text in train)
    assert encoded.num_bytes == sum(len(text.encode()) for text in valid)
    assert train_text.num_tokens == train_text.lengths.sum() == sum(len(text) + 1 for text in train)


def test_bytes_are_counted_in_utf8(tokenizer):
    assert encode_texts(["a", "é\n", "你好", "🙂"], tokenizer).num_bytes == 1 + 3 + 6 + 4


def test_tokens_take_two_bytes_where_these_are_enough(tokenizer):
    class Large:
        vocab_size = 1 << 16
        end_of_text = 1

        def encode_all(self, texts):
            return [[self.vocab_size - 1] for _ in texts]

    assert encode_texts(["a"], tokenizer).tokens.dtype == np.uint16
    assert encode_texts(["a"], Large()).tokens.tolist() == [1, 65535, 1]
    Large.vocab_size += 1
    encoded = encode_texts(["a"], Large())
    assert encoded.tokens.dtype == np.uint32 and encoded.tokens.tolist() == [1, 65536, 1]


def test_validation_text_of_its_own_leaves_all_the_rest_for_training(load, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text('{"text": "has one line, not in any document"}\n' * 2)
    corpus = load(TEXT, valid=f"{tmp_path}/one.jsonl,{tmp_path}/two.jsonl")
    assert texts_of(*corpus.train.values(), corpus.tokenizer) == TEXT.split("\n\n")
    assert list(corpus.valid) == [f"{tmp_path}/one.jsonl", f"{tmp_path}/two.jsonl"]
    assert all(len(encoded.starts) == 2 for encoded in corpus.valid.values())


def test_the_tokenizer_is_trained_on_the_training_side_only(load):
    lines = [f"line {number}" for number in range(20)] + ["Ω"]
    corpus = load("\n".join(lines), valid_fraction=0.01)
    assert corpus.tokenizer.encode("Ω") == [corpus.tokenizer.unknown]
    assert corpus.tokenizer.unknown not in corpus.tokenizer.encode("line 0")


def test_a_tokenizer_that_is_given_is_used(load, tokenizer, calls):
    corpus = load(TEXT, tokenizer)
    assert corpus.tokenizer is tokenizer and "train" not in calls
    assert texts_of(*corpus.train.values(), tokenizer)[0] in TEXT


def test_equal_fingerprints_are_equal_text_and_tokenizer(load, tokenizer):
    fingerprint = load(TEXT).fingerprint
    assert load(TEXT).fingerprint == fingerprint
    others = [
        load(TEXT + "\n\nmore"),
        load(TEXT.replace("document 7\n", "document seven\n")),
        load(TEXT, tokenizer),
        load(TEXT, valid_fraction=0.5),
        load("\n\n".join(reversed(TEXT.split("\n\n")))),
    ]
    assert len({fingerprint, *(other.fingerprint for other in others)}) == 1 + len(others)


# What is refused.


@pytest.mark.parametrize("text", ["all of it in one line of text\n", "the same\n\nthe same\n\nthe same"])
def test_text_with_nothing_to_hold_out_is_refused_with_what_to_do(load, text):
    with pytest.raises(UserError) as caught:
        load(text)
    message = str(caught.value)
    assert "text.txt has no second document, line or sentence to hold out for validation" in message
    assert "put documents between blank lines, or give --config.data.valid=FILE" in message


def test_text_shorter_than_a_sequence_is_refused_with_what_to_do(load):
    text = "abcdef\n\n" * 9 + "ghi"  # 3 + 1 tokens where `ghi` is held out, or a tenth of the lines of the documents
    with pytest.raises(UserError) as caught:
        load(text, sequence_length=200)
    assert "less than one sequence of data.sequence_length=200; give more text or a shorter sequence" in str(
        caught.value
    )
    tokens = int(str(caught.value).split("is ")[1].split(" tokens")[0])
    with pytest.raises(UserError):
        load(text, sequence_length=tokens)
    assert num_train_tokens(load(text, sequence_length=tokens - 1)) == tokens


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": ""}, "train is empty; give a file, a glob, or builtin:hsk"),
        ({"train": (" ",)}, "train is empty"),
        ({"valid_fraction": 0.0}, "valid_fraction=0.0 must be between 0 and 1"),
        ({"valid_fraction": 1.0}, "valid_fraction=1.0 must be between 0 and 1"),
        ({"sequence_length": 1}, "sequence_length=1 must be at least 2"),
        ({"subword_sampling": 1.5}, "subword_sampling=1.5 must be in"),
        ({"subword_copies": 0}, "subword_copies=0 must be at least 1"),
        ({"subword_seed": -1}, "subword_seed=-1 must be from 0 to 4294967295"),
    ],
)
def test_options_out_of_range_are_refused(changes, message):
    config = DataConfig(("builtin:hsk",), (), 0.05, 128, "cache")
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(config, **changes)


# The cache.


def test_the_second_time_nothing_is_computed(load, calls):
    first = load(TEXT)
    assert calls == ["train", "encode_texts", "encode_texts"]
    second = load(TEXT)
    assert len(calls) == 3
    assert second.tokenizer.model == first.tokenizer.model and second.fingerprint == first.fingerprint
    for old, new in zip(all_texts(first), all_texts(second), strict=True):
        np.testing.assert_array_equal(new.tokens, old.tokens)
        np.testing.assert_array_equal(new.starts, old.starts)
        assert new.tokens.dtype == old.tokens.dtype and new.num_bytes == old.num_bytes


def test_changed_text_and_options_are_computed_anew(load, calls, tokenizer_config):
    load(TEXT)
    for change in (
        {"text": TEXT + "\n\nmore"},
        {"text": TEXT, "valid_fraction": 0.5},
        {"text": TEXT, "tokenizer": tokenizer_config(vocab_size=290, character_coverage=1.0)},
        {"text": TEXT, "tokenizer": tokenizer_config(vocab_size=291, character_coverage=1.0)},
    ):
        calls.clear()
        corpus = load(**change)
        assert calls.count("train") == 1 and "encode_texts" in calls
        text = texts_of(*corpus.train.values(), corpus.tokenizer) + texts_of(*corpus.valid.values(), corpus.tokenizer)
        assert sorted(text) == sorted(change["text"].split("\n\n"))


def test_text_that_stays_on_its_side_is_not_encoded_again(load, calls, tokenizer):
    load(TEXT, tokenizer)
    calls.clear()
    load(TEXT, tokenizer, sequence_length=32)
    assert calls == []


def test_what_other_code_has_stored_is_not_used_but_is_the_same_text(load, calls, monkeypatch):
    first = load(TEXT)
    calls.clear()
    monkeypatch.setattr(data.corpus, "code_hash", lambda: "other code, or another sentencepiece")
    assert load(TEXT).fingerprint == first.fingerprint
    assert calls == ["train", "encode_texts", "encode_texts"]


def damage_by_truncation(blob: bytes) -> bytes:
    return blob[:-1]


def damage_by_one_bit(blob: bytes) -> bytes:
    return blob[:50] + bytes([blob[50] ^ 1]) + blob[51:]


def damage_by_emptying(blob: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [damage_by_truncation, damage_by_one_bit, damage_by_emptying])
def test_a_damaged_entry_is_made_again(load, calls, tmp_path, damage):
    first = load(TEXT)
    entries = list((tmp_path / "cache").iterdir())
    assert len(entries) == 3
    for entry in entries:
        entry.write_bytes(damage(entry.read_bytes()))
    calls.clear()
    second = load(TEXT)
    assert calls == ["train", "encode_texts", "encode_texts"]
    np.testing.assert_array_equal(all_texts(second)[0].tokens, all_texts(first)[0].tokens)
    calls.clear()
    load(TEXT)
    assert calls == []


def refusal(load, **changes) -> str:
    with pytest.raises(ConfigError) as caught:
        load(TEXT, **changes)
    return str(caught.value)


def test_a_cache_that_cannot_be_used_is_one_clear_error(load, tmp_path, monkeypatch):
    remedy = "give a folder that can be written: --config.data.cache_dir=DIR"
    (tmp_path / "file").write_text("")
    folder = f"{tmp_path}/file/cache"
    assert refusal(load, cache_dir=folder) == f"data.cache_dir={folder!r} cannot be used (Not a directory); {remedy}"

    def fail(path, blob):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(data.cache, "write_whole", fail)
    assert f"cannot be used (No space left on device); {remedy}" in refusal(load)


# What cannot be read.


def test_the_field_and_what_is_broken_reach_the_reader(load, write):
    lines = [json.dumps({"body": text}) for text in TEXT.split("\n\n")]
    plain = load(TEXT)
    assert plain.skipped.count == 0
    assert load("", train=write("a.jsonl", "\n".join(lines)), text_field="body").fingerprint == plain.fingerprint
    broken = write("b.jsonl", "\n".join([*lines[:30], "no", *lines[30:], "{}"]))
    with pytest.raises(UserError, match=r"b\.jsonl, line 31: not JSON"):
        load("", train=broken, text_field="body")
    corpus = load("", train=broken, text_field="body", skip_bad=True)
    assert corpus.fingerprint == plain.fingerprint
    assert corpus.skipped.count == 2 and f"{broken}, line 31: not JSON" in corpus.skipped.summary()


def test_what_is_broken_is_counted_in_both_sides(load, write):
    source = write("a.jsonl", "no\n" + json.dumps({"text": TEXT}))
    assert load(TEXT, valid=source, skip_bad=True).skipped.count == 1
    assert load(TEXT, train=source, valid=source, skip_bad=True).skipped.count == 2
