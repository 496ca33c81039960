"""`annotate`: records, failures and bad input."""

import json
from pathlib import Path

import pytest
import spacy
from cli_cases import marks_first_word
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from typer.testing import CliRunner

from spacy_genner.cli import app

RUNNER = CliRunner()


Language.component("cli_test_marks", func=marks_first_word("FIRST", 0.25))


@Language.component("cli_test_breaks")
def break_on_boom(doc: Doc) -> Doc:
    if "boom" in doc.text:
        raise ValueError("it went off")
    return doc


@pytest.fixture
def model(tmp_path) -> Path:
    nlp = spacy.blank("en")
    nlp.add_pipe("cli_test_marks")
    nlp.add_pipe("cli_test_breaks")
    nlp.to_disk(tmp_path / "model")
    return tmp_path / "model"


def run(*args):
    arguments = ["annotate", *map(str, args), "--spans-key", "sc"]
    return RUNNER.invoke(app, arguments)


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_each_line_of_a_text_file_has_a_record(tmp_path, model):
    source, output = tmp_path / "in.txt", tmp_path / "out" / "out.jsonl"
    source.write_text("Åse came.\n\nBo left.\n", encoding="utf-8")
    result = run(model, source, output)
    assert result.exit_code == 0, result.output
    first, empty, last = records(output)
    span = {"start": 0, "end": 3, "label": "FIRST", "score": 0.25}
    assert first == {
        "text": "Åse came.",
        "spans": [span],
        "status": "ok",
        "issues": [],
    }
    assert (empty["text"], empty["spans"], empty["status"]) == ("", [], "ok")
    assert last["spans"][0]["end"] == 2


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_no_text_is_lost_and_other_keys_are_kept(tmp_path, model, batch_size):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    texts = ["boom", "a", "b", "boom again", "c", "boom", "boom"]
    rows = [{"id": i, "meta": {"x": "ü"}, "text": t} for i, t in enumerate(texts)]
    source.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    result = run(model, source, output, "--batch-size", batch_size)
    assert result.exit_code == 0, result.output
    found = records(output)
    kept = [{key: row[key] for key in ("id", "meta", "text")} for row in found]
    assert kept == rows
    for row in found:
        failed = "boom" in row["text"]
        assert row["status"] == ("failed" if failed else "ok")
        assert len(row["spans"]) == (0 if failed else 1)
        if failed:
            assert "it went off" in row["issues"][0]["message"]
    assert "[W502] 4 of 7" in " ".join(result.stderr.split())


def test_a_text_that_the_tokenizer_refuses_fails(tmp_path, model):
    nlp = spacy.load(model)
    nlp.max_length = 10
    from spacy_genner.pipeline.texts import InputText, annotate_stream, to_record

    texts = [InputText(t, {}, None) for t in ("short", "far too long for it", "end")]
    found = [to_record(a, "sc") for a in annotate_stream(nlp, "sc", texts)]
    assert [row["status"] for row in found] == ["ok", "failed", "ok"]
    assert found[1]["text"] == "far too long for it"
    assert "E088" in found[1]["issues"][0]["message"]


def test_the_input_and_the_output_may_be_docs(tmp_path, model):
    nlp = spacy.blank("en")
    docs = [nlp("Åse came."), nlp("boom"), nlp("Bo left.")]
    docs[0].spans["gold"] = [docs[0][0:2]]
    source, output = tmp_path / "in.spacy", tmp_path / "out.spacy"
    DocBin(docs=docs).to_disk(source)
    assert run(model, source, output).exit_code == 0
    first, failed, last = DocBin().from_disk(output).get_docs(nlp.vocab)
    assert [span.text for span in first.spans["gold"]] == ["Åse came"]
    assert [span.text for span in first.spans["sc"]] == ["Åse"]
    assert first.spans["sc"].attrs["scores"].tolist() == [0.25]
    assert failed.spans["sc"].attrs["status"] == "failed"
    assert failed.text == "boom"
    assert last.spans["sc"].attrs["status"] == "ok"
    assert not first.user_data


def test_other_keys_are_stored_in_user_data(tmp_path, model):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.spacy"
    source.write_text('{"text": "Bo left.", "id": 7}\n')
    assert run(model, source, output).exit_code == 0
    [doc] = DocBin().from_disk(output).get_docs(spacy.blank("en").vocab)
    assert doc.user_data["record"] == {"id": 7}


@pytest.mark.parametrize(
    "name, content, output, code",
    [
        ("in.txt", None, "out.jsonl", "G520"),
        ("in.csv", "a", "out.jsonl", "G525"),
        ("in.txt", "a", "out.txt", "G525"),
        ("in.jsonl", '{"text": "a"}\n{"txt": "b"}', "out.jsonl", "G516"),
        ("in.jsonl", '{"text": "a"}\nb', "out.jsonl", "G512"),
        ("in.spacy", "a", "out.jsonl", "G515"),
    ],
)
def test_bad_input_exits_with_1(tmp_path, model, name, content, output, code):
    if content is not None:
        (tmp_path / name).write_text(content)
    result = run(model, tmp_path / name, tmp_path / output)
    assert result.exit_code == 1
    assert f"[{code}]" in result.stderr
    assert not (tmp_path / output).exists()


def test_a_missing_pipeline_and_one_without_the_component(tmp_path, model):
    (tmp_path / "in.txt").write_text("a\n")
    result = run(tmp_path / "none", tmp_path / "in.txt", tmp_path / "out.jsonl")
    assert (result.exit_code, "[G527]" in result.stderr) == (1, True)
    arguments = ["annotate", model, tmp_path / "in.txt", tmp_path / "out.jsonl"]
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    assert (result.exit_code, "[G526]" in result.stderr) == (1, True)
