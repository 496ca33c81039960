"""The baselines: `ner` and `spancat` with the project's readers, scores and table."""

import json
from pathlib import Path

import pytest
import spacy
from spacy.cli import app
from training_cases import write_corpus
from typer.testing import CliRunner

import spacy_genner.cli  # noqa: F401

RUNNER = CliRunner()
ROOT = Path(__file__).parents[2]
CITIES = ("Lisbon", "Porto", "Vigo", "Oslo", "Turin")
# Each city in a sentence with a nested span, one without, and one without any city.
SENTENCES = [
    sentence
    for city in CITIES
    for sentence in (
        (f"The University of {city} is old .", [(1, 4, "ORG"), (3, 4, "GPE")]),
        (f"Maria lives in {city} .", [(3, 4, "GPE")]),
        (f"They like {city} .", [(2, 3, "GPE")]),
        ("It rains .", []),
    )
]


def run(*args):
    result = RUNNER.invoke(app, [str(arg) for arg in args])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Both baselines, trained briefly and scored on their training data."""
    folder = tmp_path_factory.mktemp("baselines")
    corpus = write_corpus(folder / "train.spacy", SENTENCES)
    settings = {
        "paths.train": corpus,
        "paths.dev": corpus,
        "training.max_steps": 60,
        "training.eval_frequency": 30,
        "training.optimizer.learn_rate": 0.01,
        "training.dropout": 0.0,
    }
    words = [word for key, value in settings.items() for word in (f"--{key}", value)]
    outputs = {}
    for name in ("ner", "spancat"):
        config = ROOT / "configs" / f"baseline-{name}.cfg"
        model = folder / name
        run("genner", "train", config, "--output", model, *words)
        scores = folder / "metrics" / f"{name}.json"
        line = ("genner", "evaluate", model / "model-best", corpus)
        outputs[name] = run(*line, "--output", scores, "--spans-key", "sc").output
    return folder, outputs


def scores(trained, name):
    return json.loads((trained[0] / "metrics" / f"{name}.json").read_text())


def test_ner_predicts_outer_spans_and_is_scored_on_all(trained):
    result = scores(trained, "ner")
    assert result["gold"] == 20
    assert result["flat_r"] > 0.8
    assert result["nested_gold"] == 5 and result["nested_r"] == 0.0
    assert "its entities are scored" in trained[1]["ner"]
    # The saved pipeline has no component of this project.
    assert spacy.load(trained[0] / "ner" / "model-best").pipe_names == ["ner"]


def test_spancat_predicts_nested_spans(trained):
    result = scores(trained, "spancat")
    assert result["micro_f"] > 0.8
    assert result["nested_r"] > 0.5
    assert "entities are scored" not in trained[1]["spancat"]
    nlp = spacy.load(trained[0] / "spancat" / "model-best")
    assert nlp.config["components"]["spancat"]["suggester"]["max_size"] == 3


def test_training_of_a_baseline_resumes(trained):
    folder, _ = trained
    paths = ("--paths.train", folder / "train.spacy", "--paths.dev")
    config = ROOT / "configs" / "baseline-spancat.cfg"
    rest = ("--training.optimizer.learn_rate", 0.01, "--training.dropout", 0.0)
    steps = ("--training.max_steps", 62, "--training.eval_frequency", 31)
    line = ("genner", "train", config, "--resume", folder / "spancat", "--output")
    result = run(*line, folder / "on", *paths, folder / "train.spacy", *rest, *steps)
    assert "Resuming after 61 steps" in result.output


def test_table(trained):
    folder, _ = trained
    output = folder / "reports" / "table.md"
    line = ("genner", "table", folder / "metrics", output)
    printed = run(*line).output
    rows = output.read_text(encoding="utf8").splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| spancat", "| ner"]
    best = f"{100 * scores(trained, 'spancat')['micro_f']:.1f}"
    assert rows[2].split(" | ")[1] == best
    assert "spancat" in printed and best in printed
