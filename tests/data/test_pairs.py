"""Pairs as tokens: the prompt and the target, what is to be learned of them, and what is cut of those that are too long."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConfigError, UserError
from data.builtin import read_builtin
from data.config import DataConfig
from data.examples import load_examples
from data.forms import FORMS, Example
from data.measured import load_held_out
from data.tokenizer import TokenizerConfig, train

CHAR = TokenizerConfig(300, "char", 1.0, byte_fallback=False, split_digits=True)
BPE = TokenizerConfig(400, "bpe", 0.998, byte_fallback=True, split_digits=True)
PAIRS = [("一", "one"), ("二", "two"), ("三 three", "3")]
PAIRS_FORM = FORMS["pairs"]


def options(train, valid=(), length=32, **changes):
    return DataConfig((train,), valid, 0.3, length, "unused", **changes)


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def load(data, tokenizer=CHAR, say=pytest.fail):
    return load_examples(data, PAIRS_FORM, tokenizer, (), say)


@pytest.fixture(scope="module")
def tokenizer():
    return train([text.text for text in read_builtin("builtin:chat")][:300], BPE)


def encode(pairs, tokenizer, data):
    examples = [Example("", "here", None, {"source": source, "target": target}) for source, target in pairs]
    return PAIRS_FORM.encode(examples, tokenizer, (), data)


def test_a_prompt_and_its_target_are_cut_into_pieces_apart(tokenizer):
    pieces = encode(PAIRS, tokenizer, options("a", prompt="zh: {source}\nen: "))
    for (source, target), tokens, marks in zip(PAIRS, pieces.tokens, pieces.marks, strict=True):
        prompt, answer = tokenizer.encode(f"zh: {source}\nen: "), tokenizer.encode(target)
        assert tokens == prompt + answer
        assert marks == [0] * len(prompt) + [1] * len(answer) + [1], "the end of text is learned, too"
    assert pieces.cut == 0


TEXT = st.text(st.sampled_from("ab 好、\n{}é"), min_size=1, max_size=40)


@given(TEXT, TEXT, st.sampled_from(["{source}", "read: {source}\nwrite: "]), st.integers(24, 60))
def test_what_is_too_long_is_cut_at_the_end_of_the_source(tokenizer, source, target, prompt, length):
    data = options("a", length=length, prompt=prompt)
    pieces = encode([(source, target)], tokenizer, data)
    (tokens,), (marks,) = pieces.tokens, pieces.marks
    assert len(tokens) < length and len(marks) == len(tokens) + 1
    asked = [token for token, mark in zip(tokens, marks, strict=False) if not mark]
    answer = tokens[len(asked) :]
    whole = len(tokenizer.encode(prompt.replace("{source}", source))), len(tokenizer.encode(target))
    assert pieces.cut == (sum(whole) >= length)
    least = len(tokenizer.encode(prompt.replace("{source}", "")))
    assert answer == tokenizer.encode(target)[: length - 1 - least]
    before, after = prompt.split("{source}")
    read = tokenizer.decode(asked)
    assert read.startswith(before) and read.endswith(after)
    kept = read[len(before) : len(read) - len(after)]
    assert source.startswith(kept) and (pieces.cut or kept == source)
    if pieces.cut and len(answer) == whole[1]:
        more = tokenizer.encode(prompt.replace("{source}", source[: len(kept) + 8]))
        assert len(more) + len(answer) > length - 8, "no more of it is cut than must be"


def test_words_that_fill_a_row_are_refused(tokenizer):
    with pytest.raises(UserError, match=r"data\.prompt takes \d+ of data\.sequence_length=8 tokens; raise that"):
        encode(PAIRS, tokenizer, options("a", length=8, prompt="a very long instruction: {source}"))


def test_one_source_stands_on_one_side_and_the_tokenizer_knows_both_languages(tmp_path):
    rows = [{"source": f"question {number}", "target": f"zażółć {copy}"} for number in range(40) for copy in range(3)]
    path = write(tmp_path / "a.jsonl", rows)
    corpus = load(options(path))
    held_out = {example.values["source"] for example in corpus.valid_documents[path]}
    assert 3 < len(held_out) < 25 and len(corpus.valid_documents[path]) == 3 * len(held_out)
    text = corpus.valid[path]
    assert corpus.tokenizer.decode(text.tokens[text.marks == 1]).count("zażółć") == 3 * len(held_out)
    assert corpus.classes == () and len(text.marks) == len(text.tokens)
    assert load(options(path), corpus.tokenizer).fingerprint == corpus.fingerprint
    assert load(options(path, prompt="say {source}"), corpus.tokenizer).fingerprint != corpus.fingerprint
    texts, examples, _ = load_held_out(options("a", (path,)), PAIRS_FORM, corpus.tokenizer, (), pytest.fail)
    assert len(texts[path].starts) == len(examples[path]) == len(rows)


def test_other_columns_and_cuts_are_told(tmp_path):
    rows = [{"text": "x" * 50, "summary": "long"}, *({"text": str(n), "summary": "short"} for n in range(20))]
    path, said = write(tmp_path / "a.jsonl", rows), []
    corpus = load(options(path, (path,), source_field="text", target_field="summary"), say=said.append)
    assert said == [f"{path}: 1 of 21 texts are cut to data.sequence_length=32"] * 2
    assert corpus.train[path].lengths.max() == 32


def test_the_built_in_pairs_go_both_ways_and_are_split_alike():
    one, other = (list(PAIRS_FORM.builtin(f"builtin:hsk/{part}", options("a"))) for part in ("zh-en", "en-zh"))
    assert len(one) == len(other) > 4000
    for (first, values), (second, reversed_values) in zip(one, other, strict=True):
        assert values["source"] == reversed_values["target"] == first.key == second.key
        assert values["target"] == reversed_values["source"]
    texts = {document.text for document in read_builtin("builtin:hsk")}
    assert all("zh: {source}\nen: {target}".format(**values) in texts for _, values in one)
    keys = {document.key for document in read_builtin("builtin:hsk")}
    assert keys == {document.key for document, _ in one}, "held out as a language model's documents are"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"source": "one"}, r'a\.jsonl, line 1: no "target" field'),
        ({"source": " ", "target": "two"}, r'a\.jsonl, line 1: "source" is empty; give each row its text'),
        ({"source": "one", "target": ""}, r'a\.jsonl, line 1: "target" is empty; give each row its text'),
        ({"source": 1, "target": "two"}, r'a\.jsonl, line 1: "source" is a number, not a string'),
    ],
)
def test_bad_rows_are_told_with_their_place(tmp_path, row, message):
    path = write(tmp_path / "a.jsonl", [row, {"source": "one", "target": "two"}])
    with pytest.raises(UserError, match=message):
        load(options(path))
    if "target" in row:
        assert load(options(path, skip_bad=True, valid=(path,))).skipped.count == 2


@pytest.mark.parametrize("prompt", ["", "translate: ", "{source}{source}", "{Source}"])
def test_a_prompt_holds_the_source_once(prompt):
    with pytest.raises(ConfigError, match=r"prompt=.* must hold \{source\} once, for the source"):
        options("a", prompt=prompt)


@pytest.mark.parametrize(
    ("source", "form", "message"),
    [
        ("builtin:hsk", "pairs", r"data of pairs='builtin:hsk' is not known.*choose from: builtin:hsk/en-zh"),
        ("builtin:hsk/zh-en", "labels", "builtin:hsk/zh-en has no labels"),
    ],
)
def test_sources_of_other_forms(source, form, message):
    with pytest.raises(ConfigError, match=message):
        load_examples(options(source), FORMS[form], CHAR, (), pytest.fail)


def test_pairs_are_no_text():
    with pytest.raises(ConfigError, match="builtin:hsk/zh-en holds pairs, for the task seq2seq; give builtin:hsk"):
        list(read_builtin("builtin:hsk/zh-en"))
