"""What is typed in a session; tests/test_sample.py has it on a terminal."""

import types

import pytest

from generation.session import Session


@pytest.mark.parametrize("typed", ["quit", "exit", "exit "])
def test_a_session_is_left_by_either_word(typed):
    answering = types.SimpleNamespace(check=lambda given: None, options={}, forget=None)
    with pytest.raises(EOFError):
        Session({}, answering)._obey(typed)
