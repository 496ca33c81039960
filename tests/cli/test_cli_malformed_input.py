"""Malformed input: coded errors with file and line, and no traceback."""

import json

import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_genner.cli import app

RUNNER = CliRunner()
HUGE = "9" * 5000
DEEP = "[" * 1000 + "]" * 1000
# Python can parse this, but can't serialize it.
HALF_DEEP = "[" * 300 + "]" * 300
HALF = r"\ud800"
TASK = '{"instruction": "x", "input": "Oslo", "output": %s}'


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(code, *words):
    """Run a command that exits with 1, and return its message."""
    result = RUNNER.invoke(app, list(map(str, words)))
    assert result.exit_code == 1, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    message = " ".join(result.stderr.split())
    assert f"[{code}]" in message, message
    assert len(message) < 1000
    return message


def jsonl(rest):
    return f'{{"text": "Oslo", "spans": []}}\n{{"text": "Oslo", {rest}}}\n'


def task(output, line=2):
    return "\n" * (line - 1) + TASK % json.dumps(output)


def xml(encoding):
    return f'<?xml version="1.0" encoding="{encoding}"?>\n<set></set>\n'


@pytest.mark.parametrize(
    "name, content, code, place",
    [
        ("jsonl", jsonl(f'"spans": [[0, 4, "{HALF}"]]'), "G513", "line 2"),
        ("jsonl", jsonl(f'"spans": [], "doc_id": "{HALF}"'), "G513", "line 2"),
        ("jsonl", jsonl('"spans": [], "doc_id": {"a": 1}'), "G513", "line 2"),
        ("jsonl", jsonl(f'"spans": [[0, {HUGE}, "X"]]'), "G512", "line 2"),
        ("jsonl", jsonl(f'"spans": {DEEP}'), "G512", "line 2"),
        ("jsonl", jsonl(f'"spans": {HALF_DEEP}'), "G512", "line 2"),
        ("alpaca", f'[\n{{"a": {DEEP}}}]', "G558", "line 2"),
        ("alpaca", f'[\n{{"a": {HALF_DEEP}}}]', "G558", "line 2"),
        ("alpaca", f'[\n{{"a": {HUGE}}}]', "G558", "line 2"),
        ("alpaca", f'\n{{"a": {HUGE}}}', "G512", "line 2"),
        ("alpaca", f'\n{{"a": {DEEP}}}', "G512", "line 2"),
        ("alpaca", task("Oslo")[:-1] + f', "doc_id": "{HALF}"}}', "G557", "line 2"),
        ("alpaca", task(f'{{"{HALF}": ["Oslo"]}}'), "G557", "line 2"),
        ("genia-xml", xml("gb2312"), "G548", "line 1"),
        ("genia-xml", xml("shift_jis"), "G548", "line 1"),
        ("genia-xml", xml("utf-7"), "G548", "line 1"),
        ("genia-xml", xml("foo"), "G548", "line 1"),
        ("genia-xml", xml("hex"), "G548", "line 1"),
        ("pubtator", f"1|t|Oslo\n1\t{HUGE}\t4\tOslo\tGPE", "G547", "line 2"),
    ],
)
def test_a_malformed_corpus(workdir, name, content, code, place):
    (workdir / "bad").write_text(content, encoding="utf-8")
    message = refused(code, "convert", "bad", "o.spacy", "--from", name)
    assert f"bad, {place}: " in message
    assert [path.name for path in workdir.iterdir()] == ["bad"]


def test_malformed_offsets_in_standoff(workdir):
    (workdir / "d.txt").write_text("Oslo")
    (workdir / "d.ann").write_text(f"T1\tGPE 0 {HUGE}\tOslo\n")
    message = refused("G544", "convert", "d.txt", "o.spacy", "--from", "brat")
    assert "d.ann, line 1: " in message
    (workdir / "a.sgm").write_text("<TEXT>Oslo</TEXT>")
    (workdir / "a.apf.xml").write_text(
        '<d>\n<entity TYPE="GPE"><entity_mention><extent>\n'
        f'<charseq START="0" END="{HUGE}">Oslo</charseq>'
        "</extent></entity_mention></entity></d>"
    )
    message = refused("G541", "convert", "a.sgm", "o.spacy", "--from", "ace2005")
    assert "a.apf.xml, line 3: " in message


@pytest.mark.parametrize("output", ["[" * 1000, DEEP, HALF_DEEP, HUGE, f"[{HUGE}]"])
@pytest.mark.parametrize("name", [None, "grouped_json", "offset_json"])
def test_an_output_that_cannot_be_parsed(workdir, output, name):
    # The first output has a format that can be detected.
    first = TASK % json.dumps('{"GPE": ["Oslo"]}')
    (workdir / "a.json").write_text(f"{first}\n{TASK % json.dumps(output)}\n")
    more = [] if name is None else ["--format", name]
    line = ["convert", "a.json", "o.spacy", "--from", "alpaca", *more]
    result = RUNNER.invoke(app, line)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "2 documents" in result.output
    (workdir / "a.json").write_text(TASK % json.dumps(output))
    if name is None:
        message = refused("G560", *line)
        assert "a.json, line 1: " in message


@pytest.mark.parametrize(
    "content", [DEEP, HALF_DEEP, HUGE, f'{{"{HALF}": "x"}}', f'{{"A": "{HALF}"}}']
)
def test_malformed_labels(workdir, content):
    (workdir / "c.txt").write_text("[Oslo | GPE]")
    (workdir / "l.json").write_text(content)
    line = ["convert", "c.txt", "o.json", "--from", "bracketed", "--to", "alpaca"]
    assert "l.json contains no labels" in refused("G561", *line, "--labels", "l.json")


@pytest.mark.parametrize("content", [DEEP, HALF_DEEP, HUGE])
def test_malformed_evaluations(workdir, content):
    (workdir / "m").mkdir()
    (workdir / "m" / "x.json").write_text(content)
    assert "x.json" in refused("G605", "table", "m", "t.md")
    assert "x.json" in refused("G605", "report", "m", "r.html")
    assert "x.json" in refused("G605", "compare", "m/x.json", "m/x.json")


@pytest.mark.parametrize("content", [DEEP, HUGE])
def test_malformed_documents_of_an_evaluation(workdir, content):
    (workdir / "m").mkdir()
    shares = ("micro_p", "micro_r", "nested_f", "nested_r", "flat_f", "micro_f")
    more = {"gold": 0, "predicted": 0, "correct": 0, "interval": {}}
    scores = dict.fromkeys(shares, 0.5) | more
    (workdir / "m" / "x.json").write_text(json.dumps(scores))
    (workdir / "m" / "x.spans.jsonl").write_text(f"{content}\n")
    message = refused("G605", "compare", "m/x.json", "m/x.json")
    assert "x.spans.jsonl" in message and "line 1" in message


@pytest.mark.parametrize(
    "found",
    [
        3,
        "abc",
        {"start": 0},
        [3],
        [[0, 4]],
        ["abc"],
        [["0", 4, "GPE"]],
        [[0, 4, 7]],
        [[0, 5, "GPE"]],
        [[2, 2, "GPE"]],
        [[-1, 2, "GPE"]],
    ],
)
def test_malformed_unaligned_spans(workdir, found):
    doc = spacy.blank("en")("Oslo")
    doc.user_data |= {"doc_id": "d7", "genner_unaligned": found}
    doc.spans["sc"] = []
    DocBin(docs=[doc], store_user_data=True).to_disk("in.spacy")
    message = refused("G563", "convert", "in.spacy", "o.spacy", "--from", "docbin")
    assert "'d7'" in message and "genner_unaligned" in message
