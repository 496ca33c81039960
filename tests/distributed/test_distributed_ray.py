"""Runs on a Ray cluster of this machine, which the tests of this file share."""

import pytest
from distributed_cases import CODE, jsonl_rows, save_marks, write_jsonl
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.distributed import Annotator, annotate_dataset
from spacy_genner.distributed.cluster import Resources, connected, pool_size
from spacy_genner.distributed.run import Part, PartSettings, _annotate_parts

pytest.importorskip("ray", reason="the extra 'ray' is not installed")
pytest.importorskip("pyarrow", reason="the extra 'ray' is not installed")
import pyarrow  # noqa: E402

TEXTS = ["Åse came.", "boom", "", "Bo left.", "kill", "f", "g", "h"]


@pytest.fixture(scope="module")
def ray():
    with connected("local", Resources(workers=1)) as module:
        yield module


def annotate(*args):
    arguments = ["annotate", *args, "--spans-key", "sc", "--code", CODE]
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_a_killed_worker_s_part_is_annotated_again(tmp_path, ray):
    killed = tmp_path / "killed"
    model = save_marks(tmp_path / "model", killed)
    source = write_jsonl(tmp_path / "in.jsonl", TEXTS)
    settings = ["--ray", "--workers", 1, "--part-size", 3, "--batch-size", 2]
    result = annotate(model, source, tmp_path / "out", *settings)
    assert result.exit_code == 0, result.output
    assert killed.exists()
    rows = jsonl_rows(tmp_path / "out")
    assert [row["id"] for row in rows] == [f"d{i}" for i in range(len(TEXTS))]
    # The process of the tests would not survive the text that kills a worker.
    single = annotate(model, source, tmp_path / "single.jsonl")
    assert single.exit_code == 0, single.output
    whole = (tmp_path / "single.jsonl").read_bytes()
    parts = sorted((tmp_path / "out").glob("part-*"))
    assert len(parts) == 3
    assert b"".join(path.read_bytes() for path in parts) == whole
    output = " ".join(result.output.split())
    assert "8 documents" in output and "3 parts" in output
    assert "7 ok, 0 windowed, 0 repaired, 1 failed. Spans: 6" in output
    assert "documents: 8 of 8" in output
    assert "[W821] 1 of 8" in output and "_failed.jsonl" in output


def test_a_dataset_gets_columns(tmp_path, ray):
    model = save_marks(tmp_path / "model")
    data = ray.data.from_arrow(
        pyarrow.table({"n": [1, 2], "body": ["Bo left.", "boom"]})
    )
    annotated = annotate_dataset(
        data, model, text="body", workers=1, spans_key="sc", code=CODE
    )
    first, second = sorted(annotated.take_all(), key=lambda row: row["n"])
    span = {"start": 0, "end": 2, "label": "FIRST", "score": 0.25}
    assert first == {
        "n": 1,
        "body": "Bo left.",
        "spans": [span],
        "status": "ok",
        "issues": [],
    }
    assert (second["status"], second["spans"]) == ("failed", [])
    assert "it went off" in second["issues"][0]["message"]


def test_an_error_in_a_worker_is_a_message(tmp_path, ray):
    model = save_marks(tmp_path / "model")
    part = Part(0, str(tmp_path / "in.jsonl"), 0, 1, 1, 1, 1, "")
    settings = PartSettings(
        str(model), str(tmp_path), "jsonl", {}, {}, "sc", None, 1, str(CODE)
    )
    corpus = type("Corpus", (), {"documents": 1})()
    with pytest.raises(ValueError, match=r"^\[G838\]"):
        _annotate_parts(corpus, [part], settings, None, Resources(1), None)


def test_workers_need_room(ray):
    assert pool_size(ray, Resources(workers=3), 2) == 2
    assert pool_size(ray, Resources(workers=1), 2) == 1
    with pytest.raises(ValueError, match=r"\[G835\].*1000 CPUs"):
        pool_size(ray, Resources(cpus=1000), 2)
    with pytest.raises(ValueError, match=r"\[G835\].*1 GPUs"):
        pool_size(ray, Resources(gpus=1), 2)


def test_no_usage_is_reported(ray):
    from ray._common.usage.usage_lib import usage_stats_enabled

    assert not usage_stats_enabled()


def test_a_batch_has_to_be_a_table_with_texts(tmp_path):
    model = save_marks(tmp_path / "model")
    annotator = Annotator(str(model), spans_key="sc", code=str(CODE))
    with pytest.raises(ValueError, match=r"\[G836\].*dict.*pyarrow"):
        annotator({"text": ["a"]})
    with pytest.raises(ValueError, match=r"\[G828\].*'text'.*body"):
        annotator(pyarrow.table({"body": ["a"]}))
    with pytest.raises(ValueError, match=r"\[G827\].*row 2.*None"):
        annotator(pyarrow.table({"text": ["a", None]}))
    table = annotator(pyarrow.table({"text": ["Bo left.", "boom"], "spans": [1, 2]}))
    assert table.column_names == ["text", "spans", "status", "issues"]
    assert table["status"].to_pylist() == ["ok", "failed"]


def test_addresses_that_lead_nowhere_are_refused(tmp_path, monkeypatch):
    model = save_marks(tmp_path / "model")
    source = write_jsonl(tmp_path / "in.jsonl", TEXTS[:1])
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    for address in ("ray://localhost:10001", "auto"):
        result = annotate(model, source, tmp_path / "out", "--ray", address)
        assert result.exit_code == 1 and "[G821]" in result.output
