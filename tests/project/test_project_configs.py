"""spaCy's commands on configs: `init labels`, `init fill-config`, `debug`."""

from pathlib import Path

import pytest
import srsly
from spacy.cli import app
from spacy.cli.init_config import fill_config
from spacy.tokens import DocBin
from spacy.util import load_config
from training_cases import TEXTS, docs, make_config, start, write_config, write_corpus
from typer.testing import CliRunner

RUNNER = CliRunner()
ROOT = Path(__file__).parents[2]
CONFIGS = ["configs/demo.cfg", "configs/genia.cfg"]
BASELINES = ["configs/baseline-ner.cfg", "configs/baseline-spancat.cfg"]
# Its number of steps is computed from the corpus.
STUDY = "configs/study.cfg"


def run(*args):
    return RUNNER.invoke(app, [str(arg) for arg in args])


@pytest.mark.parametrize("name", [*CONFIGS, *BASELINES, STUDY])
def test_configs_are_complete(name, tmp_path):
    output = tmp_path / "filled.cfg"
    before, after = fill_config(output, ROOT / name, silent=True)
    assert after == before
    # The written file also keeps the variables.
    written = load_config(output, interpolate=False)
    assert written == load_config(ROOT / name, interpolate=False)


@pytest.mark.parametrize("name", CONFIGS)
def test_debug_config_passes_and_reports_unknown_name(name, monkeypatch):
    # Paths in a config are relative to the folder of the project.
    monkeypatch.chdir(ROOT)
    result = run("debug", "config", name, "--show-functions", "--show-variables")
    assert result.exit_code == 0, result.output
    assert "Config is valid" in result.output
    assert "spacy_genner" in result.output
    result = run("debug", "config", name, "--components.generative_ner.min_scor", 1)
    assert result.exit_code == 1


@pytest.mark.parametrize("name", [*BASELINES, STUDY])
def test_debug_config_passes(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    steps = ("--training.optimizer.learn_rate.total_steps", 9) if name == STUDY else ()
    result = run("debug", "config", name, *steps)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "setting, code",
    [
        ("set_ents", "G407"),
        ("window.unit", "G401"),
        ("format", "G005"),
        ("model.merge", "G243"),
        ("model.dtype", "G230"),
        ("model.device", "G231"),
    ],
)
def test_debug_config_reports_invalid_string(setting, code, monkeypatch):
    monkeypatch.chdir(ROOT)
    override = f"--components.generative_ner.{setting}"
    result = run("debug", "config", CONFIGS[0], override, "nonsense")
    assert result.exit_code == 1
    assert code in result.output + str(result.exception)


@pytest.mark.parametrize(
    "setting, code",
    [
        ("max_depth", "G103"),
        ("batch_tokens", "G106"),
        ("decoder.batch_tokens", "G106"),
        ("window.max_tokens", "G402"),
        ("model.lora.rank", "G241"),
        ("min_score", "G409"),
    ],
)
def test_debug_config_reports_invalid_number(setting, code, monkeypatch):
    monkeypatch.chdir(ROOT)
    result = run(
        "debug", "config", CONFIGS[0], f"--components.generative_ner.{setting}", -1
    )
    assert result.exit_code == 1
    assert code in result.output + str(result.exception)


def config_without_labels(base, corpus):
    config = make_config(base, corpus)
    config["initialize"]["components"] = {}
    return config


def test_init_labels_round_trip(tiny_base, tmp_path):
    corpus = write_corpus(tmp_path / "train.spacy")
    config = config_without_labels(tiny_base("llama"), corpus)
    path = write_config(tmp_path / "tiny.cfg", config)
    result = run("init", "labels", path, tmp_path / "labels")
    assert result.exit_code == 0, result.output
    file = tmp_path / "labels" / "generative_ner.json"
    assert srsly.read_json(file) == ["GPE", "ORG"]
    # The file has another order, and a label that the data lacks.
    srsly.write_json(file, ["ORG", "PERSON", "GPE"])
    reader = {"@readers": "spacy.read_labels.v1", "path": str(file), "require": True}
    config["initialize"]["components"] = {"generative_ner": {"labels": reader}}
    labels = start(config).get_pipe("generative_ner").labels
    assert labels == ("ORG", "PERSON", "GPE")


def test_init_labels_keeps_definitions(tiny_base, tmp_path):
    corpus = write_corpus(tmp_path / "train.spacy")
    config = config_without_labels(tiny_base("llama"), corpus)
    definitions = {"ORG": "firms; and: clubs", "GPE": "cities = countries"}
    given = tmp_path / "given.json"
    srsly.write_json(given, definitions)
    reader = {"@readers": "spacy.read_labels.v1", "path": str(given), "require": True}
    config["initialize"]["components"] = {"generative_ner": {"labels": reader}}
    path = write_config(tmp_path / "tiny.cfg", config)
    assert run("init", "labels", path, tmp_path / "labels").exit_code == 0
    file = tmp_path / "labels" / "generative_ner.json"
    assert list(srsly.read_json(file).items()) == list(definitions.items())
    reader["path"] = str(file)
    assert start(config).get_pipe("generative_ner").label_data == definitions


def test_debug_data(tiny_base, tmp_path):
    many = [doc for _ in range(20) for doc in docs(TEXTS)]
    train = tmp_path / "train.spacy"
    DocBin(docs=many).to_disk(train)
    dev = write_corpus(tmp_path / "dev.spacy", [("Vigo is a city .", [(0, 1, "GPE")])])
    config = make_config(tiny_base("llama"), train, paths__dev=str(dev))
    filled = tmp_path / "filled.cfg"
    fill_config(filled, write_config(tmp_path / "tiny.cfg", config), silent=True)
    result = run("debug", "data", filled)
    assert result.exit_code == 0, result.output
    assert "120 training docs" in result.output and "1 evaluation docs" in result.output


def test_debug_data_reports_unknown_label(tiny_base, tmp_path):
    texts = [*TEXTS, ("Maria came .", [(0, 1, "PERSON")])]
    corpus = write_corpus(tmp_path / "train.spacy", texts)
    config = make_config(tiny_base("llama"), corpus)
    filled = tmp_path / "filled.cfg"
    fill_config(filled, write_config(tmp_path / "tiny.cfg", config), silent=True)
    result = run("debug", "data", filled)
    assert result.exit_code == 1
    assert "[G303]" in str(result.exception) and "PERSON" in str(result.exception)
