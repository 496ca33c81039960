"""`benchmarks/decoders_agree.py`: outputs, near ties and the exit code."""

import json
import sys

import pytest
from component_cases import trained_pipeline
from training_cases import TEXTS, write_corpus

from spacy_genner.decoding.decoder import DraftDecoder, StepDecoder


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


def test_both_decoders_have_the_bias_of_the_pipeline(
    benchmark, capsys, monkeypatch, tmp_path, tiny_base
):
    decoder = {"@misc": "spacy-genner.DraftDecoder.v1", "opening_bias": -2.5}
    nlp = trained_pipeline(tiny_base("llama"), decoder=decoder)
    nlp.to_disk(tmp_path / "model")
    made = []

    class Spy(benchmark.Recorder):
        def __init__(self, decoder):
            made.append(decoder)
            super().__init__(decoder)

    monkeypatch.setattr(benchmark, "Recorder", Spy)
    benchmark.main()
    assert [each.opening_bias for each in made] == [-2.5, -2.5]
    assert [type(each) for each in made] == [DraftDecoder, StepDecoder]


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
