"""The choice of a decoder's settings on development data."""

import math
import re

import pytest
import spacy
from component_cases import component, overfit, pipeline, trained_pipeline
from spacy.tokens import DocBin, Span
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.evaluation.tuning import VALUES, Setting, best, tune
from spacy_genner.pipeline.score_map import ScoreMap

TEXTS = ["The University of Porto is old .", "Maria lives in Porto ."]


@pytest.mark.parametrize(
    "wanted",
    [Setting(0.5, 0.0), Setting(1.5, -0.5), Setting(0.25, 1.5)],
    ids=str,
)
def test_the_best_setting_is_found_although_its_parts_depend_on_each_other(wanted):
    calls = []

    def score(setting):
        calls.append(setting)
        weight = setting.head_weight - wanted.head_weight
        bias = setting.opening_bias - wanted.opening_bias
        return -(weight**2) - bias**2 + 0.5 * weight * bias

    start = Setting(0.5, 0.0)
    scores = tune(score, start)
    assert best(scores) == wanted
    assert len(calls) == len(set(calls)) == len(scores)
    assert len(scores) < math.prod(map(len, VALUES.values()))
    assert calls[0] == start


def test_settings_that_are_as_good_are_left_as_they_are():
    start = Setting(0.3, 0.2)
    assert best(tune(lambda setting: 0.7, start)) == start


def test_settings_without_values_keep_the_first():
    biases = VALUES["opening_bias"]
    start = Setting(0.3, 0.0)
    scores = tune(lambda setting: setting.opening_bias, start, {"opening_bias": biases})
    assert scores.keys() == {Setting(0.3, bias) for bias in biases}
    assert best(scores).opening_bias == max(biases)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_base):
    """A pipeline that opens no span of its own accord, and what it was trained on."""
    folder = tmp_path_factory.mktemp("tune")
    nlp = trained_pipeline(tiny_base("llama"))
    gold = []
    for text in TEXTS:
        doc = nlp(text)
        spans = [Span(doc, s.start, s.end, s.label_) for s in doc.spans["sc"]]
        assert spans
        doc.spans["sc"] = spans
        gold.append(doc)
    DocBin(docs=gold, store_user_data=True).to_disk(folder / "dev.spacy")
    component(nlp).score_map = ScoreMap("temperature", temperature=2.0)
    nlp.to_disk(folder / "model")
    settings = spacy.util.load_config(folder / "model" / "config.cfg")
    settings["components"]["generative_ner"]["decoder"]["opening_bias"] = -40.0
    settings.to_disk(folder / "model" / "config.cfg")
    return folder


def found(model):
    doc = spacy.load(model)(TEXTS[0])
    return [(span.start, span.end, span.label_) for span in doc.spans["sc"]]


def run(*words):
    return CliRunner().invoke(app, ["tune-decoding", *map(str, words)])


def test_the_command_saves_the_best_settings(folder, tmp_path):
    assert len(found(folder / "model")) == 0
    out = tmp_path / "out"
    result = run(folder / "model", folder / "dev.spacy", out)
    assert result.exit_code == 0, result.output
    shown = " ".join(result.output.split())
    assert "F1 100.00 (0.00 before) on 2 documents" in shown
    # Porto is inside the university.
    assert "nested spans found 100.00 %" in shown
    assert set(re.findall(r"head_weight (\S+),", shown)) > {"0.0", "1.5"}
    assert "W923" in result.stderr
    nlp = spacy.load(out)
    assert component(nlp).decoder.opening_bias == -0.5
    assert component(nlp).predictor.engine().head_weight == 0.0
    assert component(nlp).score_map is None
    for doc in DocBin().from_disk(folder / "dev.spacy").get_docs(nlp.vocab):
        again = nlp(doc.text)
        spans = [(s.start, s.end, s.label_) for s in again.spans["sc"]]
        assert spans == [(s.start, s.end, s.label_) for s in doc.spans["sc"]]
    # The pipeline that was tuned is as it was.
    assert len(found(folder / "model")) == 0


def test_without_a_head_its_weight_is_not_tried(
    folder, tiny_base, tmp_path, monkeypatch
):
    nlp = pipeline(tiny_base("llama"), model__draft_head=False)
    overfit(nlp)
    component(nlp).decoder.opening_bias = -40.0
    monkeypatch.setattr(
        "spacy_genner.cli.tune_decoding.load_pipeline", lambda name: nlp
    )
    result = run("model", folder / "dev.spacy", tmp_path / "out")
    assert result.exit_code == 0, result.output
    shown = " ".join(result.output.split())
    assert set(re.findall(r"head_weight (\S+),", shown)) == {"0.0"}
    assert "F1 100.00 (0.00 before) on 2 documents" in shown


def test_documents_that_fail_are_reported_once(folder, tmp_path, monkeypatch):
    nlp = spacy.load(folder / "model")
    nlp.max_length = len(TEXTS[1])
    monkeypatch.setattr(
        "spacy_genner.cli.tune_decoding.load_pipeline", lambda name: nlp
    )
    result = run("model", folder / "dev.spacy", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("W601") == 1 and "1 of 2 documents" in result.stderr


@pytest.mark.parametrize("where", ["list", "server"])
def test_a_decoder_that_cannot_be_tuned(
    folder, tiny_base, tmp_path, monkeypatch, where
):
    if where == "list":
        nlp = pipeline(tiny_base("llama"), format="grouped_json")
    else:
        nlp = spacy.blank("en")
        model = {
            "@architectures": "spacy-genner.OpenAICompatible.v1",
            "name": "m",
            "base_url": "http://127.0.0.1:9/v1",
            "api_key_env": None,
        }
        nlp.add_pipe("generative_ner", config={"labels": ["GPE"], "model": model})
    monkeypatch.setattr(
        "spacy_genner.cli.tune_decoding.load_pipeline", lambda name: nlp
    )
    result = run("model", folder / "dev.spacy", tmp_path / "out")
    assert result.exit_code == 1, result.output
    reason = {"list": "grouped_json", "server": "a server"}[where]
    assert "G997" in result.output and reason in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_development_data_without_spans_is_refused(folder, tmp_path):
    nlp = spacy.blank("en")
    docs = [nlp(text) for text in TEXTS]
    for doc in docs:
        doc.spans["sc"] = []
    data = tmp_path / "empty.spacy"
    DocBin(docs=docs, store_user_data=True).to_disk(data)
    result = run(folder / "model", data, tmp_path / "out")
    assert result.exit_code == 1 and "G608" in result.output + result.stderr
    assert not (tmp_path / "out").exists()
