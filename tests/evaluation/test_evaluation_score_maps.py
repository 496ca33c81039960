"""Fitted calibration, and `python -m spacy genner calibrate`."""

import random
import re
from pathlib import Path

import pytest
import spacy
from component_cases import component, trained_pipeline
from spacy.tokens import DocBin, Span
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.corpora.label_sets import set_label_set
from spacy_genner.evaluation.calibration import (
    calibration,
    fit_isotonic,
    fit_score_map,
    fit_temperature,
)
from spacy_genner.pipeline.score_map import ScoreMap

RUNNER = CliRunner()


def draw(count, share_of, seed=0):
    """Scores of spans whose share of correct ones is a function of the score."""
    rng = random.Random(seed)
    scores = [rng.random() for _ in range(count)]
    return scores, [rng.random() < share_of(score) for score in scores]


def test_a_temperature_is_found_again():
    for temperature in (0.5, 1.0, 3.0):
        scores, correct = draw(20_000, ScoreMap("temperature", temperature))
        fitted = fit_temperature(scores, correct)
        assert fitted.temperature == pytest.approx(temperature, rel=0.05)


def test_pools_are_those_of_isotonic_regression():
    scores = [0.1, 0.2, 0.2, 0.3, 0.4, 0.5]
    correct = [False, True, True, False, False, True]
    fitted = fit_isotonic(scores, correct)
    # (0 + 0.5) / 2; the violators 1, 1, 0, 0 together; (1 + 0.5) / 2.
    assert [round(y, 6) for _, y in fitted.points] == [0.25, 0.5, 0.75]
    assert [round(x, 6) for x, _ in fitted.points] == [0.1, 0.275, 0.5]


@pytest.mark.parametrize(
    "share_of, expected",
    [
        (ScoreMap("temperature", 3.0), "temperature"),
        (lambda score: 0.3 if score < 0.7 else 0.95, "isotonic"),
        (lambda score: score, None),
    ],
)
def test_the_better_method_is_chosen_on_held_out_documents(share_of, expected):
    scores, correct = draw(3000, share_of, seed=1)
    documents = [index // 3 for index in range(len(scores))]
    fitted, facts = fit_score_map(scores, correct, documents)
    assert facts["spans"] == 3000 and facts["documents"] == 1000
    test_scores, test_correct = draw(20_000, share_of, seed=2)
    if expected is None:
        assert facts["before"]["ece"] < 0.03
        if fitted is None:
            return
    else:
        assert fitted.method == expected and fitted.facts == facts
    after = calibration([fitted(score) for score in test_scores], test_correct)
    assert after["ece"] < 0.03
    if expected is not None:
        before = calibration(test_scores, test_correct)
        assert before["ece"] > 0.05
        # What is held out tells what to expect.
        assert facts[expected]["ece"] == pytest.approx(after["ece"], abs=0.03)
    forced, _ = fit_score_map(scores, correct, documents, "isotonic")
    assert forced.method == "isotonic"


@pytest.mark.parametrize(
    "count, documents, correct",
    [(40, 40, [True, False]), (60, 4, [True, False]), (60, 60, [True, True])],
)
def test_too_little_data_is_an_error(count, documents, correct):
    scores = [index / count for index in range(count)]
    right = [correct[index % 2] for index in range(count)]
    with pytest.raises(ValueError, match=f"G928.*{count} predicted spans"):
        fit_score_map(scores, right, [index % documents for index in range(count)])


@pytest.fixture(scope="module")
def saved(tmp_path_factory, tiny_base):
    folder = tmp_path_factory.mktemp("calibrate")
    nlp = trained_pipeline(tiny_base("llama"))
    nlp.to_disk(folder / "model")
    texts = ["Lisbon hosts the University of Lisbon .", "Maria lives in Porto ."]
    gold = []
    for number in range(60):
        doc = nlp(texts[number % 2])
        spans = [Span(doc, s.start, s.end, s.label_) for s in doc.spans["sc"]]
        # Two of three documents have the annotation of the model.
        doc.spans["sc"] = spans if number % 3 else []
        gold.append(doc)
    DocBin(docs=gold, store_user_data=True).to_disk(folder / "dev.spacy")
    return folder


def run(*words):
    return RUNNER.invoke(app, [str(word) for word in words])


def test_the_command_saves_a_calibrated_pipeline(saved, tmp_path):
    out = tmp_path / "out"
    result = run("calibrate", saved / "model", saved / "dev.spacy", out)
    assert result.exit_code == 0, result.output
    assert "before: ECE" in result.output and "with min_score" in result.output
    nlp = spacy.load(out)
    score_map = component(nlp).score_map
    assert f"Calibrated by {score_map.method}" in result.output
    # The scores are near 1, and two of three spans are right.
    before = score_map.facts["before"]["ece"]
    assert score_map.facts[score_map.method]["ece"] < 0.1 < before
    assert component(nlp).cfg["min_score"] == 0.0
    doc = nlp("Maria lives in Porto .")
    [score] = doc.spans["sc"].attrs["scores"]
    assert score == pytest.approx(2 / 3, abs=0.1)
    # An evaluation shows both.
    scores = tmp_path / "scores.json"
    result = run("evaluate", out, saved / "dev.spacy", "--output", scores)
    assert result.exit_code == 0, result.output
    assert "before calibration: mean" in result.output
    from spacy_genner.io import parse_json

    found = parse_json(scores.read_text())
    assert found["calibration"]["ece"] < 0.1 < found["uncalibrated"]["ece"]
    # Calibrated again, the result is the same: the first map is left out.
    again = tmp_path / "again"
    options = ("--method", score_map.method)
    result = run("calibrate", out, saved / "dev.spacy", again, *options)
    assert result.exit_code == 0, result.output
    assert component(spacy.load(again)).score_map == score_map


def test_a_place_that_can_not_be_written_is_found_first(saved, tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "out", Path("/proc/out/deep")):
        result = run("calibrate", tmp_path / "none", saved / "dev.spacy", place)
        assert result.exit_code == 1 and "none" not in result.output, result.output
        assert re.search("G577|G520|G522|G524", result.output), result.output
    # Missing parents are created.
    out = tmp_path / "new" / "out"
    result = run("calibrate", saved / "model", saved / "dev.spacy", out)
    assert result.exit_code == 0, result.output
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_failed_documents_are_counted(saved, tmp_path):
    docs = list(
        DocBin().from_disk(saved / "dev.spacy").get_docs(spacy.blank("en").vocab)
    )
    set_label_set(docs[0], ["a | b"])
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "dev.spacy")
    out = tmp_path / "out"
    result = run("calibrate", saved / "model", tmp_path / "dev.spacy", out)
    assert result.exit_code == 0, result.output
    assert "W601" in result.stderr and "1 of 60" in result.stderr


def test_a_pipeline_with_two_components(saved, tmp_path):
    nlp = spacy.load(saved / "model")
    nlp.add_pipe("generative_ner", name="other", source=spacy.load(saved / "model"))
    nlp.to_disk(tmp_path / "two")
    result = run("calibrate", tmp_path / "two", saved / "dev.spacy", tmp_path / "out")
    assert result.exit_code == 1 and "G992" in result.output, result.output
    # The command has no such option.
    assert "--spans-key" not in result.output
    assert not (tmp_path / "out").exists()


def test_bad_input(saved, tmp_path):
    used = run("calibrate", saved / "model", saved / "dev.spacy", saved)
    assert used.exit_code == 1 and "G261" in used.output
    small = tmp_path / "small.spacy"
    docs = list(
        DocBin().from_disk(saved / "dev.spacy").get_docs(spacy.blank("en").vocab)
    )
    DocBin(docs=docs[:6], store_user_data=True).to_disk(small)
    few = run("calibrate", saved / "model", small, tmp_path / "out")
    assert few.exit_code == 1 and "G928" in few.output
    assert not (tmp_path / "out").exists()
    wrong = run("calibrate", saved / "model", small, tmp_path / "out", "--method", "x")
    assert wrong.exit_code == 2
