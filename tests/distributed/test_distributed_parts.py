"""Parts and their folder, with workers in this process instead of Ray's."""

import json
import shutil

import pytest
from distributed_cases import (
    CODE,
    NEEDS_ARROW,
    jsonl_rows,
    save_marks,
    save_tiny,
    write_docs,
    write_jsonl,
)
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.distributed import annotate_corpus, run
from spacy_genner.distributed.outputs import OutputFolder
from spacy_genner.distributed.workers import MAX_ATTEMPTS, PartAnnotator, PartResult

FORMATS = ["jsonl", pytest.param("parquet", marks=NEEDS_ARROW)]
TEXTS = ["Åse came.", "boom", "", "Bo left.", "e", "boom too", "g"]
FIRST = {"start": 0, "label": "FIRST", "score": 0.25}


class Killed(Exception):
    """The driver dies."""


@pytest.fixture(autouse=True)
def workers(monkeypatch):
    """Replaces Ray by a loop. RETURNS (dict): the number of parts until the driver
    dies, and the parts that were annotated."""
    state = {"until": 10**6, "done": []}

    def annotate(corpus, todo, settings, address, resources, on_progress):
        worker = PartAnnotator(settings)
        for part in todo:
            if not state["until"]:
                raise Killed
            state["until"] -= 1
            [content] = worker({"part": [json.dumps(vars(part))]})["result"]
            result = PartResult(**json.loads(content))
            if result.error is not None:
                raise ValueError(result.error)
            state["done"].append(part.number)

    monkeypatch.setattr(run, "_annotate_parts", annotate)
    return state


@pytest.fixture
def settings(tmp_path):
    model = save_marks(tmp_path / "model")
    source = write_jsonl(tmp_path / "in.jsonl", TEXTS)
    return {
        "model": model,
        "source": source,
        "output": tmp_path / "out",
        "part_size": 2,
        "spans_key": "sc",
        "code": CODE,
    }


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_parts_are_what_annotate_writes(tmp_path, settings):
    summary = annotate_corpus(**settings)
    single = tmp_path / "single.jsonl"
    arguments = ["annotate", settings["model"], settings["source"], single]
    arguments += ["--spans-key", "sc", "--code", settings["code"]]
    assert CliRunner().invoke(app, list(map(str, arguments))).exit_code == 0
    parts = sorted((tmp_path / "out").glob("part-*"))
    assert [path.name for path in parts] == [f"part-00000{i}.jsonl" for i in range(4)]
    assert b"".join(path.read_bytes() for path in parts) == single.read_bytes()
    assert (summary.documents, summary.spans, summary.parts) == (7, 4, 4)
    assert summary.statuses == {"failed": 2, "repaired": 0, "windowed": 0, "ok": 5}


def test_failed_documents_are_kept_and_listed(tmp_path, settings):
    summary = annotate_corpus(**settings)
    failed = [row for row in jsonl_rows(tmp_path / "out") if row["status"] == "failed"]
    assert [row["id"] for row in failed] == ["d1", "d5"]
    lines = (tmp_path / "out" / "_failed.jsonl").read_text("utf8").splitlines()
    first, second = map(json.loads, lines)
    assert first["number"] == 2 and first["id"] == "d1"
    assert first["file"] == "part-000000.jsonl" and "it went off" in first["reason"]
    assert (second["number"], second["id"]) == (6, "d5")
    assert "it went off" in summary.first_failure


def test_the_manifest_describes_the_parts(tmp_path, settings):
    annotate_corpus(**settings)
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text("utf8"))
    assert manifest["documents"] == 7 and manifest["spans"] == 4
    assert manifest["statuses"]["failed"] == 2
    assert [part["first"] for part in manifest["parts"]] == [1, 3, 5, 7]
    for part in manifest["parts"]:
        assert (tmp_path / "out" / part["file"]).stat().st_size == part["bytes"]
    names = set(files(tmp_path / "out"))
    assert names == {
        "_failed.jsonl",
        "_manifest.json",
        *(part["file"] for part in manifest["parts"]),
    }


@pytest.mark.parametrize("part_format", FORMATS)
@pytest.mark.parametrize("until", range(5))
def test_a_resumed_run_equals_an_unbroken_one(
    tmp_path, settings, workers, until, part_format
):
    settings["part_format"] = part_format
    annotate_corpus(**settings)
    whole = files(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    workers |= {"until": until, "done": []}
    if until < 4:
        with pytest.raises(Killed):
            annotate_corpus(**settings)
        assert not (tmp_path / "out" / "_manifest.json").exists()
    else:
        annotate_corpus(**settings)
    # A part whose record is missing, and the rest of a write that was interrupted.
    (tmp_path / "out" / f"part-000003.{part_format}").write_text("other")
    (tmp_path / "out" / f".part-000003.{part_format}.a1b2c3d4.new").write_text("half")
    if until == 4:
        with pytest.raises(ValueError, match=r"\[G834\].*part-000003"):
            annotate_corpus(**settings, resume=True)
        return
    workers["until"] = 100
    summary = annotate_corpus(**settings, resume=True)
    assert workers["done"] == [0, 1, 2, 3] and summary.resumed == until
    assert files(tmp_path / "out") == whole
    # A complete run has nothing left to do.
    again = annotate_corpus(**settings, resume=True)
    assert workers["done"] == [0, 1, 2, 3] and again.resumed == 4
    assert again.statuses == summary.statuses and again.spans == summary.spans
    assert files(tmp_path / "out") == whole


def test_a_part_that_was_removed_is_annotated_again(tmp_path, settings, workers):
    workers["until"] = 3
    with pytest.raises(Killed):
        annotate_corpus(**settings)
    (tmp_path / "out" / "part-000001.jsonl").unlink()
    workers["until"] = 100
    assert annotate_corpus(**settings, resume=True).documents == 7
    assert workers["done"] == [0, 1, 2, 1, 3]


def test_an_earlier_run_is_neither_mixed_nor_overwritten(tmp_path, settings, workers):
    workers["until"] = 1
    with pytest.raises(Killed):
        annotate_corpus(**settings)
    before = files(tmp_path / "out")
    with pytest.raises(ValueError, match=r"\[G832\].*--resume.*--restart"):
        annotate_corpus(**settings)
    with pytest.raises(ValueError, match=r"\[G833\].*part_size \(2, now 3\)"):
        annotate_corpus(**settings | {"part_size": 3}, resume=True)
    with pytest.raises(ValueError, match=r"\[G833\].*: batch_size \(None, now 5\)\."):
        annotate_corpus(**settings, batch_size=5, resume=True)
    other = write_jsonl(tmp_path / "other.jsonl", [*TEXTS[:-1], "h"])
    with pytest.raises(ValueError, match=r"\[G833\].*: input \("):
        annotate_corpus(**settings | {"source": other}, resume=True)
    model = save_marks(tmp_path / "other", killed="x")
    with pytest.raises(ValueError, match=r"\[G833\].*: model \("):
        annotate_corpus(**settings | {"model": model}, resume=True)
    with pytest.raises(ValueError, match=r"\[G833\].*format \(jsonl, now parquet\)"):
        annotate_corpus(**settings, part_format="parquet", resume=True)
    assert files(tmp_path / "out") == before
    workers["until"] = 100
    annotate_corpus(**settings | {"part_size": 3}, resume=False)
    assert len(jsonl_rows(tmp_path / "out")) == 7
    assert len(list((tmp_path / "out").glob("part-*"))) == 3


def test_only_a_folder_of_its_own_is_written(tmp_path, settings):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    for resume in (None, True, False):
        with pytest.raises(ValueError, match=r"\[G824\].*mine.txt"):
            annotate_corpus(**settings, resume=resume)
    assert set(files(tmp_path / "out")) == {"mine.txt"}
    with pytest.raises(ValueError, match="G823"):
        annotate_corpus(**settings | {"output": tmp_path / "out" / "mine.txt"})


def test_one_run_at_a_time_writes_a_folder(tmp_path, settings):
    folder = OutputFolder(tmp_path / "out", "jsonl")
    with folder.locked(), pytest.raises(ValueError, match="G825"):
        annotate_corpus(**settings, resume=True)
    assert annotate_corpus(**settings, resume=True).documents == 7


def test_a_damaged_record_is_reported(tmp_path, settings, workers):
    workers["until"] = 1
    with pytest.raises(Killed):
        annotate_corpus(**settings)
    (tmp_path / "out" / "_progress" / "000000.json").write_text("{")
    with pytest.raises(ValueError, match=r"\[G834\].*000000.json"):
        annotate_corpus(**settings, resume=True)


def test_settings_are_checked(settings):
    for name, value in (
        ("part_format", "csv"),
        ("part_size", 0),
        ("workers", 0),
        ("cpus", 0),
        ("gpus", -1),
    ):
        with pytest.raises(ValueError, match=rf"\[G836\] .*{name}"):
            annotate_corpus(**settings | {name: value})
    assert not settings["output"].exists()


def test_code_that_does_not_run_is_named(tmp_path, settings):
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0")
    for path in (broken, tmp_path / "missing.py"):
        with pytest.raises(ValueError, match=rf"\[G836\] .*{path.name}"):
            annotate_corpus(**settings | {"code": path})


def test_an_empty_corpus_has_a_manifest(tmp_path, settings):
    empty = write_jsonl(tmp_path / "empty.jsonl", [])
    summary = annotate_corpus(**settings | {"source": empty})
    assert (summary.documents, summary.parts) == (0, 0)
    assert (tmp_path / "out" / "_manifest.json").is_file()


def test_a_part_that_kills_every_worker_ends_the_run(tmp_path, settings, workers):
    workers["until"] = 1
    with pytest.raises(Killed):
        annotate_corpus(**settings)
    folder = OutputFolder(tmp_path / "out", "jsonl")
    # Attempts of an earlier run do not count.
    for _ in range(MAX_ATTEMPTS):
        folder.count_attempt(1)
    real = OutputFolder.count_attempt
    workers["until"] = 100

    def count(self, number):
        counts = [real(self, number) for _ in range(MAX_ATTEMPTS if number else 0)]
        return counts[-1] + 1 if counts else 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OutputFolder, "count_attempt", count)
        with pytest.raises(ValueError, match=r"\[G839\].*documents 3 to 4 .*in.jsonl"):
            annotate_corpus(**settings, resume=True)
    assert annotate_corpus(**settings, resume=True).documents == 7


def test_a_worker_that_sees_another_folder_is_reported(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(OutputFolder, "check_visible", lambda *_: False)
    with pytest.raises(ValueError, match=r"\[G838\].*out"):
        annotate_corpus(**settings)


@NEEDS_ARROW
def test_parquet_has_typed_columns(tmp_path, settings):
    from pyarrow import parquet

    annotate_corpus(**settings, part_format="parquet")
    table = parquet.read_table(tmp_path / "out")
    assert table.column_names == ["id", "meta", "text", "spans", "status", "issues"]
    assert table["text"].to_pylist() == TEXTS
    assert table["id"].to_pylist() == [f"d{i}" for i in range(7)]
    assert table["meta"].to_pylist() == ['{"x": "ü"}'] * 7
    assert table["spans"].to_pylist()[0] == [{**FIRST, "end": 3}]
    assert table["spans"].to_pylist()[1] == []
    [issue] = table["issues"].to_pylist()[1]
    assert issue["code"] == "failed" and "it went off" in issue["message"]


@NEEDS_ARROW
def test_parquet_to_parquet_keeps_columns_and_types(tmp_path, settings):
    import pyarrow
    from pyarrow import parquet

    columns = {
        "when": pyarrow.array([0, 1, None], pyarrow.timestamp("ns")),
        "text": ["Bo left.", "boom", "c"],
        "status": ["old"] * 3,
        "data": [b"\xff", b"", b"x"],
    }
    source = tmp_path / "in.parquet"
    parquet.write_table(pyarrow.table(columns), source, row_group_size=2)
    annotate_corpus(**settings | {"source": source, "part_format": "parquet"})
    table = parquet.read_table(tmp_path / "out")
    assert table.column_names == ["when", "text", "data", "spans", "status", "issues"]
    assert table["when"].combine_chunks() == columns["when"]
    assert table["status"].to_pylist() == ["ok", "failed", "ok"]


@pytest.mark.parametrize("part_format", FORMATS)
def test_docs_and_text_lines_may_be_the_input(tmp_path, settings, part_format):
    docs = write_docs(tmp_path / "in.spacy", TEXTS)
    lines = tmp_path / "in.txt"
    lines.write_text("\n".join(TEXTS) + "\n", encoding="utf8")
    for number, source in enumerate((docs, lines)):
        output = tmp_path / f"out{number}"
        summary = annotate_corpus(
            **settings | {"source": source, "output": output},
            part_format=part_format,
        )
        assert (summary.documents, summary.failed) == (7, 2)
        if part_format == "jsonl":
            assert [row["text"] for row in jsonl_rows(output)] == TEXTS
        else:
            from pyarrow import parquet

            assert parquet.read_table(output)["text"].to_pylist() == TEXTS


def test_the_output_of_a_run_may_be_the_input_of_another(tmp_path, settings):
    annotate_corpus(**settings)
    again = {"source": tmp_path / "out", "output": tmp_path / "again"}
    annotate_corpus(**settings | again)
    assert jsonl_rows(tmp_path / "again") == jsonl_rows(tmp_path / "out")


def test_the_vocabulary_does_not_grow_with_the_corpus(tmp_path, settings, tiny_base):
    model = save_tiny(tmp_path / "tiny", tiny_base("llama"))
    texts = [f"Maria{number} lives in Lisbon{number}." for number in range(12)]
    source = write_jsonl(tmp_path / "words.jsonl", texts)
    sizes = []
    real = PartAnnotator._annotate

    def annotate(self, part):
        result = real(self, part)
        sizes.append(len(self._worker.nlp.vocab.strings))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartAnnotator, "_annotate", annotate)
        annotate_corpus(**settings | {"model": model, "source": source, "part_size": 3})
    assert len(sizes) == 4 and len(set(sizes[1:])) == 1
    assert sum(len(row["spans"]) for row in jsonl_rows(tmp_path / "out")) > 0
