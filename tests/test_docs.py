"""What docs/ lists is what there is."""

from data.cleaning import STEPS
from tests.conftest import ROOT


def test_every_cleaning_step_is_in_the_table():
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for name, step in STEPS.items():
        assert f"| `{name}` | {f'`{step.default}`' if step.default else ''} | {step.summary} |" in rows
