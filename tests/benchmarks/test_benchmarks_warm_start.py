"""`benchmarks/warm_start.py`: both starts of a curve on files of a corpus."""

import json
import sys

import pytest
from component_cases import NESTED, trained_pipeline
from training_cases import write_corpus


@pytest.fixture
def run(tmp_path, monkeypatch, tiny_base, import_benchmark):
    """Runs the script on a tiny base, and returns the rows of its output."""
    base = tiny_base("llama")
    nlp = trained_pipeline(base, NESTED)
    nlp.to_disk(tmp_path / "start")
    write_corpus(tmp_path / "data.spacy", NESTED)
    labels = dict.fromkeys(nlp.get_pipe("generative_ner").labels, "")
    (tmp_path / "labels.json").write_text(json.dumps(labels), encoding="utf8")
    script = import_benchmark("warm_start")
    data, output = str(tmp_path / "data.spacy"), tmp_path / "rows.jsonl"

    def run_script(*args):
        line = ["warm_start.py", data, "--base", str(base), "--output", str(output)]
        line += ["--start", str(tmp_path / "start"), "--rank", "8", "--epochs", "1"]
        monkeypatch.setattr(sys, "argv", [*line, *args])
        script.main()
        return [json.loads(row) for row in output.read_text("utf8").splitlines()]

    files = ["--test", data, "--labels", str(tmp_path / "labels.json")]
    return run_script, files, data


# The start was trained with other settings than the script's, and takes its own.
@pytest.mark.filterwarnings("ignore:.*W404")
def test_both_starts_are_trained_and_scored(run, tmp_path):
    run_script, files, data = run
    rows = run_script(*files, "--sizes", "2", "--head-weight", "0.5")
    assert [row["start"] for row in rows] == ["base", str(tmp_path / "start")]
    assert {row["domain"] for row in rows} == {data}
    # The pipeline to start from was trained on these sentences.
    assert rows[1]["f"] > rows[0]["f"]
    assert all("weighed_f" in row for row in rows)
    # A second call continues after the last line.
    assert run_script(*files, "--sizes", "2", "--head-weight", "0.5") == rows


def test_the_files_of_a_corpus_go_together(run, capsys):
    run_script, files, _ = run
    for part in (files[:2], files[2:]):
        with pytest.raises(SystemExit):
            run_script(*part)
        assert "--test and --labels go together" in capsys.readouterr().err
