"""The commands that exchange corrections with other tools."""

import json
from pathlib import Path

import pytest
import spacy
from typer.testing import CliRunner

from spacy_genner.app.session import CorrectionSession
from spacy_genner.cli import app
from spacy_genner.formats import get_format

RUNNER = CliRunner()
# An emoji counts twice in JavaScript.
TEXT = "Lisbon 🙂 hosts the University of Lisbon."
SPANS = [(0, 6, "GPE"), (19, 39, "ORG"), (33, 39, "GPE")]
# As each tool writes an annotated text.
EXPORTS = {
    "prodigy": {
        "text": TEXT,
        "spans": [{"start": s, "end": e, "label": n} for s, e, n in SPANS],
        "answer": "accept",
        "_view_id": "spans_manual",
    },
    "doccano": {"id": 7, "text": TEXT, "label": [list(span) for span in SPANS]},
    "label-studio": {
        "id": 7,
        "data": {"text": TEXT},
        "annotations": [
            {
                "result": [
                    {
                        "type": "labels",
                        "value": {"start": s, "end": e, "labels": [n]},
                    }
                    for s, e, n in SPANS
                ]
            }
        ],
    },
}
# The name of the corpus format of each tool, and the file that it takes.
FORMS = {
    "prodigy": ("jsonl", "out.jsonl"),
    "doccano": ("doccano", "out.jsonl"),
    "label-studio": ("label-studio", "out.json"),
}


def convert(*arguments):
    result = RUNNER.invoke(app, ["convert", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def correct(corpus: Path) -> Path:
    """Reject the first span of the first document, and finish it; leave the others."""
    session = CorrectionSession(
        corpus,
        corpus.with_name("corrected.jsonl"),
        nlp=spacy.blank("en"),
        format=get_format("inline_bracketed"),
    )
    page = {"page": "p"}
    session.handle({**page, "action": "reject", "revision": 0, "key": "0-6-GPE"})
    view = session.handle({**page, "action": "finish", "revision": 1})
    assert view["error"] == "" and view["counts"]["done"] == 1
    session.close()
    return corpus.with_name("corrected.jsonl")


def spans_of(tool, path):
    """The spans in a file for a tool, read without this project."""
    content = path.read_text("utf8")
    if tool == "label-studio":
        [task] = json.loads(content)
        results = task["annotations"][0]["result"]
        values = [item["value"] for item in results]
        return [(v["start"], v["end"], v["labels"][0]) for v in values]
    [record] = map(json.loads, content.splitlines())
    if tool == "doccano":
        assert record["text"] == TEXT
        return [tuple(span) for span in record["label"]]
    tokens = record["tokens"]
    for span in record["spans"]:
        assert tokens[span["token_start"]]["start"] == span["start"]
        assert tokens[span["token_end"]]["end"] == span["end"]
    return [(s["start"], s["end"], s["label"]) for s in record["spans"]]


@pytest.mark.filterwarnings("ignore:.*W501")
@pytest.mark.parametrize("tool", EXPORTS)
def test_from_a_tool_to_the_page_and_back(tmp_path, tool):
    form, name = FORMS[tool]
    export = tmp_path / ("in.json" if name.endswith(".json") else "in.jsonl")
    other = json.loads(json.dumps(EXPORTS[tool]).replace("hosts", "holds"))
    lines = [json.dumps(EXPORTS[tool]), json.dumps(other)]
    text = f"[{','.join(lines)}]" if name.endswith(".json") else "\n".join(lines)
    export.write_text(text, "utf8")
    corpus = tmp_path / "corpus.jsonl"
    assert "2 documents, 6 spans" in convert(
        export, corpus, "--from", form, "--to", "jsonl"
    )
    corrected = correct(corpus)
    output = tmp_path / name
    printed = convert(corrected, output, "--from", "jsonl", "--to", form)
    assert "1 documents, 2 spans" in printed
    assert spans_of(tool, output) == SPANS[1:]


@pytest.mark.filterwarnings("ignore:.*W501")
def test_the_result_is_a_training_corpus(tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(json.dumps(EXPORTS["prodigy"]) + "\n", "utf8")
    corrected = correct(corpus)
    printed = convert(corrected, tmp_path / "corpus.spacy", "--from", "jsonl")
    assert "1 documents, 2 spans" in printed
    [doc] = (
        spacy.tokens.DocBin()
        .from_disk(tmp_path / "corpus.spacy")
        .get_docs(spacy.blank("en").vocab)
    )
    assert [(s.text, s.label_) for s in doc.spans["sc"]] == [
        ("University of Lisbon", "ORG"),
        ("Lisbon", "GPE"),
    ]
