"""docs/generation.md names tests: they are there."""

import re

from tests.conftest import ROOT


def test_every_test_that_the_page_names_exists():
    page = (ROOT / "docs/generation.md").read_text(encoding="utf-8")
    files = [*(ROOT / "tests/generation").glob("test_*.py"), ROOT / "tests/interop/test_generate.py"]
    there = {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.M)}
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 20
    assert named <= there
