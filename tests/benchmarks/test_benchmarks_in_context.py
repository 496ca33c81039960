"""`benchmarks/in_context.py`: what a base finds without training."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from component_cases import learnt
from training_cases import TEXTS, write_corpus

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LABELS = {"ORG": "an organisation", "GPE": "a city or country"}


def test_each_way_has_a_row(tmp_path, monkeypatch, tiny_base, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(BENCHMARKS)
    base = tiny_base("llama")
    learnt(base).to_disk(tmp_path / "model")
    write_corpus(tmp_path / "data.spacy", TEXTS[:3])
    (tmp_path / "labels.json").write_text(json.dumps(LABELS))
    line = ["in_context.py", *[tmp_path / "data.spacy"] * 2, "--base", base]
    line += ["--labels", tmp_path / "labels.json", "--dtype", "float32"]
    line += ["--shots", 0, 1, "--keep", 1, "--tuned", tmp_path / "model"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in line])
    importlib.import_module("in_context").main()
    rows = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    # Nothing is as sure as `keep` wants it, so nothing is left after the questions.
    ways = [(row.get("shots"), row.get("verified")) for row in rows]
    assert ways == [(0, False), (1, False), (1, True), (None, None)]
    before, after = rows[1]["spans"], rows[2]["spans"]
    assert before > after == 0 and rows[2]["issues"]["rejected"] == before
    assert all(sum(row["statuses"].values()) == row["docs"] == 3 for row in rows)
