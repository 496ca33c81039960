"""`convert` from and to each corpus format, with the options of each."""

import json
from pathlib import Path

import pytest
import spacy
import typer
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.cli.convert import OPTIONS
from spacy_genner.corpora.forms import CONVERTERS, WRITERS
from spacy_genner.formats import FORMATS

RUNNER = CliRunner()
READABLE_FORMATS = (
    "bracketed jsonl conll conll-nested conll-2012 genia-xml ace2005 brat pubtator "
    "alpaca docbin label-studio label-studio-min doccano"
).split()
WRITABLE_FORMATS = (
    "jsonl alpaca conll conll-nested brat bracketed docbin spacy label-studio "
    "label-studio-min doccano"
).split()


def convert(*args):
    return RUNNER.invoke(app, ["convert", *map(str, args)])


def output_of(result) -> str:
    """The output of a command as one line."""
    return " ".join(result.output.split())


@pytest.fixture
def workdir(tmp_path, monkeypatch) -> Path:
    """A working directory with a small corpus."""
    (tmp_path / "c.txt").write_text(
        "[Mara | PERSON] left the [University of [Oslo | GPE] | ORG].\n\nShe paid.\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_lists_every_format():
    assert (set(CONVERTERS), set(WRITERS)) == (
        set(READABLE_FORMATS),
        set(WRITABLE_FORMATS),
    )
    text = convert("--help").output
    to_read, to_write = text.split("Formats to read:")[1].split("Formats to write:")
    for name in READABLE_FORMATS:
        assert f"\n    {name} " in to_read or f"\n  {name} " in to_read, name
    for name in set(WRITABLE_FORMATS) - {"docbin"}:
        assert f"\n    {name} " in to_write or f"\n  {name} " in to_write, name
    for name in FORMATS:
        assert name in text


def test_the_docs_describe_every_format_and_option():
    docs = (Path(__file__).parents[2] / "docs" / "corpora.md").read_text("utf-8")
    command = typer.main.get_command(app).commands["convert"]
    options = [param.opts[0] for param in command.params]
    for name in [
        *READABLE_FORMATS,
        *WRITABLE_FORMATS,
        *(o for o in options if o.startswith("--")),
    ]:
        assert f"`{name}" in docs or f" {name}" in docs, name


@pytest.mark.parametrize(
    "to, output",
    [
        ("jsonl", "o.jsonl"),
        ("alpaca", "o.json"),
        ("label-studio", "o.json"),
        ("label-studio-min", "o.json"),
        ("doccano", "o.jsonl"),
        ("conll", "o.conll"),
        ("conll-nested", "o.tsv"),
        ("brat", "o"),
        ("bracketed", "o.txt"),
        ("docbin", "o.spacy"),
        ("spacy", "o.spacy"),
    ],
)
def test_a_written_corpus_can_be_read(workdir, to, output):
    result = convert("c.txt", output, "--from", "bracketed", "--to", to)
    assert result.exit_code == 0, result.output
    assert "2 documents, 3 spans" in output_of(result)
    back = "docbin" if to == "spacy" else to
    result = convert(output, "back.spacy", "--from", back)
    assert result.exit_code == 0, result.output
    assert f"2 documents, {2 if to == 'conll' else 3} spans" in output_of(result)


def test_omitted_spans_are_listed(workdir):
    result = convert("c.txt", "o.conll", "--from", "bracketed", "--to", "conll")
    assert result.exit_code == 0
    assert "1 of 3 spans are left out" in output_of(result)
    assert "overlaps a longer one" in output_of(result)
    assert "'Oslo' (GPE), document 1" in output_of(result)


def test_the_output_format_is_that_of_the_output_or_else_of_the_input(workdir):
    line = ["c.txt", "a.json", "--from", "bracketed", "--to", "alpaca"]
    assert convert(*line, "--format", "inline_xml").exit_code == 0
    rows = json.loads((workdir / "a.json").read_text("utf-8"))
    assert "<PERSON>Mara</PERSON>" in rows[0]["output"]
    line = ["a.json", "b.json", "--from", "alpaca", "--to", "alpaca"]
    assert convert(*line, "--format", "offset_json").exit_code == 0
    rows = json.loads((workdir / "b.json").read_text("utf-8"))
    assert json.loads(rows[0]["output"])[0]["end"] == 4
    line = ["b.json", "o.spacy", "--from", "alpaca"]
    assert "2 documents, 3 spans" in output_of(convert(*line))
    # Reading the outputs in a wrong format finds no spans, which is reported.
    result = convert(*line, "--format", "inline_xml")
    assert result.exit_code == 0
    assert "2 documents, 0 spans" in output_of(result)
    assert "times in the source: copy_differs" in output_of(result)
    assert "b.json, line " in output_of(result)


def test_labels_are_written_to_the_instruction(workdir):
    labels = {"GPE": "a city or country", "VEH": "a vehicle"}
    (workdir / "labels.json").write_text(json.dumps(labels))
    line = ["c.txt", "a.json", "--from", "bracketed", "--to", "alpaca"]
    assert convert(*line, "--labels", "labels.json").exit_code == 0
    rows = json.loads((workdir / "a.json").read_text("utf-8"))
    assert "- GPE: a city or country\n- VEH: a vehicle\n- ORG" in rows[0]["instruction"]


@pytest.mark.parametrize("content", ["{", "3", "[]", "{}"])
def test_files_without_labels(workdir, content):
    (workdir / "labels.json").write_text(content)
    line = ["c.txt", "a.json", "--from", "bracketed", "--to", "alpaca"]
    result = convert(*line, "--labels", "labels.json")
    assert (result.exit_code, "[G561]" in result.stderr) == (1, True)


def test_documents_selects_a_split(workdir):
    (workdir / "ids").write_text("2\n")
    line = ["c.txt", "o.jsonl", "--from", "bracketed", "--to", "jsonl"]
    result = convert(*line, "--documents", "ids")
    assert result.exit_code == 0, result.output
    assert "1 documents, 0 spans" in output_of(result)
    (workdir / "ids").write_text("7\n")
    result = convert(*line, "--documents", "ids")
    assert (result.exit_code, "[G532]" in result.stderr) == (1, True)
    (workdir / "ids").write_text("\n")
    result = convert(*line, "--documents", "ids")
    assert (result.exit_code, "[G531]" in result.stderr) == (1, True)
    result = convert(*line, "--documents", "none")
    assert (result.exit_code, "[G520]" in result.stderr) == (1, True)


def test_discontinuous_entities(workdir):
    (workdir / "b").mkdir()
    (workdir / "b" / "d.txt").write_text("north and south Oslo")
    (workdir / "b" / "d.ann").write_text("T1\tGPE 0 5;16 20\tnorth Oslo\n")
    line = ["b", "o.jsonl", "--from", "brat", "--to", "jsonl"]
    result = convert(*line)
    assert (result.exit_code, "[G545]" in result.stderr) == (1, True)
    for choice, count in (("join", 1), ("split", 2)):
        result = convert(*line, "--discontinuous", choice)
        assert f"1 documents, {count} spans" in output_of(result)


def test_documents_are_split_into_sentences(workdir):
    line = ["c.txt", "o.jsonl", "--from", "bracketed", "--to", "jsonl"]
    text = (workdir / "c.txt").read_text("utf-8").replace("\n\n", "\n")
    (workdir / "c.txt").write_text(text, encoding="utf-8")
    assert "1 documents" in output_of(convert(*line))
    line = ["o.jsonl", "a.json", "--from", "jsonl", "--to", "alpaca"]
    assert "2 documents, 3 spans" in output_of(convert(*line, "--split-sentences"))
    for option, code in (("--join-sentences", "G562"), ("--split-sentences", "G533")):
        result = convert("a.json", "o.spacy", "--from", "alpaca", option)
        assert (result.exit_code, f"[{code}]" in result.stderr) == (1, True)


def test_sentences_that_cannot_be_split_or_joined_are_reported(workdir):
    rows = [{"text": "In Oslo.", "spans": []}, {"text": "To Bergen.", "spans": []}]
    rows[1]["doc_id"] = None
    (workdir / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = ["a.jsonl", "b.spacy", "--from", "jsonl"]
    assert "no_" not in output_of(convert(*line))
    result = output_of(convert(*line, "--split-sentences"))
    assert "2 times in the source: no_sentence_starts" in result
    assert "- document 1" in result
    result = output_of(convert(*line, "--join-sentences"))
    assert "2 times in the source: no_doc_id" in result
    assert "- a.jsonl, line 1" in result


# The values of each option.
GIVEN = {
    "--detokenize": [],
    "--triggers": [],
    "--extent": ["head"],
    "--discontinuous": ["refuse"],
    "--labels": ["labels.json"],
    "--format": ["inline_xml"],
    "--offsets": ["utf-16"],
    "--token-column": ["1"],
    "--tag-column": ["2"],
}


@pytest.mark.parametrize("name", GIVEN)
def test_an_option_without_effect_is_wrong_usage(workdir, name):
    (workdir / "labels.json").write_text('{"GPE": "a city"}')
    row = {"text": "Oslo", "spans": []}
    (workdir / "a.jsonl").write_text(json.dumps(row) + "\n")
    line = ["a.jsonl", "o.jsonl", "--from", "jsonl", "--to", "jsonl"]
    if name == "--offsets":
        line[0], line[3] = "c.txt", "bracketed"
    result = convert(*line, name, *GIVEN[name])
    assert result.exit_code == 2
    assert name in result.output and "would do nothing" in output_of(result)
    assert not (workdir / "o.jsonl").exists()
    assert convert(*line).exit_code == 0


def test_each_option_applies_to_the_formats_that_use_it(workdir, monkeypatch):
    """An option that does not apply is refused before the input is read."""
    params = typer.main.get_command(app).commands["convert"].params
    flags = {param.name: param.opts[0] for param in params}
    assert {flags[name] for name in OPTIONS} == set(GIVEN)
    monkeypatch.setattr("spacy_genner.cli.convert.convert_file", stopped)
    (workdir / "labels.json").write_text('{"GPE": "a city"}')
    for name, applies in OPTIONS.items():
        given = [flags[name], *GIVEN[flags[name]]]
        for source in READABLE_FORMATS:
            for to in ("jsonl", "alpaca"):
                output = "o.jsonl" if to == "jsonl" else "o.json"
                line = ["in", output, "--from", source, "--to", to, *given]
                fits = source in applies.read or to in applies.written
                assert convert(*line).exit_code == (1 if fits else 2), line


def stopped(*args, **kwargs):
    raise ValueError("[G504] stopped")


def make_docbin(*docs):
    """Write a `.spacy` file of Docs with the given groups and entities (all "Oslo")."""
    nlp = spacy.blank("en")
    made = []
    for number, (groups, ents) in enumerate(docs, 1):
        doc = nlp("Oslo grows.")
        doc.user_data["doc_id"] = f"d{number}"
        for key in groups:
            doc.spans[key] = [doc.char_span(0, 4, label="GPE")]
        doc.set_ents([doc.char_span(0, 4, label="LOC")] if ents else [])
        made.append(doc)
    DocBin(docs=made, store_user_data=True).to_disk("in.spacy")


def test_a_missing_group_is_an_error(workdir):
    make_docbin(((), False), (("sc", "other"), False))
    line = ["in.spacy", "o.jsonl", "--from", "docbin", "--to", "jsonl"]
    result = convert(*line, "--spans-key", "sx")
    assert (result.exit_code, "[G603]" in result.stderr) == (1, True)
    assert "['other', 'sc']" in " ".join(result.stderr.split())
    assert not (workdir / "o.jsonl").exists()
    result = convert(*line)
    assert "2 documents, 1 spans" in output_of(result)
    assert "times in the source" not in output_of(result)


def test_entities_for_a_missing_group_are_reported(workdir):
    make_docbin(((), True), (("sc",), True), (("sc",), False), ((), False))
    line = ["in.spacy", "o.jsonl", "--from", "docbin", "--to", "jsonl"]
    result = output_of(convert(*line, "--spans-key", "sx"))
    assert "4 documents, 2 spans" in result
    assert "2 times in the source: entities_for_missing_group" in result
    assert "- document d1: no doc.spans['sx'] - document d2" in result
    assert "document d2: no doc.spans['sx'], there are ['sc']" in result
    assert "1 times in the source: other_groups_alone" in result
    assert "- document d3: no doc.spans['sx'], there are ['sc']" in result


def test_texts_without_annotation_are_not_an_error(workdir):
    make_docbin(((), False), ((), False))
    result = convert("in.spacy", "o.spacy", "--from", "docbin")
    assert "2 documents, 0 spans" in output_of(result)
    assert "times in the source" not in output_of(result)


def test_join_sentences_joins_the_sentences_of_a_docbin(workdir):
    line = ["c.txt", "a.spacy", "--from", "bracketed", "--split-sentences"]
    text = (workdir / "c.txt").read_text("utf-8").replace("\n\n", "\n")
    (workdir / "c.txt").write_text(text, encoding="utf-8")
    assert "2 documents, 3 spans" in output_of(convert(*line))
    line = ["a.spacy", "o.jsonl", "--from", "docbin", "--to", "jsonl"]
    assert "2 documents, 3 spans" in output_of(convert(*line))
    result = output_of(convert(*line, "--join-sentences"))
    assert "1 documents, 3 spans" in result and "(sentences) 2" in result
    row = json.loads((workdir / "o.jsonl").read_text("utf-8"))
    assert row["text"] == "Mara left the University of Oslo. She paid."
    assert row["sentence_starts"] == [0, 34]
    # Docs without ids are not joined.
    nlp = spacy.blank("en")
    DocBin(docs=[nlp("One."), nlp("Two.")]).to_disk("a.spacy")
    result = output_of(convert(*line, "--join-sentences"))
    assert "2 documents" in result
    assert "2 times in the source: no_doc_id" in result


def test_detokenize_removes_spaces(workdir):
    (workdir / "c.conll").write_text("In\tO\nOslo\tB-GPE\n.\tO\n")
    line = ["c.conll", "o.jsonl", "--from", "conll", "--to", "jsonl"]
    assert convert(*line, "--detokenize").exit_code == 0
    assert json.loads((workdir / "o.jsonl").read_text())["text"] == "In Oslo."


@pytest.mark.parametrize(
    "args",
    [
        ["--to", "nothing"],
        ["--to", "alpaca", "--format", "nothing"],
        ["--extent", "nothing"],
        ["--discontinuous", "nothing"],
    ],
)
def test_wrong_usage_exits_with_2(workdir, args):
    assert convert("c.txt", "o.json", "--from", "bracketed", *args).exit_code == 2
    assert [path.name for path in workdir.iterdir()] == ["c.txt"]


@pytest.mark.parametrize(
    "output, args, code",
    [
        ("o.json", [], "G525"),
        ("o.json", ["--to", "jsonl"], "G525"),
        ("o.jsonl", ["--to", "alpaca"], "G525"),
        ("c.txt", ["--to", "brat"], "G556"),
        ("full", ["--to", "brat"], "G554"),
        ("full", ["--to", "conll"], "G521"),
        ("bad.txt", ["--to", "bracketed"], "G553"),
    ],
)
def test_bad_input_exits_with_1_and_changes_nothing(workdir, output, args, code):
    (workdir / "full").mkdir()
    (workdir / "full" / "notes.md").write_text("mine")
    row = {"text": "see [3]", "spans": []}
    (workdir / "bad.jsonl").write_text(json.dumps(row) + "\n")
    source = ["bad.jsonl", "jsonl"] if code == "G553" else ["c.txt", "bracketed"]
    before = {path: path.is_file() and path.read_bytes() for path in workdir.rglob("*")}
    result = convert(source[0], output, "--from", source[1], *args)
    assert result.exit_code == 1, result.output
    assert f"[{code}]" in result.stderr
    assert "Traceback" not in result.output
    after = {path: path.is_file() and path.read_bytes() for path in workdir.rglob("*")}
    assert after == before


def test_a_malformed_entry_of_a_list_is_located(workdir):
    (workdir / "a.json").write_text('[\n{"instruction": "x", "input": "y"}\n]')
    result = convert("a.json", "o.spacy", "--from", "alpaca")
    message = " ".join(result.stderr.split())
    assert result.exit_code == 1
    assert "[G557] a.json, line 2: 'output' is None" in message
