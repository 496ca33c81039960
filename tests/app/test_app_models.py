"""The pipelines of the page, with a tiny model."""

import pytest
import spacy
from component_cases import LABELS, TEXTS, component, trained_pipeline
from spacy.language import Language
from spacy.tokens import Doc

from spacy_genner.app.models import AppModel, format_labels, parse_labels
from spacy_genner.app.page import Workbench, annotate, describe
from spacy_genner.app.session import default_output


@Language.component("app_test_boom")
def fail_on_boom(doc: Doc) -> Doc:
    if "boom" in doc.text:
        raise ValueError("it went off")
    return doc


@pytest.fixture(scope="module")
def nlp(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"), min_score=0.25)
    nlp.add_pipe("app_test_boom", first=True)
    return nlp


@pytest.fixture(scope="module")
def model(nlp):
    return AppModel("tiny", nlp, "sc", component(nlp))


def found(prediction):
    return [
        (prediction.text[s.start : s.end], s.label) for s in prediction.suggestion.spans
    ]


def test_all_spans_have_scores_whatever_the_minimum(model):
    assert model.min_score == 0.25
    text = TEXTS[0][0]
    [prediction] = model.annotate([text])
    assert (
        found(prediction)
        == [
            ("Lisbon", "GPE"),
            ("University of Lisbon", "ORG"),
        ]
        or prediction.suggestion.spans
    )
    assert all(0 < s.score <= 1 for s in prediction.suggestion.spans)
    assert prediction.seconds > 0
    [suggestion] = model.suggest([text])
    kept = [s for s in prediction.suggestion.spans if s.score >= 0.25]
    assert list(suggestion.spans) == kept


def test_a_failure_is_one_document_s_own(model):
    good, bad = model.annotate([TEXTS[0][0], "boom goes it"])
    assert good.suggestion.status == "ok" and good.suggestion.spans
    assert bad.suggestion.status == "failed"
    assert "it went off" in bad.suggestion.issues[0]["message"]


def test_the_labels_of_an_adapter_are_fixed(model):
    assert model.labels == dict.fromkeys(LABELS, "")
    assert "adapter" in model.why_labels_are_fixed()
    with pytest.raises(ValueError, match="G893.*tiny"):
        model.annotate(["a"], {"TOWN": "a town"})
    # The component's own labels are no change.
    assert model.annotate([TEXTS[0][0]], dict.fromkeys(LABELS, ""))


def test_a_base_without_an_adapter_takes_any_labels(tiny_base):
    nlp = spacy.blank("en")
    config = {
        "labels": ["GPE"],
        "model": {"name": str(tiny_base("llama")), "dtype": "float32", "lora": None},
    }
    nlp.add_pipe("generative_ner", config=config)
    model = AppModel("base", nlp, "sc", component(nlp))
    assert model.why_labels_are_fixed() == ""
    [prediction] = model.annotate(["Maria lives in Porto ."], {"TOWN": "a town"})
    assert {s.label for s in prediction.suggestion.spans} <= {"TOWN"}
    with pytest.raises(ValueError, match="G003"):
        model.annotate(["Porto"], {"a]b": ""})
    assert model.labels == {"GPE": ""}


def test_a_pipeline_with_another_component():
    model = AppModel("other", spacy.blank("en"), "sc")
    assert (model.labels, model.adapter) == ({}, "")
    assert "no generative component" in model.why_labels_are_fixed()
    assert model.annotate(["Oslo"])[0].suggestion.spans == ()


@pytest.mark.parametrize(
    "text, labels",
    [
        ("GPE, ORG", {"GPE": "", "ORG": ""}),
        (
            "GPE: a city, or a country\n\nORG",
            {"GPE": "a city, or a country", "ORG": ""},
        ),
        ("B-cell:x\nORG", {"B-cell:x": "", "ORG": ""}),
        (" GPE :  a city ", {"GPE": "a city"}),
    ],
)
def test_labels_as_people_write_them(text, labels):
    assert parse_labels(text) == labels
    assert parse_labels(format_labels(labels)) == labels


@pytest.mark.parametrize("text, code", [("", "G419"), ("A\nB\nA: again", "G421")])
def test_labels_that_can_not_be_used(text, code):
    with pytest.raises(ValueError, match=code):
        parse_labels(text)


def test_the_minimum_score_needs_no_second_run(model, monkeypatch):
    workbench = Workbench([model], spacy.blank("en"))
    predictions = annotate(workbench, TEXTS[0][0], ["tiny", "none", None], "")
    monkeypatch.setattr(model, "annotate", None)
    scores = [s.score for s in predictions["tiny"].suggestion.spans]
    for least in (0.0, max(scores), 1.0):
        [panel] = describe(predictions, least)
        shown = [s for s in scores if s >= least]
        assert [s["score"] for s in panel["spans"]] == shown
        assert panel["hidden"] == len(scores) - len(shown)
        assert not any(s["alone"] for s in panel["spans"])


def test_two_models_beside_each_other(model):
    other = AppModel("blank", spacy.blank("en"), "sc")
    workbench = Workbench([model, other], spacy.blank("en"))
    predictions = annotate(workbench, TEXTS[0][0], ["tiny", "blank"], "")
    first, second = describe(predictions, 0.0)
    assert (first["title"], second["title"]) == ("tiny", "blank")
    assert first["spans"] and all(s["alone"] for s in first["spans"])
    assert second["spans"] == []
    assert "".join(a + b for a, b in first["tokens"]) == TEXTS[0][0]


def test_a_text_with_half_of_a_character_is_annotated(model):
    workbench = Workbench([model], spacy.blank("en"))
    [panel] = describe(annotate(workbench, "Oslo \ud83d .", ["tiny"], ""), 0.0)
    assert panel["status"] == "ok"


def test_the_workbench_opens_and_closes_corpora(model, tmp_path):
    workbench = Workbench([model], spacy.blank("en"))
    assert workbench.correct({"action": "open"}) == {
        "session": False,
        "models": ["tiny"],
        "error": "",
        "message": "",
    }
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "Maria lives in Porto ."}\n', "utf8")
    request = {"page": "p", "action": "open_corpus", "corpus": str(path)}
    view = workbench.correct({**request, "order": "margin", "model": "tiny"})
    assert view["session"] and not view["error"]
    assert view["output"] == str(default_output(path))
    assert view["labels"] == LABELS and view["can_suggest"]
    [row, *_] = workbench.correct({"action": "commands"})["commands"]
    assert row["command"].endswith("--from jsonl")
    # A corpus that can't be opened leaves the one that is open.
    view = workbench.correct({**request, "corpus": str(tmp_path / "none.jsonl")})
    assert "G891" in view["error"] and view["corpus"] == str(path)
    assert "G897" in workbench.correct("nonsense")["error"]
    # The same file can be opened again in one server.
    view = workbench.correct({**request, "order": "corpus"})
    assert view["session"] and not view["error"] and not view["can_suggest"]
    workbench.close()


def test_the_format_decides_about_crossing_spans(model, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a b c", "spans": []}\n', "utf8")
    for name, expected in ((None, "inline_bracketed"), ("offset_json", "offset_json")):
        workbench = Workbench([model], spacy.blank("en"), name)
        workbench.open(str(path), model="tiny")
        assert workbench.session.view()["format"] == expected
        workbench.close()
