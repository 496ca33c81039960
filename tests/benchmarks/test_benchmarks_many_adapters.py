"""The benchmark of many adapters on one base, on a tiny base."""

import json
import sys
import weakref

import pytest
from training_cases import TEXTS, write_corpus

from spacy_genner.models import base_model


@pytest.fixture
def run(monkeypatch, capsys, import_benchmark, tiny_base, tmp_path):
    """Runs what the script runs in a process of its own, and returns its rows."""
    script = import_benchmark("many_adapters")
    data = write_corpus(tmp_path / "data.spacy")
    base = str(tiny_base("llama", seed=86))
    script.save_adapters(base, 4, 5, 0, tmp_path / "adapters")
    # The script counts the loads of the base in this process, which has it by now.
    monkeypatch.setattr(base_model, "_loaded", weakref.WeakValueDictionary())
    monkeypatch.setattr(base_model, "load_base", base_model.load_base)

    def run(*args):
        options = ["--folder", tmp_path / "adapters", "--base", base, "--rank", 4]
        options += ["--batch", 4, "--repeats", 1, *args]
        argv = ["many_adapters.py", data, *options]
        monkeypatch.setattr(sys, "argv", [*map(str, argv)])
        script.main()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_adapters_are_loaded_on_one_base(run):
    (row,) = run("--counts", 5)
    assert row["adapters"] == 5 and row["base_loads"] == 1 and row["merged"] == 0


def test_turns_and_passes(run):
    (row,) = run("--turns")
    assert row["documents"] == len(TEXTS) and set(row["ratio_to_one"]) == {*"124"}
    rows = run("--passes")
    assert [row["tokens"] for row in rows] == [4, 16, 64]
    # One pass over the rows of four adapters gives what four passes give.
    assert all(row["apart"] < 1e-3 for row in rows)
