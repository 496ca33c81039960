"""`benchmarks/decoders_agree.py`: outputs, near ties and the exit code."""

import json
import sys

import pytest
from component_cases import trained_pipeline
from training_cases import TEXTS, write_corpus


@pytest.fixture
def benchmark(tmp_path, monkeypatch, tiny_base, import_benchmark):
    """The script, with a command line for a tiny pipeline and three documents."""
    trained_pipeline(tiny_base("llama")).to_disk(tmp_path / "model")
    write_corpus(tmp_path / "data.spacy", TEXTS[:3])
    line = ["decoders_agree.py", str(tmp_path / "model"), str(tmp_path / "data.spacy")]
    monkeypatch.setattr(sys, "argv", line)
    return import_benchmark("decoders_agree")


def test_equal_outputs(benchmark, capsys):
    benchmark.main()
    row = json.loads(capsys.readouterr().out)
    assert row["identical"] == row["inputs"] == 3
    assert row["errors"] == [] and row["spans_off_their_text"] == 0


@pytest.mark.parametrize("margin, code", [(0.5, 1), (float("nan"), 1), (1e-5, None)])
def test_difference_is_error_unless_near_tie(
    benchmark, capsys, monkeypatch, margin, code
):
    monkeypatch.setattr(benchmark, "first_difference", lambda draft, step: margin)
    if code is None:
        benchmark.main()
    else:
        with pytest.raises(SystemExit) as ended:
            benchmark.main()
        assert ended.value.code == code
    row = json.loads(capsys.readouterr().out)
    assert len(row["errors"]) == (0 if code is None else 3)
    assert len(row["near_ties"]) == (3 if code is None else 0)
