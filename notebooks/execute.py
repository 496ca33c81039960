"""Run notebooks from their first cell to the last, and store their outputs.

    pip install nbclient ipykernel
    python notebooks/execute.py notebooks/quickstart.ipynb notebooks/own_data.ipynb

A notebook whose cell fails is not changed.
"""

import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from spacy_genner.io import replaced_file


def execute(path: Path, folder: Path) -> Any:
    """Run a notebook.

    path (Path): The notebook.
    folder (Path): The working directory of its cells.
    RETURNS (NotebookNode): The notebook with its outputs.
    RAISES (CellExecutionError): A cell fails.
    """
    # Of tqdm, where the widgets of Jupyter are not installed.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=3600, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    for cell in notebook.cells:
        # Times of execution, which differ in each run.
        cell.metadata.pop("execution", None)
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def main(paths: list[str]) -> None:
    """Run notebooks and store their outputs.

    paths (list[str]): The notebooks.
    """
    for path in map(Path, paths):
        notebook = execute(path, path.parent)
        with replaced_file(path) as fresh:
            nbformat.write(notebook, fresh)
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
