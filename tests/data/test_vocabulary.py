"""What is said of a vocabulary, counted by hand and against the library of a published one."""

import json

import numpy as np
import pytest
import tokenizers as library

from common.errors import ConfigError
from data.config import DataConfig
from data.corpus import load_corpus
from data.hf_tokenizer import HfTokenizer
from data.tokenizer import END_OF_TEXT, train
from data.tokenizer_files import read_tokenizer
from data.vocabulary import by_language, compare_vocabularies, is_part, measure, vocabulary_table

ENGLISH = "The weather is very nice today, and we are going to the park."
CHINESE = "今天天气很好，我们去公园散步，然后一起吃晚饭。"
FRENCH = "Aujourd'hui nous avons mangé beaucoup de fromage dans le jardin."


def byte_level(texts: list[str], size: int) -> library.Tokenizer:
    """A small vocabulary of GPT-2's kind."""
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    alphabet = library.pre_tokenizers.ByteLevel.alphabet()
    trainer = library.trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=[END_OF_TEXT], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def test_lines_are_told_apart_and_nothing_is_lost():
    texts = [f"{CHINESE}\n{ENGLISH}\n\n{ENGLISH}\n***\n{CHINESE}", "1984\n", f"  {FRENCH}\n{FRENCH}"]
    parts = by_language(texts)
    assert parts["zh"] == [f"{CHINESE}\n", CHINESE]
    assert parts["en"] == [f"{ENGLISH}\n\n{ENGLISH}\n***\n"]
    assert parts["fr"] == [f"  {FRENCH}\n{FRENCH}"]
    assert parts["other"] == ["1984\n"]
    assert sorted("".join(map("".join, parts.values()))) == sorted("".join(texts))
    assert list(by_language([CHINESE] * 200 + [FRENCH])) == ["zh", "other"]  # a rare one has no entry of its own
    assert list(by_language([ENGLISH, CHINESE, CHINESE])) == ["zh", "en"]


def test_figures_of_a_vocabulary_are_those_that_are_counted(tokenizer_config):
    texts = [f"{CHINESE}\n{ENGLISH}", f"{ENGLISH}\n龘龘"]
    tokenizer = train([CHINESE, ENGLISH] * 5, tokenizer_config(vocab_size=345, character_coverage=1.0))
    said = measure(tokenizer, texts, by_language(texts))
    tokens = [token for text in texts for token in tokenizer.encode(text)]
    size = len("".join(texts).encode())
    assert said["vocab_size"] == 345 and said["tokens_per_document"] == len(tokens) / 2
    assert said["bytes_per_token"]["all"] == size / len(tokens) == 1 / said["tokens_per_byte"]["all"]
    assert said["byte_share"] == pytest.approx(6 / len(tokens)) and said["unknown_share"] == 0
    english = 2 * len(tokenizer.encode(f"{ENGLISH}\n")) - 1  # the second document has one more newline
    assert said["tokens_per_byte"]["en"] == pytest.approx(english / (2 * len(ENGLISH) + 1), abs=0.01)


def test_unknown_characters_are_told(tokenizer_config):
    tokenizer = train([ENGLISH], tokenizer_config(model_type="char", vocab_size=99, byte_fallback=False))
    said = measure(tokenizer, ["The 龘"], by_language(["The 龘"]))
    assert (said["unknown_share"], said["byte_share"]) == (1 / 5, 0)


def test_a_published_vocabulary_of_bytes_is_measured_as_its_library_writes(tmp_path):
    """GPT-2's files: vocab.json and merges.txt."""
    theirs = byte_level([ENGLISH] * 5, 300)
    theirs.model.save(str(tmp_path))
    tokenizer = read_tokenizer(tmp_path)
    assert isinstance(tokenizer, HfTokenizer)
    said = measure(tokenizer, [ENGLISH, CHINESE], by_language([ENGLISH, CHINESE]))
    for language, text in (("en", ENGLISH), ("zh", CHINESE)):
        assert said["bytes_per_token"][language] == len(text.encode()) / len(theirs.encode(text).tokens)
    assert said["bytes_per_token"]["zh"] == 1.0  # it has seen no Chinese: each token is a byte
    chinese, all_tokens = (
        len(CHINESE.encode()),
        len(ENGLISH.encode()) / said["bytes_per_token"]["en"] + len(CHINESE.encode()),
    )
    assert said["byte_share"] == pytest.approx(chinese / all_tokens)
    assert is_part(tokenizer).sum() == 128 + sum(len(piece) > 1 and "\ufffd" in tokenizer.decode([token])
        for piece, token in json.loads((tmp_path / "vocab.json").read_text()).items())  # fmt: skip


def test_a_tokenizer_that_drops_spaces_may_have_no_token_of_a_part():
    model = library.Tokenizer(library.models.WordLevel({"[UNK]": 0, "[SEP]": 1}, unk_token="[UNK]"))
    model.pre_tokenizer = library.pre_tokenizers.Whitespace()
    said = measure(HfTokenizer({"tokenizer.json": model.to_str().encode()}), [f" \n{ENGLISH}"], {"other": [" \n"]})
    assert said["bytes_per_token"]["other"] is None and said["tokens_per_byte"]["other"] == 0
    assert said["unknown_share"] == 1
    table = vocabulary_table({"languages": {"other": 2}, "rows": [{"name": "x", **said}]}, lambda pieces: pieces)
    assert table.splitlines()[1].split()[3] == "nan"


@pytest.fixture
def options(tmp_path):
    lines = [f"{ENGLISH[: 20 + number % 40]} {number}\n{CHINESE[: 8 + number % 12]}" for number in range(300)]
    (tmp_path / "text.txt").write_text("\n\n".join(lines))
    return DataConfig((str(tmp_path / "text.txt"),), (), 0.1, 16, str(tmp_path / "cache"))


def test_each_size_is_trained_as_a_run_would_and_measured_on_validation_text(options, tokenizer_config, tmp_path):
    config = tokenizer_config(character_coverage=1.0)
    theirs = HfTokenizer({"tokenizer.json": byte_level([ENGLISH] * 5, 300).to_str().encode()})
    compared = compare_vocabularies(options, config, [320, 360, 5000, 262], {"gpt2": theirs})
    assert not (tmp_path / "cache").exists()
    assert [row["vocab_size"] for row in compared["rows"]] == [320, 360, theirs.vocab_size]
    assert "is more than this text gives pieces for" in compared["left_out"][5000]
    assert "is too small for this text's characters" in compared["left_out"][262]
    corpus = load_corpus(options, tokenizer_config(character_coverage=1.0, vocab_size=360))
    (valid,) = corpus.valid.values()
    row = compared["rows"][1]
    assert row["tokens_per_document"] == pytest.approx(np.mean(valid.lengths - 1))  # without their ends of text
    assert row["bytes_per_token"]["all"] == pytest.approx(valid.num_bytes / (valid.num_tokens - len(valid.starts)))
    assert sum(compared["languages"].values()) == valid.num_bytes
    assert row["bytes_per_token"]["all"] > compared["rows"][0]["bytes_per_token"]["all"]

    table = vocabulary_table(compared, lambda pieces: 7 * pieces).splitlines()
    assert table[0].split()[:2] == ["tokenizer", "pieces"] and "zh" in table[0] and "en" in table[0]
    assert table[1].split()[:3] == ["bpe", "320", f"{compared['rows'][0]['bytes_per_token']['all']:.2f}"]
    assert table[1].split()[-1] == "2,240" and table[3].startswith("gpt2")
    assert table[-1].startswith(f"measured on {valid.num_bytes:,} bytes of validation text: ")


def test_sizes_of_which_none_is_possible_are_one_error(options, tokenizer_config):
    with pytest.raises(
        ConfigError, match=r"none of these sizes is possible: tokenizer\.vocab_size=5000 is more than this"
    ):
        compare_vocabularies(options, tokenizer_config(), [5000], {})
    with pytest.raises(ConfigError, match=r"tokenizer\.vocab_size=100 must be above 259"):
        compare_vocabularies(options, tokenizer_config(), [330, 100], {})
