"""Calibrated scores: the function, and the component that has one."""

import json

import numpy
import pytest
import spacy
from component_cases import component, found, make_examples, trained_pipeline

from spacy_genner.errors import GennerWarning
from spacy_genner.pipeline.score_map import ScoreMap, log_odds
from spacy_genner.pipeline.state import STATE_FILE, ComponentState
from spacy_genner.prompts import PromptSettings

HALF = ScoreMap("isotonic", points=((0.0, 0.0), (1.0, 0.5)), facts={"spans": 60})
TEXT = "Lisbon hosts the University of Lisbon ."


def test_a_temperature_divides_the_log_odds():
    hot = ScoreMap("temperature", 2.0)
    assert hot(0.5) == 0.5
    assert hot(0.9) == pytest.approx(0.75)
    assert 0 < hot(0.0) < hot(1e-9) * 1.0001 < hot(0.1) < hot(1.0) < 1
    assert ScoreMap("temperature", 1.0)(0.3) == pytest.approx(0.3)
    assert ScoreMap("temperature", 1e-4)(0.4) == 0.0
    # A product of float32 probabilities may exceed 1.
    assert log_odds(1.0000001) == log_odds(1.0)


def test_an_isotonic_map_is_linear_between_points():
    curve = ScoreMap("isotonic", points=((0.2, 0.1), (0.6, 0.5), (0.7, 0.9)))
    scores = [0.0, 0.2, 0.4, 0.6, 0.65, 0.7, 1.0]
    assert [curve(s) for s in scores] == pytest.approx(
        [0.1, 0.1, 0.3, 0.5, 0.7, 0.9, 0.9]
    )
    assert ScoreMap("isotonic", points=((0.5, 0.8),))(0.1) == 0.8


@pytest.mark.parametrize("score_map", [HALF, ScoreMap("temperature", 1.7)])
def test_a_map_is_json(score_map):
    data = json.loads(json.dumps(score_map.to_json()))
    assert ScoreMap.from_json(data) == score_map


def test_a_calibrated_component_is_saved(tiny_base, tmp_path):
    nlp = trained_pipeline(tiny_base("llama"))
    plain = nlp(TEXT)
    scores = plain.spans["sc"].attrs["scores"]
    assert len(scores) and "uncalibrated_scores" not in plain.spans["sc"].attrs
    assert "score_map" not in component(nlp)._state.to_json()
    component(nlp).score_map = HALF
    doc = nlp(TEXT)
    assert found(doc) == found(plain)
    attrs = doc.spans["sc"].attrs
    assert numpy.array_equal(attrs["uncalibrated_scores"], scores)
    assert attrs["scores"] == pytest.approx(scores / 2)
    nlp.to_disk(tmp_path / "saved")
    state = tmp_path / "saved" / "generative_ner" / STATE_FILE
    assert json.loads(state.read_text())["score_map"]["facts"] == {"spans": 60}
    loaded = spacy.load(tmp_path / "saved")
    assert component(loaded).score_map == HALF
    assert loaded(TEXT).spans["sc"].attrs["scores"] == pytest.approx(scores / 2)
    # The minimum is one of calibrated scores.
    component(loaded).cfg["min_score"] = 0.6
    assert list(loaded(TEXT).spans["sc"]) == []
    # Another training removes it.
    with pytest.warns(GennerWarning, match="W922"):
        loaded.update(make_examples(loaded)[:1])
    assert component(loaded).score_map is None
    component(loaded).score_map = HALF
    loaded.initialize(lambda: make_examples(loaded))
    assert component(loaded).score_map is None


@pytest.mark.parametrize(
    "damage",
    [
        {"method": "magic"},
        {"method": "temperature", "temperature": 0},
        {"method": "temperature", "temperature": "hot"},
        {"method": "isotonic", "points": []},
        {"method": "isotonic", "points": [[0.5, 0.5], [0.4, 0.6]]},
        {"method": "isotonic", "points": [[0.5, 0.7], [0.6, 0.6]]},
        {"method": "isotonic", "points": [[0.5, 7]]},
        [],
    ],
)
def test_a_damaged_map_is_an_error(damage):
    prompt = PromptSettings("{{ text }}", "", "auto")
    state = ComponentState({"A": ""}, "inline_bracketed", 1, prompt, "b", checksum="c")
    data = {**state.to_json(), "score_map": damage}
    with pytest.raises(ValueError, match=r"G418.*score_map"):
        ComponentState.from_bytes(json.dumps(data).encode())
