"""The Colab notebook runs from top to bottom, here with a short config on the CPU."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT


@pytest.mark.slow
def test_notebook_runs(tmp_path, cache_dir, monkeypatch):
    notebook = nbformat.read(ROOT / "notebooks" / "colab.ipynb", as_version=4)
    nbformat.validate(notebook)
    (settings,) = [cell for cell in notebook.cells if "settings" in cell.metadata.get("tags", ())]
    assert 'CONFIG = "configs/colab_tpu.py"' in settings.source
    settings.source += f'\nCONFIG = "configs/tiny.py"\nOVERRIDES = "--config.data.cache_dir={cache_dir}"'
    (where,) = [cell for cell in notebook.cells if cell.source.startswith('WORKDIR = Path("runs")')]
    where.source += f'\nWORKDIR = Path("{tmp_path}") / "run"'
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setenv("PYTHONPATH", "")
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()

    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(output.get("text", "") for output in outputs)
    assert "validation at step 30" in text and "done: " in text
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
