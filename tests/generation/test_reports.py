"""How fast tokens come is told without the first steps, which wait for compilers; what no number holds is null in JSON."""

import json
import time

from generation.reports import Pace, print_perplexity
from generation.scoring import Score


def test_the_first_token_is_told_apart(monkeypatch):
    times = iter([0.0, 5.0, 8.0, 8.01, 8.02, 8.03, 8.03])  # the first two steps compile
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    pace = Pace()
    pace.begin()
    for _ in range(5):
        pace.tick()
    pace.end(5)
    assert str(pace) == "5 tokens, the first after 5.00 s, then 100 tokens/s (median)"


def test_steps_of_many_tokens_count_as_many(monkeypatch):
    times = iter([0.0, 1.0, 1.1, 1.2, 1.3, 1.3])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    pace = Pace()
    pace.begin()
    for _ in range(4):
        pace.tick()
    pace.end(12)
    assert str(pace) == "12 tokens, the first after 1.00 s, then 30 tokens/s (median)"


def test_without_steps_all_is_one(monkeypatch):
    times = iter([0.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    pace = Pace()
    for _ in range(2):
        pace.begin()
        pace.end(30)
    assert str(pace) == "60 tokens in 3.00 s, 20 tokens/s, compiling included"


def test_a_perplexity_too_large_for_a_number(capsys):
    print_perplexity("a.txt", Score("", "ab", [1, 2], [-800.0, -900.0]), True)
    assert json.loads(capsys.readouterr().out)["perplexity"] is None
