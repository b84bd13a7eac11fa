"""Every notebook runs from top to bottom; its last cell checks what it should have given."""

from __future__ import annotations

from pathlib import Path

import nbclient
import nbformat
import pytest

from tests.system.daemon_process import ROOT

pytestmark = pytest.mark.filterwarnings("ignore")

FOLDER = ROOT / "scripts" / "notebooks"
NOTEBOOKS = ("getting_started", "interactive_control", "live_plots", "advanced_scans")
CELL_S = 120


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebook_gives_what_it_promises(name: str, tmp_path: Path) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    nbclient.NotebookClient(
        notebook, timeout=CELL_S, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert "assert" in notebook.cells[-1].source


def test_notebooks_are_kept_without_outputs() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NOTEBOOKS)
    for path in FOLDER.glob("*.ipynb"):
        code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        assert all(not cell.outputs and cell.execution_count is None for cell in code), path.name
