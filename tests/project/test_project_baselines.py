"""The baselines: `ner` and `spancat` with the project's readers, scores and table."""

import json
import shutil
from pathlib import Path

import numpy
import pytest
import spacy
from packaging.version import Version
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


MINILM = ROOT / "configs" / "baseline-spancat-minilm.cfg"


def minilm_words(folder, package):
    """A command line that trains the config with a tiny encoder, briefly."""
    loaders = "initialize.components.transformer"
    settings = {
        "paths.train": folder / "train.spacy",
        "paths.dev": folder / "train.spacy",
        "components.transformer.model.vocab_size": 141,
        "components.transformer.model.hidden_width": 32,
        "components.transformer.model.intermediate_width": 64,
        "components.transformer.model.num_attention_heads": 4,
        "components.transformer.model.num_hidden_layers": 2,
        f"{loaders}.encoder_loader.name.package": package,
        f"{loaders}.piecer_loader.name.package": package,
        "training.max_epochs": 30,
        "training.eval_frequency": 50,
        "training.optimizer.learn_rate.initial_rate": 0.005,
        "training.batcher.size": 60,
        "training.dropout": 0.0,
    }
    words = [word for key, value in settings.items() for word in (f"--{key}", value)]
    return ("genner", "train", MINILM, "--output", folder / "minilm", *words)


def test_spancat_on_a_pretrained_encoder(tmp_path, tiny_bert, monkeypatch):
    """The weights come from a package, and the saved pipeline needs it no more."""
    pytest.importorskip(
        "spacy_curated_transformers", reason="the extra 'baselines' is not installed"
    )
    if Version(numpy.__version__) >= Version("2.4"):
        pytest.skip("spacy-curated-transformers 0.3 trains with NumPy below 2.4 only")
    write_corpus(tmp_path / "train.spacy", SENTENCES)
    packages = tmp_path / "packages"
    shutil.copytree(tiny_bert, packages / "tiny_encoder")
    info = packages / "tiny_encoder-1.0.dist-info"
    info.mkdir()
    head = "Metadata-Version: 2.1\nName: tiny-encoder\nVersion: 1.0\n"
    (info / "METADATA").write_text(head, encoding="utf8")
    files = sorted((packages / "tiny_encoder").iterdir())
    record = "".join(f"tiny_encoder/{file.name},,\n" for file in files)
    (info / "RECORD").write_text(record, encoding="utf8")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(packages)
        run(*minilm_words(tmp_path, "tiny-encoder"))
    output = tmp_path / "minilm.json"
    model = tmp_path / "minilm" / "model-best"
    line = ("genner", "evaluate", model, tmp_path / "train.spacy", "--output", output)
    run(*line, "--spans-key", "sc")
    result = json.loads(output.read_text(encoding="utf8"))
    assert result["gold"] == 20 and result["micro_f"] > 0.3
    assert spacy.load(model).pipe_names == ["transformer", "spancat"]


def test_missing_packages_of_the_encoder_are_named(tmp_path):
    write_corpus(tmp_path / "train.spacy", SENTENCES)
    missing = ("--nlp.before_creation.packages", '["no-such-package>=1"]')
    line = (*minilm_words(tmp_path, "no-such-encoder"), *missing)
    result = RUNNER.invoke(app, [str(word) for word in line])
    assert result.exit_code != 0
    message = f"{result.output} {result.exception}"
    assert "G332" in message and "no-such-package>=1 (not installed)" in message
    assert "spacy-genner[baselines]" in message
