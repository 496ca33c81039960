"""`benchmarks/in_context.py`: an untrained base with demonstrations."""

import json
import sys

import pytest
from component_cases import trained_pipeline
from training_cases import TEXTS, write_corpus

LABELS = {"ORG": "an organisation", "GPE": "a city or country"}


def test_rows(tmp_path, monkeypatch, tiny_base, capsys, import_benchmark):
    pytest.importorskip("sklearn")
    base = tiny_base("llama")
    trained_pipeline(base).to_disk(tmp_path / "model")
    write_corpus(tmp_path / "data.spacy", TEXTS[:3])
    (tmp_path / "labels.json").write_text(json.dumps(LABELS))
    line = ["in_context.py", *[tmp_path / "data.spacy"] * 2, "--base", base]
    line += ["--labels", tmp_path / "labels.json", "--dtype", "float32"]
    line += ["--shots", 0, 1, "--keep", 1, "--tuned", tmp_path / "model"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in line])
    import_benchmark("in_context").main()
    rows = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    configurations = [(row.get("shots"), row.get("verified")) for row in rows]
    assert configurations == [(0, False), (1, False), (1, True), (None, None)]
    # No probability reaches `keep`, so verification rejects all spans.
    before, after = rows[1]["spans"], rows[2]["spans"]
    assert before > after == 0 and rows[2]["issues"]["rejected"] == before
    assert all(sum(row["statuses"].values()) == row["docs"] == 3 for row in rows)
