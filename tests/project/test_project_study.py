"""`configs/study.cfg`: the study's recipe, for each of its eight models."""

from pathlib import Path

import pytest
import srsly
from spacy.cli import app
from spacy.schemas import ConfigSchemaInit, ConfigSchemaTraining
from spacy.util import load_config, load_model_from_config, registry
from training_cases import TEXTS, weights, write_corpus
from typer.testing import CliRunner

import spacy_genner.cli  # noqa: F401
from spacy_genner.models.language_model import LanguageModel
from spacy_genner.training.loop import fill_total_steps

ROOT = Path(__file__).parents[2]
MODELS = srsly.read_json(ROOT / "configs" / "study-models.json")
FAMILIES = ("llama", "qwen", "granite", "gemma")
# Nine sentences, so that the last batch of an epoch is smaller.
NINE = [*TEXTS, *TEXTS[:3]]


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads the config as `genner train` does, with a corpus of nine sentences."""
    monkeypatch.chdir(ROOT)
    corpus = str(write_corpus(tmp_path / "train.spacy", NINE))

    def made(**overrides):
        paths = {"paths.train": corpus, "paths.dev": corpus}
        values = paths | {key.replace("__", "."): v for key, v in overrides.items()}
        config = load_config("configs/study.cfg", overrides=values, interpolate=False)
        return config, fill_total_steps(config)

    return made


def test_models():
    """Two of each family, by their names on the Hub."""
    assert len(set(MODELS.values())) == 8
    for family in FAMILIES:
        names = {key: name for key, name in MODELS.items() if key.startswith(family)}
        assert len(names) == 2
        assert all(family in name.lower() for name in names.values())
    assert all(name.count("/") == 1 for name in MODELS.values())


@pytest.mark.parametrize("name", MODELS.values())
def test_config_of_each_model(load, name, monkeypatch):
    def refuse(self):
        raise AssertionError("weights are loaded")

    monkeypatch.setattr(LanguageModel, "base", property(refuse))
    config, total = load(vars__base=name, vars__revision="0123abc")
    # Two epochs of two batches.
    assert total == 4
    nlp = load_model_from_config(config, auto_fill=True, validate=True)
    lm = nlp.get_pipe("generative_ner").lm
    assert (lm.name, lm.revision) == (name, "0123abc")
    filled = nlp.config.interpolate()
    registry.resolve(filled["initialize"], schema=ConfigSchemaInit)
    training = registry.resolve(filled["training"], schema=ConfigSchemaTraining)
    assert [len(batch) for batch in training["batcher"](range(9))] == [8, 1]


def test_hyperparameters(load):
    config, _ = load()
    nlp = load_model_from_config(config, auto_fill=True)
    filled = nlp.config.interpolate()
    component = filled["components"]["generative_ner"]
    assert component["model"]["lora"] == {
        "rank": 256,
        "alpha": 512,
        "dropout": 0.0,
        "target_modules": "all-linear",
    }
    assert component["model"]["dtype"] == "bfloat16"
    assert component["model"]["revision"] is None
    assert component["loss"] == "lm" and component["readings"] == 1
    assert component["prompt"]["chat"] is True
    assert component["prompt"]["template"] == "study"
    # The prompt has the instruction and the text; the output copies it with markup.
    assert 4 * component["window"]["max_tokens"] == 2048
    training = filled["training"]
    assert (training["max_epochs"], training["max_steps"]) == (2, 0)
    assert training["batcher"]["size"] == 8 and training["accumulate_gradient"] == 1
    optimizer = training["optimizer"]
    assert (optimizer["L2"], optimizer["grad_clip"]) == (0.0, 1.0)
    rates = optimizer["learn_rate"]
    assert rates["@schedules"] == "spacy-genner.CosineWarmup.v1"
    assert (rates["initial_rate"], rates["warmup_share"]) == (2e-5, 0.1)
    assert rates["final_share"] == 0.0


def test_first_model_is_the_default(load):
    config, _ = load()
    assert config.interpolate()["vars"]["base"] == next(iter(MODELS.values()))


def test_study_config_trains(tiny_base, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    corpus = write_corpus(tmp_path / "train.spacy", NINE)
    srsly.write_json(tmp_path / "labels.json", {"ORG": "a firm", "GPE": "a city"})
    settings = {
        "vars.base": tiny_base("qwen3"),
        "paths.train": corpus,
        "paths.dev": corpus,
        "paths.labels": tmp_path / "labels.json",
        # The tokenizers of the tests have no chat template.
        "components.generative_ner.prompt.chat": "false",
    }
    words = [str(w) for key, value in settings.items() for w in (f"--{key}", value)]
    line = ["genner", "train", "configs/study.cfg", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*line, *words])
    assert result.exit_code == 0, (result.output, result.exception)
    assert "The learning rate falls over 4 steps" in result.output
    assert weights(tmp_path / "out" / "model-last")
