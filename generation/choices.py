"""Questions with answers to choose from, put to a language model as it is, with some answered ones before them or none.

As GPT-3 was measured (Brown et al. 2020, arXiv:2005.14165, section 2.4): the model does not write; the choice that it takes is
the one that is likeliest after the prompt.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.command import Say
from common.errors import ConfigError, UserError, require
from data.config import DataConfig
from data.examples import read_all
from data.forms.choices import CHOICES
from data.sources import split_sources
from data.tokenizer import Tokenizer
from generation.prompts import TooLong
from generation.scoring import score_continuations
from metrics import bootstrap
from model import TransformerConfig
from model.parameters import Params

QUESTION, ANSWER = "{question}", "{answer}"
TEMPLATE = f"Question: {QUESTION}\nAnswer: {ANSWER}"
Question = Mapping[str, Any]  # "question", "choices" and "answer", the number of the right one


def check_template(template: str) -> None:
    """Raises ConfigError where a question and then its answer have not each one place in it."""
    found = [template.count(each) for each in (QUESTION, ANSWER)]
    require(
        found == [1, 1] and template.index(QUESTION) < template.index(ANSWER),
        f"--template {template!r} must hold {QUESTION} once and, behind it, {ANSWER}",
    )


def draw_shots(
    questions: Sequence[Question], others: Sequence[Question] | None, count: int, seed: int
) -> list[list[Question]]:
    """For each question `count` answered ones that stand before it, never the question itself.

    Args:
        others: where they are drawn from, for each question anew; None: they are the first ones of the questions.

    Raises:
        UserError: there are too few.
    """
    drawn = []
    for number, question in enumerate(questions):
        pool = questions if others is None else others
        order = np.arange(len(pool)) if others is None else np.random.default_rng((seed, number)).permutation(len(pool))
        shots = []
        for at in order.tolist():
            if len(shots) == count:
                break
            if pool[at]["question"] != question["question"]:
                shots.append(pool[at])
        if len(shots) < count:
            raise UserError(f"--shots {count} takes {count} other questions, and there are {len(shots)}; give more")
        drawn.append(shots)
    return drawn


def make_prompts(question: Question, shots: Sequence[Question], template: str) -> tuple[str, str]:
    """What stands before each choice; and what does so where the question is left out, which is the words before an answer."""
    before, _, _ = template.partition(ANSWER)
    shown = [
        template.replace(QUESTION, shot["question"]).replace(ANSWER, shot["choices"][shot["answer"]]) + "\n\n"
        for shot in shots
    ]
    return "".join(shown) + before.replace(QUESTION, question["question"]), before.partition(QUESTION)[2].lstrip()


def score_choices(
    params: Params,
    config: TransformerConfig,
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    shots: Sequence[Sequence[Question]],
    template: str = TEMPLATE,
    places: Sequence[str] | None = None,
) -> list[dict[str, np.ndarray]]:
    """How likely each choice of each question is after its prompt, in three ways, float64 [choices] each.

    "accuracy": the log-probability of all its tokens; "accuracy_per_token": over their number, so that long ones do not lose;
    "accuracy_over_unconditional": less what it is without the question, so that common ones do not win.

    Args:
        places: where each question stands, for messages; None: by their numbers, from 1.

    Raises:
        ConfigError: as `score_continuations`.
    """
    places = places or [f"question {number}" for number, _ in enumerate(questions, 1)]
    prompts, bare = zip(*map(make_prompts, questions, shots, [template] * len(questions)), strict=True)
    pairs = [(prompt, choice) for prompt, each in zip(prompts, questions, strict=True) for choice in each["choices"]]
    owners = [number for number, each in enumerate(questions) for _ in each["choices"]]
    alone = [(prompt, choice) for prompt, each in zip(bare, questions, strict=True) for choice in each["choices"]]
    alone = list(dict.fromkeys(alone))
    try:
        found = score_continuations(params, config, tokenizer, *zip(*[*pairs, *alone], strict=True))
    except TooLong as error:
        number = owners[error.number]  # never one without its question, which is shorter
        before = (
            f" (with {len(shots[number])} answered questions before it: give fewer --shots)" if shots[number] else ""
        )
        raise ConfigError(f"{places[number]}: {error}{before}") from error
    sums = np.array([np.sum(score.logprobs, dtype=np.float64) for score in found])
    lengths = np.array([len(score.logprobs) for score in found])
    unconditional = dict(zip(alone, sums[len(pairs) :], strict=True))
    scores, at = [], 0
    for prompt, question in zip(bare, questions, strict=True):
        here = slice(at, at := at + len(question["choices"]))
        without = np.array([unconditional[prompt, choice] for choice in question["choices"]])
        scores.append(
            {
                "accuracy": sums[here],
                "accuracy_per_token": sums[here] / lengths[here],
                "accuracy_over_unconditional": sums[here] - without,
            }
        )
    return scores


def measure(
    params: Params,
    config: TransformerConfig,
    tokenizer: Tokenizer,
    data: DataConfig,
    shots: int,
    shots_data: str | None,
    seed: int,
    template: str,
    say: Say,
) -> dict[str, Any]:
    """The figures of the questions that `data.valid` names, each behind so many `shots`; see `choice_figures`.

    Args:
        shots_data: sources of these, drawn by `seed`; None: they are the first ones of the same questions.
        say: told of what was left out, as `data.skip_bad` has it.

    Raises:
        ConfigError, UserError: what cannot be read; too few shots; as `score_choices`.
    """
    examples = read_all(data.valid, CHOICES, data, say)
    questions, places = [each.values for each in examples], [each.place for each in examples]
    others = None
    if shots_data is not None:
        others = [each.values for each in read_all(split_sources(shots_data), CHOICES, data, say)]
    before = draw_shots(questions, others, shots, seed)
    scores = score_choices(params, config, tokenizer, questions, before, template, places)
    return choice_figures(questions, scores)


def choice_figures(questions: Sequence[Question], scores: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """The share of questions whose right choice has the highest score, in each way, with 95 % intervals; and of guessing.

    Returns:
        "metrics", "intervals", and of each question the "predictions": its choices, scores and what was taken.
    """
    names = list(scores[0])
    taken = {name: [int(each[name].argmax()) for each in scores] for name in names}
    answers = np.array([question["answer"] for question in questions])
    samples = [np.array(taken[name]) == answers for name in names]

    def statistics(*right: np.ndarray) -> dict[str, float]:
        return {name: float(each.mean()) for name, each in zip(names, right, strict=True)}

    chance = float(np.mean([1 / len(question["choices"]) for question in questions]))
    return {
        "metrics": statistics(*samples) | {"chance": chance, "questions": len(questions)},
        "intervals": bootstrap(statistics, samples),
        "predictions": [
            {
                "question": question["question"],
                "choices": question["choices"],
                "answer": question["answer"],
                "predictions": {name: taken[name][number] for name in names},
                "logprobs": each["accuracy"].round(4).tolist(),
                "logprobs_per_token": each["accuracy_per_token"].round(4).tolist(),
                "logprobs_over_unconditional": each["accuracy_over_unconditional"].round(4).tolist(),
            }
            for number, (question, each) in enumerate(zip(questions, scores, strict=True))
        ],
    }
