"""Evaluations from documents to JSON files and the HTML report."""

import base64
import hashlib
import json
from html.parser import HTMLParser

import pytest
import spacy
from evaluation_cases import DOCUMENTS
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import DocBin, Span, SpanGroup
from thinc.api import Config
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.evaluation.breakdowns import Mentions
from spacy_genner.evaluation.card import describe_data, describe_pipeline, timed_run
from spacy_genner.evaluation.evaluate import annotate, check_gold, evaluate
from spacy_genner.evaluation.records import Annotation, write_evaluation
from spacy_genner.evaluation.report import cut_passages, find_marks, write_report
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
    VOID = {"meta", "br", "input"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.scripts = [], [], "", []
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
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] != ["style"]:
            self.text += data

    @property
    def data(self):
        return json.loads(self.scripts[0])


def write_log(path):
    row = {"step": 0, "epoch": 0, "losses": {"ner": 0.0}, "score": 0.1}
    rows = [row, {**row, "step": 10, "losses": {"ner": 3.0}, "score": 0.6}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def test_the_report_is_self_contained(folder, tmp_path):
    output = tmp_path / "reports" / "demo.html"
    log = write_log(tmp_path / "training_log.jsonl")
    assert write_report(folder, output, log) == ["demo"]
    text = output.read_text()
    page = Page(text)
    assert page.open == []
    tags = [tag for tag, _ in page.tags]
    plots = [attrs["aria-label"] for tag, attrs in page.tags if "aria-label" in attrs]
    for plot in (
        "Precision over recall, by min_score",
        "Share of correct spans, by their score",
        "Mean loss since the last evaluation",
        "Score on the development data",
    ):
        assert plot in plots
    assert "link" not in tags and "img" not in tags and "iframe" not in tags
    for _, attrs in page.tags:
        for name in ("src", "href", "xlink:href", "action"):
            assert attrs.get(name, "#").startswith("#")
        assert not any(name.startswith("on") for name in attrs)
    assert "http:" not in text and "https:" not in text and "@import" not in text
    assert "url(" not in text
    policy = next(a["content"] for t, a in page.tags if "http-equiv" in a)
    script = page.scripts[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "50.00" in page.text
    # Tags in a text are escaped.
    assert "<b>sleeps" not in text
    for needed in ("nested", "flat", "min_score", "missed", "spurious", "60.00"):
        assert needed in page.text
    for needed in ("containing", "tokens 3", "expected calibration error", "Brier"):
        assert needed in page.text
    assert "Mentions:" not in page.text and "study's scoring" not in page.text


def test_losses_of_steps_are_read_beside_the_training_log(folder, tmp_path):
    log = write_log(tmp_path / "training_log.jsonl")
    steps = [{"step": n, "losses": {"ner": 2.0 / (n + 1)}} for n in range(11)]
    steps[3]["losses"]["ner"] = None
    (tmp_path / "training_steps.jsonl").write_text("\n".join(map(json.dumps, steps)))
    write_report(folder, tmp_path / "out.html", log)
    text = (tmp_path / "out.html").read_text()
    assert "Loss of each step" in text and "step 10: loss 0.1818" in text
    # 3.0 is the sum over 10 updates.
    assert "<td>0.3000</td>" in text
    (tmp_path / "training_steps.jsonl").write_text("[]\n")
    with pytest.raises(ValueError, match="G607"):
        write_report(folder, tmp_path / "out.html", log)
    with pytest.raises(ValueError, match="G606"):
        write_report(folder, tmp_path / "out.html", tmp_path / "absent.jsonl")


def test_the_report_shows_comparisons_and_older_evaluations(folder, tmp_path):
    """The report omits what an older evaluation lacks."""
    result = json.loads((folder / "demo.json").read_text())
    new = "by_structure by_depth by_length errors errors_overlapping calibration "
    new += "study_p study_r study_f study_by_text study_left_out confusion"
    older = {key: value for key, value in result.items() if key not in new.split()}
    (folder / "older.json").write_text(json.dumps(older))
    comparison = compare_files(folder / "demo.json", folder / "demo.json", samples=50)
    (folder / "zz.json").write_text(json.dumps(comparison))
    output = tmp_path / "out.html"
    assert write_report(folder, output) == ["demo", "older"]
    page = Page(output.read_text())
    assert page.open == []
    assert "Comparisons" in page.text and "The difference is +0.00" in page.text
    assert page.text.count("expected calibration error") == 1
    assert page.text.count("Confusion of labels") == 1
    (folder / "zz.json").write_text(json.dumps({**comparison, "first": None}))
    with pytest.raises(ValueError, match=r"G605.*zz\.json"):
        write_report(folder, output)
    (folder / "zz.json").write_text(json.dumps({**result, "interval": {}}))
    with pytest.raises(ValueError, match=r"G605.*zz\.json"):
        write_report(folder, output)


def test_runs_on_the_same_documents_are_compared(folder, tmp_path, nlp):
    rows = list(annotate(nlp, gold_docs(nlp), "sc"))
    for row in rows:
        row.predicted, row.scores = list(row.gold), [0.9] * len(row.gold)
    write_evaluation(evaluate(rows), rows, folder / "better.json")
    write_evaluation(evaluate(rows[:2]), rows[:2], folder / "less.json")
    output = tmp_path / "out.html"
    write_report(folder, output)
    page = Page(output.read_text())
    table = page.text[page.text.index("Comparison of the evaluations") :]
    # The scores of "less" are from other documents: there is no test against it.
    assert table.count("p 0.") + table.count("p <") == 1
    assert "-50.00 (" in table and "different documents or gold spans" in table
    assert any("F1 of each label" in a.get("aria-label", "") for _, a in page.tags)
    # The texts of documents that runs share are stored once.
    strings = page.data["strings"]
    assert len(strings) == len(set(strings)) == 3


def annotation(gold, predicted, text="one two three", scores=None):
    gold = [CharSpan(*span) for span in gold]
    predicted = [CharSpan(*span) for span in predicted]
    return Annotation(text, gold, predicted, scores or [0.5] * len(predicted), "ok")


HOSTILE = [
    annotation(
        [(0, 9, "ORG")],
        [(0, 9, "ORG"), (19, 24, "</script><b>")],
        "</script><script>alert(1)</script><!-- \u2028 & \" '",
    ),
    annotation([(4, 15, "ORG")], [(4, 15, "GPE")], "زار محمود درويش جامعة القاهرة"),
    annotation([(2, 4, "X")], [(2, 4, "X")], "😀 👍🏽 x\x00\x1b"),
]


def test_hostile_texts_are_data(tmp_path):
    HOSTILE[0].issues.append({"code": "<i>", "message": "<script>alert(2)</script>"})
    write_evaluation(evaluate(HOSTILE), HOSTILE, tmp_path / "<b>x.json")
    write_report(tmp_path, tmp_path / "out.html")
    text = (tmp_path / "out.html").read_text(encoding="utf8")
    page = Page(text)
    assert page.open == []
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not {"b", "img"} & {tag for tag, _ in page.tags if tag not in "b"}
    assert "alert" not in page.scripts[1]
    assert page.data["strings"] == [row.text for row in HOSTILE]
    (run,) = page.data["runs"]
    assert run["labels"] == ["</script><b>", "GPE", "ORG", "X"]
    kinds = page.data["kinds"]
    marks = [[kinds[k], *rest] for *_, marks in run["passages"] for k, *rest in marks]
    assert marks == [
        ["correct", [0, 9, 2], [0, 9, 2, 0.5]],
        ["invented", 0, [19, 24, 0, 0.5]],
        ["label", [4, 15, 2], [4, 15, 1, 0.5]],
        ["correct", [2, 4, 3], [2, 4, 3, 0.5]],
    ]


def test_all_examples_are_embedded(tmp_path):
    rows = [annotation([(0, 3, "A")], [(0, 7, "A")]) for _ in range(3000)]
    write_evaluation(evaluate(rows), rows, tmp_path / "many.json")
    write_report(tmp_path, tmp_path / "out.html")
    page = Page((tmp_path / "out.html").read_text())
    (run,) = page.data["runs"]
    assert [passage[0] for passage in run["passages"]] == list(range(1, 3001))
    assert page.data["strings"] == ["one two three"]
    assert {len(passage[4]) for passage in run["passages"]} == {1}


@settings(max_examples=40)
@given(DOCUMENTS)
def test_each_span_is_a_part_of_one_mark(documents):
    for gold, predicted in documents:
        marks = find_marks(annotation(gold, predicted, "x" * 40))
        found = [mark.gold for mark in marks if mark.gold]
        assert sorted(found) == sorted(set(gold))
        found = [mark.predicted for mark in marks if mark.predicted]
        assert sorted(found) == sorted(set(predicted))


@settings(max_examples=60)
@given(st.text("ab.! \n", max_size=60), st.integers(1, 30), st.data())
def test_passages_cut_no_span_and_lose_no_text(text, size, data):
    place = st.integers(0, len(text))
    pairs = data.draw(st.lists(st.tuples(place, place).map(sorted).map(tuple)))
    passages = cut_passages(text, pairs, size)
    assert passages == sorted(passages)
    for (_, end), (start, _) in zip(passages, passages[1:], strict=False):
        assert end <= start
    for start, end in pairs:
        if text[start:end].strip():
            inside = [p for p in passages if p[0] <= start and end <= p[1]]
            assert len(inside) == 1
    outside = text
    for start, end in reversed(passages):
        outside = outside[:start] + outside[end:]
    assert not outside.strip()


def test_long_texts_are_cut_at_lines_and_sentences():
    text = "One. Two.\nThree is longer! Four.\n\nFive"
    cut = [text[start:end] for start, end in cut_passages(text, [], 12)]
    assert cut == ["One. Two.", "Three is longer!", "Four.", "Five"]
    cut = [text[start:end] for start, end in cut_passages(text, [(5, 15)], 12)]
    assert cut[0] == "One. Two.\nThree is longer!"
    assert cut_passages(text, []) == [(0, len(text))]
    assert cut_passages(" \n", []) == []


def test_the_card_states_model_data_and_run(tmp_path, nlp):
    docs = gold_docs(nlp)
    rows, run = timed_run(nlp, docs, lambda: list(annotate(nlp, docs, "sc")))
    result = evaluate(rows)
    result["pipeline"] = describe_pipeline(nlp, "my/model", "sc")
    result["data"] = describe_data(docs, "sc", "my/data.spacy")
    result["run"] = run
    assert result["data"]["labels"] == {"A": 3, "B": 2}
    assert result["data"]["spans"] == result["gold"] == 5
    assert run["documents_per_second"] == pytest.approx(3 / run["seconds"])
    assert result["pipeline"]["components"] == ["first_word_finder"]
    write_evaluation(result, rows, tmp_path / "demo.json")
    write_report(tmp_path, tmp_path / "out.html")
    page = Page((tmp_path / "out.html").read_text())
    for fact in ("my/model", "my/data.spacy", "documents/s", run["date"][:10]):
        assert fact in page.text


CONFIG = """
[vars]
base = "my/base"

[nlp]
lang = "en"
pipeline = ["generative_ner"]

[components]

[components.generative_ner]
factory = "generative_ner"
labels = ["B", "A"]
min_score = 0.25

[components.generative_ner.model]
@architectures = "spacy-genner.LoraCausalLM.v1"
name = ${vars.base}

[components.generative_ner.model.lora]
rank = 4
alpha = 8
"""


def test_the_card_describes_the_component(tmp_path):
    """Settings may refer to variables of the config."""
    config = Config().from_str(CONFIG, interpolate=False)
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    nlp.meta["training"] = {"step": 48, "epoch": 2, "seed": 3, "dev": None}
    nlp.meta["training"]["train"] = {"documents": 9, "words": 99, "labels": {"A": 7}}
    found = describe_pipeline(nlp, "model", "sc")
    assert (found["component"], found["base"]) == ("generative_ner", "my/base")
    assert found["labels"] == ["B", "A"] and found["min_score"] == 0.25
    assert found["adapter"]["rank"] == 4 and "bytes" not in found["adapter"]
    assert "component" not in describe_pipeline(nlp, "model", "other")
    rows = [annotation([(0, 3, "A")], [(0, 3, "A")])]
    write_evaluation({**evaluate(rows), "pipeline": found}, rows, tmp_path / "x.json")
    write_report(tmp_path, tmp_path / "out.html")
    text = Page((tmp_path / "out.html").read_text()).text
    assert "my/base" in text and "LoRA, rank 4, alpha 8" in text
    assert "9 documents, 99 tokens, 7 spans" in text and "48 steps" in text


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
    evaluated = json.loads(metrics.read_text())
    assert "by_mention" not in evaluated
    assert evaluated["pipeline"]["name"] == str(tmp_path / "model")
    assert evaluated["data"]["documents"] == 3 and evaluated["run"]["seconds"] > 0
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
