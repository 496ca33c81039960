"""The notebooks run, with a tiny base, and their stored outputs are complete."""

import importlib.util
import shutil
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
nbformat = pytest.importorskip("nbformat")


@pytest.fixture(scope="module")
def script():
    path = NOTEBOOKS / "execute.py"
    spec = importlib.util.spec_from_file_location("execute", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the notebooks, whose kernels use the project of these tests."""
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parent))
    return shutil.copytree(NOTEBOOKS, tmp_path / "notebooks")


def outputs(notebook):
    """The text of all outputs."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            found.append(output.get("text", ""))
            found.append(output.get("data", {}).get("text/plain", ""))
            found.append(output.get("data", {}).get("text/html", ""))
    return "".join(found)


def test_quickstart(script, folder, universal_folder, monkeypatch):
    monkeypatch.setenv("GENNER_NOTEBOOK_MODEL", str(universal_folder))
    made = script.execute(folder / "quickstart.ipynb", folder)
    printed = outputs(made)
    assert "ok []" in printed and '<div class="spans"' in printed
    assert "['programming language', 'conference', 'city']" in printed
    assert "The Rhine flows through Cologne. [" in printed


def test_own_data(script, folder, tiny_base, monkeypatch):
    monkeypatch.setenv("GENNER_NOTEBOOK_BASE", str(tiny_base("llama")))
    monkeypatch.setenv("GENNER_NOTEBOOK_BUDGET", "--steps 1")
    printed = outputs(script.execute(folder / "own_data.ipynb", folder))
    assert "Traceback" not in printed and "✘" not in printed
    assert "of 60 corrected" in printed
    assert "found by both" in printed and "95 % interval" in printed


def test_a_notebook_whose_cell_fails_is_not_changed(script, tmp_path):
    from nbclient.exceptions import CellExecutionError

    path = tmp_path / "bad.ipynb"
    cells = [nbformat.v4.new_code_cell("1 / 0")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    before = path.read_bytes()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        script.main([str(path)])
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["bad.ipynb"]


@pytest.mark.parametrize("name", ["own_data", "quickstart"])
def test_outputs_are_stored(name):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    printed = outputs(notebook)
    assert printed and "Traceback" not in printed
    for private in ("/home/", "/root/", "/work/", "/tmp"):
        assert private not in notebook.cells.__repr__(), private
