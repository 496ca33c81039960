"""From documents to files to a page."""

import json
from html.parser import HTMLParser

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Span, SpanGroup

from spacy_genner.evaluation.examples import error_examples
from spacy_genner.evaluation.report import write_report
from spacy_genner.evaluation.run import (
    annotate,
    check_gold,
    evaluate,
    write_evaluation,
)
from spacy_genner.evaluation.table import format_table


@Language.component("first_word_finder")
def first_word_finder(doc):
    """Finds the first word of every text, and is surer the longer it is."""
    spans = [Span(doc, 0, 1, label="A")] if len(doc) else []
    scores = [min(1.0, len(span.text) / 10) for span in spans]
    attrs = {"scores": scores, "status": "ok", "issues": []}
    doc.spans["sc"] = SpanGroup(doc, name="sc", spans=spans, attrs=attrs)
    return doc


@pytest.fixture
def nlp():
    pipeline = spacy.blank("en")
    pipeline.add_pipe("first_word_finder")
    return pipeline


def gold_docs(nlp):
    rows = [
        ("Lisbon <b>sleeps</b>", [(0, 6, "A")]),
        ("a dog", [(2, 5, "A"), (3, 5, "B")]),
        ("Porto & Braga", [(0, 5, "A"), (0, 13, "B")]),
    ]
    docs = []
    for text, spans in rows:
        doc = nlp.make_doc(text)
        fitting = [doc.char_span(s, e, label=label) for s, e, label in spans]
        doc.spans["sc"] = [span for span in fitting if span is not None]
        doc.user_data["genner_unaligned"] = [
            list(span)
            for span, found in zip(spans, fitting, strict=True)
            if found is None
        ]
        docs.append(doc)
    return docs


@pytest.fixture
def folder(nlp, tmp_path):
    rows = list(annotate(nlp, gold_docs(nlp), "sc"))
    write_evaluation(evaluate(rows), rows, tmp_path / "metrics" / "demo.json")
    return tmp_path / "metrics"


def test_the_evaluation_file_has_what_the_contract_names(folder):
    result = json.loads((folder / "demo.json").read_text())
    contract = "micro_p micro_r micro_f per_type nested_p nested_r nested_f flat_p "
    contract += "flat_r flat_f gold predicted correct unaligned_gold statuses"
    assert set(contract.split()) <= set(result)
    assert (result["gold"], result["predicted"], result["correct"]) == (5, 3, 2)
    # "og" in "dog" fits no boundary: counted in gold, and so missed.
    assert result["unaligned_gold"] == 1
    assert result["statuses"] == {"ok": 3}
    assert result["best_threshold"]["min_score"] == pytest.approx(0.5)
    rows = (folder / "demo.spans.jsonl").read_text().splitlines()
    assert json.loads(rows[0]) == {
        "text": "Lisbon <b>sleeps</b>",
        "gold": [[0, 6, "A"]],
        "predicted": [[0, 6, "A", 0.6]],
        "status": "ok",
        "issues": [],
    }
    assert "micro-F1 50.00" in format_table(result)


class Page(HTMLParser):
    VOID = {"meta", "br", "path", "use", "rect", "line", "image"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_report_stands_alone(folder, tmp_path):
    log = tmp_path / "training_log.jsonl"
    row = {"step": 0, "epoch": 0, "losses": {"ner": 0.0}, "score": 0.1}
    rows = [row, {**row, "step": 10, "losses": {"ner": 3.0}, "score": 0.6}]
    log.write_text("\n".join(map(json.dumps, rows)) + "\n")
    output = tmp_path / "reports" / "demo.html"
    assert write_report(folder, output, log) == ["demo"]
    text = output.read_text()
    page = Page(text)
    assert page.open == []
    tags = [tag for tag, _ in page.tags]
    assert tags.count("svg") == 2
    assert "script" not in tags and "link" not in tags
    for _, attrs in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert attrs.get(name, "#").startswith("#")
    assert "F1 50.00" in page.text
    # The text's own tags are shown, not obeyed.
    assert "<b>sleeps" not in text
    for needed in ("nested", "flat", "min_score", "missed", "invented", "60.00"):
        assert needed in page.text


def test_examples_nest_and_cross():
    row = {
        "text": "one two three",
        "gold": [[0, 7, "A"], [4, 7, "B"], [0, 3, "C"]],
        "predicted": [[0, 7, "A", 0.9], [4, 13, "B", 0.8]],
        "status": "ok",
        "issues": [],
    }
    (example,) = error_examples([row])
    page = Page(example)
    assert page.open == []
    kinds = [attrs["class"] for tag, attrs in page.tags if tag == "b"]
    assert sorted(kinds) == ["found", "invented", "missed", "missed"]
    assert "one" in page.text and "three" in page.text
    right = {**row, "predicted": [[*span, 1.0] for span in row["gold"]]}
    assert error_examples([right]) == []


def test_errors_are_coded(tmp_path, nlp):
    with pytest.raises(ValueError, match="G604"):
        write_report(tmp_path, tmp_path / "out.html")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match="G605"):
        write_report(tmp_path, tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()
    with pytest.raises(ValueError, match="G602"):
        evaluate([])
    with pytest.raises(ValueError, match="G602"):
        check_gold([], "sc")
    with pytest.raises(ValueError, match="G603.*sc"):
        check_gold(gold_docs(nlp), "other")
