"""Evaluations from documents to JSON files and the HTML report."""

import json
from html.parser import HTMLParser

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin, Span, SpanGroup
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.evaluation.breakdowns import Mentions
from spacy_genner.evaluation.evaluate import annotate, check_gold, evaluate
from spacy_genner.evaluation.records import Annotation, write_evaluation
from spacy_genner.evaluation.report import error_examples, write_report
from spacy_genner.evaluation.significance import compare_files
from spacy_genner.evaluation.tables import format_table
from spacy_genner.formats import CharSpan
from spacy_genner.study.scores import study_scores


@Language.component("first_word_finder")
def first_word_finder(doc):
    """Mark the first word of each text, with a score that grows with its length."""
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


@Language.component("first_word_without_score")
def first_word_without_score(doc):
    doc.spans["sc"] = list(doc.spans["sc"])
    return doc


@Language.component("first_word_twice")
def first_word_twice(doc):
    scores = [0.6, 0.4]
    spans = [Span(doc, 0, 1, label="A")] * 2
    doc.spans["sc"] = SpanGroup(doc, spans=spans, attrs={"scores": scores})
    return doc


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


def test_the_evaluation_file_has_the_keys_of_the_contract(folder):
    result = json.loads((folder / "demo.json").read_text())
    contract = "micro_p micro_r micro_f per_type nested_p nested_r nested_f flat_p "
    contract += "flat_r flat_f gold predicted correct unaligned_gold statuses"
    assert set(contract.split()) <= set(result)
    assert (result["gold"], result["predicted"], result["correct"]) == (5, 3, 2)
    # "og" in "dog" fits no token boundary: it counts as gold and so as missed.
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
    assert format_table(result).startswith("micro-F1 50.00")


def test_lengths_count_predicted_tokens_and_scores_are_those_of_the_pipeline(nlp):
    first, second, third = annotate(nlp, gold_docs(nlp), "sc")
    assert first.lengths == {(0, 6): 1}
    # "og" lies within one token.
    assert second.lengths == {(0, 1): 1, (2, 5): 1, (3, 5): 1}
    assert third.lengths == {(0, 5): 1, (0, 13): 3}
    assert first.scored and first.sentences == []
    found = evaluate([first, second, third])
    assert [row["gold"] for row in found["by_length"].values()] == [4, 0, 1, 0, 0]
    assert found["calibration"]["spans"] == 3
    sentences = spacy.blank("en")
    sentences.add_pipe("sentencizer")
    (row,) = annotate(sentences, [sentences.make_doc("One. Two.")], "sc")
    assert row.sentences == [0, 5]


def test_without_scores_there_is_no_calibration(nlp):
    nlp.add_pipe("first_word_without_score")
    rows = list(annotate(nlp, gold_docs(nlp), "sc"))
    assert not any(row.scored for row in rows)
    assert [row.scores for row in rows] == [[1.0]] * 3
    result = evaluate(rows)
    assert result["calibration"] is None
    assert "ECE" not in format_table(result)


def test_a_duplicate_span_keeps_the_first_score(nlp):
    nlp.add_pipe("first_word_twice")
    (row, *_) = annotate(nlp, gold_docs(nlp), "sc")
    assert row.scored and row.scores == [0.6]


def table_names(result):
    body = format_table(result).split("\n\n")[1]
    return [line[:20].rstrip() for line in body.splitlines()[2:]]


def test_the_table_has_rows_for_classes_with_spans(nlp):
    rows = list(annotate(nlp, gold_docs(nlp), "sc"))
    names = " ".join(table_names(evaluate(rows, metrics=[study_scores])))
    assert names.startswith("all") and "tokens 1" in names and "tokens 3" in names
    for absent in ("mention", "study", "depth", "tokens 2", "tokens 6+"):
        assert absent not in names
    # "Porto & Braga" contains "Porto": flat spans are divided into two classes.
    assert "- containing" in names and "- alone" in names
    result = evaluate(rows, mentions=Mentions([("Porto", "A"), ("dog", "B")]))
    names = " ".join(table_names(result))
    for present in ("mention seen", "mention other label", "mention unseen"):
        assert present in names
    assert result["train_mentions"] == 2
    rows[0].issues.append({"code": "copy_differs", "message": "a word is missing"})
    names = table_names(evaluate(rows, metrics=[study_scores]))
    assert "study's scoring" in " ".join(names)
    flat = [row.gold[:1] for row in rows]
    for row, gold in zip(rows, flat, strict=True):
        row.gold = gold
    assert "- alone" not in " ".join(table_names(evaluate(rows)))


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


def test_the_report_is_self_contained(folder, tmp_path):
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
    # The curve, the calibration, the training.
    assert tags.count("svg") == 3
    assert "script" not in tags and "link" not in tags
    for _, attrs in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert attrs.get(name, "#").startswith("#")
    assert "F1 50.00" in page.text
    # Tags in a text are escaped.
    assert "<b>sleeps" not in text
    for needed in ("nested", "flat", "min_score", "missed", "invented", "60.00"):
        assert needed in page.text
    for needed in ("containing", "tokens 3", "expected calibration error", "Brier"):
        assert needed in page.text
    assert "mention" not in page.text and "study's scoring" not in page.text


def test_the_report_shows_comparisons_and_older_evaluations(folder, tmp_path):
    """The report omits what an older evaluation lacks."""
    result = json.loads((folder / "demo.json").read_text())
    new = "by_structure by_depth by_length errors errors_overlapping calibration "
    new += "study_p study_r study_f study_by_text study_left_out"
    older = {key: value for key, value in result.items() if key not in new.split()}
    (folder / "older.json").write_text(json.dumps(older))
    comparison = compare_files(folder / "demo.json", folder / "demo.json", samples=50)
    (folder / "zz.json").write_text(json.dumps(comparison))
    output = tmp_path / "out.html"
    assert write_report(folder, output) == ["demo", "older"]
    page = Page(output.read_text())
    assert page.open == []
    assert "Comparisons" in page.text and "difference +0.00" in page.text
    assert page.text.count("expected calibration error") == 1
    (folder / "zz.json").write_text(json.dumps({**comparison, "first": None}))
    with pytest.raises(ValueError, match=r"G605.*zz\.json"):
        write_report(folder, output)
    (folder / "zz.json").write_text(json.dumps({**result, "interval": {}}))
    with pytest.raises(ValueError, match=r"G605.*zz\.json"):
        write_report(folder, output)


def annotation(gold, predicted, text="one two three"):
    gold = [CharSpan(*span) for span in gold]
    predicted = [CharSpan(*span) for span in predicted]
    return Annotation(text, gold, predicted, [0.5] * len(predicted), "ok")


def test_examples_nest_and_cross():
    gold = [(0, 7, "A"), (4, 7, "B"), (0, 3, "C")]
    found = [(0, 7, "A"), (4, 13, "B")]
    boundary, missed = error_examples([annotation(gold, found)])
    assert (boundary.kind, missed.kind) == ("boundary", "missed")
    (example,) = boundary.examples
    page = Page(example)
    assert page.open == []
    boxes = [attrs for tag, attrs in page.tags if tag == "b"]
    kinds = [attrs["class"] for attrs in boxes]
    assert sorted(kinds) == ["found", "invented", "missed", "missed"]
    assert "one" in page.text and "three" in page.text
    # The crossing span is listed below the text.
    assert "boundary error: predicted" in page.text
    titles = {attrs["title"] for attrs in boxes if "title" in attrs}
    assert titles == {"found", "missed", "boundary error: reference"}
    assert error_examples([annotation(gold, gold)]) == []


def test_examples_are_grouped_by_the_kind_of_error():
    rows = [
        annotation([(0, 3, "A")], [(0, 3, "B")]),
        annotation([(0, 3, "A")], []),
        annotation([], [(0, 3, "B")], "<i> & two"),
        *[annotation([(0, 3, "A")], [(0, 7, "B")])] * 25,
    ]
    groups = error_examples(rows, most=10)
    kinds = [(group.kind, group.documents, len(group.examples)) for group in groups]
    assert kinds == [
        ("label", 1, 1),
        ("boundary_and_label", 25, 10),
        ("missed", 1, 1),
        ("invented", 1, 1),
    ]
    assert "&lt;i&gt;" in groups[3].examples[0]
    # A long text is cut around the first error of the kind.
    long = annotation([(0, 3, "A"), (5000, 5003, "A")], [(0, 3, "B")], "x" * 9000)
    label, missed = error_examples([long])
    assert len(Page(missed.examples[0]).text) < 500
    assert missed.examples[0].count("<b") == 1


def test_the_commands_from_evaluate_to_report(tmp_path, nlp):
    nlp.to_disk(tmp_path / "model")
    data, metrics = tmp_path / "data.spacy", tmp_path / "metrics" / "demo.json"
    DocBin(store_user_data=True, docs=gold_docs(nlp)).to_disk(data)

    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    arguments = ["evaluate", tmp_path / "model", data, "-o", metrics, "-k", "sc"]
    assert "mention" not in run(*arguments)
    assert "by_mention" not in json.loads(metrics.read_text())
    printed = run(*arguments, "--train", data)
    assert printed.startswith("micro-F1 50.00") and "mention seen" in printed
    result = json.loads(metrics.read_text())
    assert result["train_mentions"] == 5
    assert result["by_mention"]["seen"]["gold"] == 5
    run("compare", metrics, metrics, "-o", metrics.with_name("same.json"))
    page = tmp_path / "out.html"
    assert "Report on demo:" in run("report", metrics.parent, page)
    text = Page(page.read_text()).text
    assert "mention seen" in text and "Case is significant." in text and "same" in text


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
