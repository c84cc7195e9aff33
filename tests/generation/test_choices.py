"""Choices by likelihood: prompts worked by hand, scores against a forward pass of each text, figures counted."""

import json

import numpy as np
import pytest

from common.errors import ConfigError, UserError
from data.config import DataConfig
from generation.choices import (
    TEMPLATE,
    check_template,
    choice_figures,
    draw_shots,
    make_prompts,
    measure,
    score_choices,
)
from tests.generation.test_scoring import GPT, LLAMA, T5, forward, log_softmax, network, side, tokenizer

QUESTIONS = [
    {"question": "sat", "choices": ["the cat", "the mat on the mat"], "answer": 0},
    {"question": "New", "choices": ["York", "the end", "mat"], "answer": 0},
    {"question": "你好", "choices": ["世界", "the"], "answer": 1},
]


def test_prompts_worked_by_hand():
    template = "Q: {question}\nA: {answer}."
    assert make_prompts(QUESTIONS[1], [QUESTIONS[0], QUESTIONS[2]], template) == (
        "Q: sat\nA: the cat.\n\nQ: 你好\nA: the.\n\nQ: New\nA: ",
        "A: ",
    )
    assert make_prompts(QUESTIONS[1], [], "{question} {answer}") == ("New ", "")
    for wrong in ("{question}", "{answer} {question}", "{question} {answer} {answer}"):
        with pytest.raises(ConfigError, match=r"must hold \{question\} once and, behind it, \{answer\}"):
            check_template(wrong)


def test_shots_are_never_the_question_itself():
    twice = [*QUESTIONS, QUESTIONS[0] | {"choices": ["a", "b"]}]
    first = draw_shots(twice, None, 2, 0)
    assert [[each["question"] for each in shots] for shots in first] == [
        ["New", "你好"],
        ["sat", "你好"],
        ["sat", "New"],
        ["New", "你好"],
    ]
    others = [{"question": str(number), "choices": ["a", "b"], "answer": 0} for number in range(30)] + QUESTIONS
    drawn = draw_shots(QUESTIONS, others, 5, 7)
    assert drawn == draw_shots(QUESTIONS, others, 5, 7) != draw_shots(QUESTIONS, others, 5, 8)
    assert drawn[0] != drawn[1], "anew for each"
    for question, shots in zip(QUESTIONS, drawn, strict=True):
        names = [each["question"] for each in shots]
        assert len(set(names)) == 5 and question["question"] not in names
    assert draw_shots(QUESTIONS, None, 0, 0) == [[], [], []]
    with pytest.raises(UserError, match="--shots 3 takes 3 other questions, and there are 2; give more"):
        draw_shots(QUESTIONS, None, 3, 0)


def by_hand(config, prompt: str, choice: str) -> list[float]:
    """The log-probabilities of what the choice adds to the prompt, of one forward pass over all of it."""
    end, prompt_tokens, tokens = 1, tokenizer().encode(prompt), tokenizer().encode(prompt + choice)
    shared = 0
    while shared < len(prompt_tokens) and prompt_tokens[shared] == tokens[shared]:
        shared += 1
    logs = log_softmax(forward(network(config), config, side([end, *tokens]))[0])
    return [logs[place, tokens[place]] for place in range(shared, len(tokens))]


@pytest.mark.parametrize("config", [GPT, LLAMA], ids=["gpt", "llama"])
@pytest.mark.parametrize("count", [0, 1])
def test_scores_are_those_of_a_forward_pass(config, count):
    template = "{question} is {answer}"
    shots = draw_shots(QUESTIONS, None, count, 0)
    found = score_choices(network(config), config, tokenizer(), QUESTIONS, shots, template)
    for question, before, scores in zip(QUESTIONS, shots, found, strict=True):
        prompt, bare = make_prompts(question, before, template)
        assert bare == "is " and prompt.count("\n\n") == count
        for number, choice in enumerate(question["choices"]):
            whole, alone = by_hand(config, prompt, choice), by_hand(config, bare, choice)
            expected = {
                "accuracy": sum(whole),
                "accuracy_per_token": np.mean(whole),
                "accuracy_over_unconditional": sum(whole) - sum(alone),
            }
            assert {name: each[number] for name, each in scores.items()} == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("config", [GPT, T5], ids=["gpt", "t5"])
@pytest.mark.parametrize("shots", [0, 2])
def test_a_question_that_does_not_fit_is_named(config, shots, tmp_path):
    path = tmp_path / "ask.jsonl"
    rows = [{"question": word, "choices": ["a", "b"], "answer": 0} for word in ("q", "r", "s", "the cat " * 90)]
    path.write_text("\n\n".join(map(json.dumps, rows)))
    data = DataConfig("a", str(path), 0.1, 32, "")
    with pytest.raises(ConfigError, match=r"ask\.jsonl, line 7: .* tokens.* this model reads") as caught:
        measure(network(config), config, tokenizer(), data, shots, None, 0, TEMPLATE, pytest.fail)
    assert ("(with 2 answered questions before it: give fewer --shots)" in str(caught.value)) == (shots > 0)


def test_figures_are_counted():
    names = ("accuracy", "accuracy_per_token", "accuracy_over_unconditional")
    best = [(0, 1, 0), (0, 0, 0), (0, 1, 1)]  # of each question, in each way
    scores = [
        {
            name: -np.abs(np.arange(len(question["choices"])) - at).astype(float)
            for name, at in zip(names, each, strict=True)
        }
        for question, each in zip(QUESTIONS, best, strict=True)
    ]
    figures = choice_figures(QUESTIONS, scores)
    assert figures["metrics"] == {
        "accuracy": pytest.approx(2 / 3),
        "accuracy_per_token": pytest.approx(2 / 3),
        "accuracy_over_unconditional": 1,
        "chance": pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 3),
        "questions": 3,
    }
    assert figures["intervals"]["accuracy_over_unconditional"] == (1, 1)
    assert figures["predictions"][0]["predictions"] == dict(zip(names, best[0], strict=True))
    assert figures["predictions"][0]["logprobs_per_token"] == [-1, 0]
