"""`benchmarks/head_weight.py`: a line for each pair, and the head alone."""

import json
import sys

import pytest
from component_cases import NESTED, trained_pipeline
from training_cases import write_corpus


@pytest.fixture
def lines(tmp_path, monkeypatch, capsys, tiny_base, import_benchmark):
    """Runs the script on the documents that a tiny pipeline was trained on."""
    nlp = trained_pipeline(tiny_base("llama"), NESTED)
    nlp.to_disk(tmp_path / "model")
    write_corpus(tmp_path / "data.spacy", NESTED)
    line = ["head_weight.py", str(tmp_path / "model"), str(tmp_path / "data.spacy")]
    monkeypatch.setattr(sys, "argv", [*line, "--pairs", "0,0", "0.5,0", "0,-1000"])
    import_benchmark("head_weight").main()
    return [json.loads(row) for row in capsys.readouterr().out.splitlines()]


def test_each_pair_and_the_head_alone_are_scored(lines):
    assert [row.get("head_weight") for row in lines] == [0.0, 0.5, 0.0, None]
    assert [row["micro_f"] for row in lines[:2]] == [100.0, 100.0]
    # Nothing is opened.
    assert lines[2]["micro_r"] == 0.0
    assert lines[3]["head"] == "alone" and 0.0 <= lines[3]["micro_f"] <= 100.0
