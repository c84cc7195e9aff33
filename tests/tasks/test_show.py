from tasks import TASKS
from tasks.show import TITLES, page
from tests.conftest import ROOT


def test_the_page_is_what_the_code_prints():
    assert set(TITLES) == {name for name, task in TASKS.items() if not task.examples}
    assert (ROOT / "docs/objectives.md").read_text(encoding="utf-8") == page()
