"""What can be asked of what has learned what: every task is in the table, and what is refused says what is there."""

import pytest

from common.errors import ConfigError
from generation.flags import INPUTS
from generation.labels import TELLS
from generation.uses import NAMES, SPECIAL, USES, check_name, check_use
from tasks import TASKS


def test_every_task_has_a_use_and_each_with_a_head_for_labels_is_told():
    assert USES.keys() == TASKS.keys()
    read = {name for name, task in TASKS.items() if task.head == "classes"}
    assert read == {*TELLS, "question_answering"}
    flags = {option.name for option in INPUTS}
    assert set(SPECIAL) <= flags and all(set(use.flags) <= set(SPECIAL) for use in USES.values())


@pytest.mark.parametrize("learned", USES)
def test_a_run_can_be_asked_what_it_has_learned_and_nothing_else(learned):
    needed = ["context"] if learned == "question_answering" else []
    for name in (*USES[learned].names, learned, None):
        check_use("runs/a", learned, name, needed)
    for name in {*NAMES, *USES} - {*USES[learned].names, learned}:
        with pytest.raises(ConfigError, match=f"runs/a has learned {learned}: it .*; --task {name} is for "):
            check_use("runs/a", learned, name, needed)
    for flag in set(SPECIAL) - {*USES[learned].flags}:
        with pytest.raises(ConfigError, match=f"; --{flag} is for "):
            check_use("runs/a", learned, None, [*needed, flag])


def test_answers_need_a_text():
    with pytest.raises(ConfigError, match="finds answers in a text; name that with --context"):
        check_use("runs/a", "question_answering", None, [])


def test_a_name_that_is_not_known():
    for name in (*NAMES, *USES):
        check_name(name)
    with pytest.raises(
        ConfigError,
        match=r"--task='translat' is not known \(did you mean 'translate'\?\); choose from: answer, causal_lm, ",
    ):
        check_name("translat")
