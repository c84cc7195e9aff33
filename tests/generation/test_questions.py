"""Answers of an encoder that has learned nothing: whatever the windows, they stand in the text; and what cannot be asked."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.special import log_softmax

from common.errors import ConfigError, UserError
from data.forms.answers import READ, cut_windows
from generation.prompts import read_text
from generation.questions import Answer, Finder
from model import Tokens, Transformer, TransformerConfig
from tests.generation.test_scoring import GPT, init_params, network, tokenizer

BERT = TransformerConfig(
    vocab_size=320, max_length=24, encoder_layers=2, embed_dim=16, num_heads=2, num_token_types=2, head="classes",
    initializer_std=0.5,
)  # fmt: skip
TEXT = "the cat sat on the mat\n你好，世界 New York the end"
QUESTIONS = ["你好", "the cat", "New York"]


def by_hand(params, config, question: str) -> tuple[float, float]:
    """Over all windows the highest log-probability of a span, and the lowest of none, each window in a pass of its own."""
    values, spans, nulls = {"context": TEXT, "question": question, "answers": []}, [], []
    apply = jax.jit(Transformer(config).apply)
    for window in cut_windows(values, tokenizer(), 24, 5)[0]:
        marks = np.array([0, *window.marks[:-1]])
        ids, read, places = (
            np.zeros((1, 24), np.int32),
            np.zeros((1, 24), np.int32),
            np.arange(24, dtype=np.int32)[None],
        )
        ids[0, : len(marks)], read[0, : len(marks)] = [1, *window.tokens], marks > 0
        tokens = Tokens(ids, places, (places < len(marks)).astype(np.int32), read)
        logits = np.asarray(apply({"params": params}, tokens).logits_BTV, np.float64)[0, : len(marks)]
        start, end = log_softmax(logits, axis=0).T
        places = np.flatnonzero(marks & READ)
        spans += [start[one] + end[other] for one in places for other in places if one <= other]
        nulls.append(start[0] + end[0])
    return max(spans), min(nulls)


def ask(finder: Finder, *questions: str) -> list[Answer]:
    return finder.answer([finder.prepare(question)[0] for question in questions])


def test_the_answer_is_the_likeliest_of_all_windows():
    params = init_params(BERT, jax.random.key(3))
    answers = ask(Finder(params, BERT, tokenizer(), TEXT, stride=5), *QUESTIONS)
    assert [answer.question for answer in answers] == QUESTIONS
    for answer in answers:
        span, null = by_hand(params, BERT, answer.question)
        assert bool(answer.text) == (span > null) and answer.text in TEXT
        assert answer.probability == pytest.approx(np.exp(max(span, null)), rel=1e-3)


@pytest.mark.parametrize("name", ["nowhere.txt", "data/我的.md", "NOTES.PDF"])
def test_a_file_that_is_not_there_is_not_taken_for_the_text(name):
    with pytest.raises(UserError, match=f"cannot read {name}"):
        read_text("context", name, or_text=True)


@pytest.mark.parametrize(
    "text", ["他有三个朋友。", "He has friends.", "Read notes.txt", "看notes.txt。他有三个朋友.txt"]
)
def test_what_is_no_name_of_a_file_is_the_text(text):
    assert read_text("context", text, or_text=True) == text


def test_what_cannot_be_asked():
    params = init_params(BERT, jax.random.key(3))
    for question, text, message in (("Who?", " \n", "--context holds no text"), (" ", "He.", "question is empty")):
        with pytest.raises(ConfigError, match=message):
            ask(Finder(params, BERT, tokenizer(), text), question)
    for config in (GPT, dataclasses.replace(BERT, num_classes=3), dataclasses.replace(BERT, head="linear")):
        with pytest.raises(ConfigError, match="this model does not answer questions"):
            Finder(network(GPT), config, tokenizer(), "He.")
    broken = jax.tree.map(lambda leaf: leaf * np.nan, params)
    with pytest.raises(UserError, match="no finite probabilities"):
        ask(Finder(broken, BERT, tokenizer(), "He."), "Who?")
