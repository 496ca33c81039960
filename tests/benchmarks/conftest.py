"""Imports the modules of the benchmarks as their scripts do."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def import_benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A function (name) -> module. The folder of the benchmarks is on the path, since
    their modules import each other by name."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module
