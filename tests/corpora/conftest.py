"""The folder of real corpora, which are not part of the project."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

DATA_VARIABLE = "SPACY_GENNER_DATA"


@pytest.fixture(scope="session")
def data_dir() -> Callable[..., Path]:
    """A function (*parts) -> path in the folder of `$SPACY_GENNER_DATA`. It skips the
    test if the path does not exist."""

    def find(*parts: str) -> Path:
        folder = os.environ.get(DATA_VARIABLE)
        if not folder:
            pytest.skip(f"needs real corpora: set {DATA_VARIABLE} to their folder")
        path = Path(folder).joinpath(*parts)
        if not path.exists():
            pytest.skip(f"needs {'/'.join(parts)} in the folder of {DATA_VARIABLE}")
        return path

    return find
