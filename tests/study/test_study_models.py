"""The eight models of the study: from the recipe to a row of the table."""

import json
import re
from pathlib import Path

import pytest
import srsly
from spacy.cli import app
from study_cases import DEFINITIONS, TEST, TRAIN, write
from typer.testing import CliRunner

import spacy_genner.cli  # noqa: F401
from spacy_genner.study.models import HEADER, ModelRun, markdown_table, read_rows
from spacy_genner.study.published import (
    CORPORA,
    MEAN_BY_FORMAT,
    MODELS,
    OTHER_SYSTEMS,
    published_score,
)
from spacy_genner.study.stages import Stages

ROOT = Path(__file__).parents[2]
# The tiny base of the tests for the family of each model.
TINY = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "granite": "granite",
    "granitemoehybrid": "granite4",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
}
# The first model of each family.
FIRST = {info.family: key for key, info in reversed(MODELS.items())}


def test_models_are_those_of_the_configs():
    listed = srsly.read_json(ROOT / "configs" / "study-models.json")
    assert {key: info.base for key, info in MODELS.items()} == listed
    assert set(FIRST) == set(TINY)


@pytest.mark.parametrize("corpus", CORPORA)
def test_means_of_the_study_follow_from_its_models(corpus):
    """The means and the single figures were noted independently."""
    for name, means in MEAN_BY_FORMAT.items():
        scores = [published_score(model, corpus, name) for model in MODELS]
        if None in scores:
            assert corpus != "genia" and name != "inline_bracketed"
            continue
        assert sum(scores) / 8 == pytest.approx(means[corpus], abs=0.006)


def test_every_system_has_a_column_for_each_corpus():
    assert all(len(row) == len(CORPORA) for row in OTHER_SYSTEMS.values())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "train.spacy", TRAIN)
    write(tmp_path / "test.spacy", TEST)
    srsly.write_json(tmp_path / "labels.json", DEFINITIONS)
    return tmp_path


def run_model(*words, **changes):
    settings = {
        "components.generative_ner.model.device": "cpu",
        # The tokenizers of the tests have no chat template.
        "components.generative_ner.prompt.chat": "false",
        **{key.replace("__", "."): value for key, value in changes.items()},
    }
    line = ["genner", "study", "model", *words, "--train", "train.spacy"]
    line += ["--dev", "test.spacy", "--test", "test.spacy", "--labels", "labels.json"]
    line += ["--config", ROOT / "configs" / "study.cfg"]
    line += [word for key, value in settings.items() for word in (f"--{key}", value)]
    return CliRunner().invoke(app, [str(word) for word in line])


# State-space layers make decoding slower.
@pytest.mark.filterwarnings(r"ignore:\[W406\]:spacy_genner.errors.GennerWarning")
def test_a_model_of_each_family_from_recipe_to_table(folder, tiny_base):
    for family, model in FIRST.items():
        base = tiny_base(TINY[family])
        config = json.loads((base / "config.json").read_text())
        assert config["model_type"] == family
        result = run_model(model, "genia", vars__base=base)
        assert result.exit_code == 0, (family, result.output, result.exception)
    rows = read_rows(folder / "metrics/study/models")
    assert [row[0] for row in rows] == [
        info.name for key, info in MODELS.items() if key in FIRST.values()
    ]
    table = (folder / "reports" / "study-models.md").read_text()
    assert table == markdown_table(HEADER, rows)
    assert table in result.output
    for row in rows:
        cells = dict(zip(HEADER, row, strict=True))
        model = next(k for k, info in MODELS.items() if info.name == cells["model"])
        assert cells["F1 in the study"] == f"{published_score(model, 'genia'):.2f}"
        difference = float(cells["F1"]) - float(cells["F1 in the study"])
        assert float(cells["difference"]) == pytest.approx(difference, abs=0.011)
        # The table tells that this was not the study's model.
        assert "`vars.base`" in cells["changes to the recipe"]
    # The recipe itself is the one that trained.
    saved = folder / "training/study/models/qwen-3-4b-genia-inline_bracketed/model-last"
    config = srsly.read_json(saved / "generative_ner/adapter/adapter_config.json")
    assert (config["r"], config["lora_alpha"]) == (256, 512)
    # A second call computes nothing, and another setting is refused.
    base = tiny_base("qwen3")
    assert "(kept)" in run_model("qwen-3-4b", "genia", vars__base=base).output
    refused = run_model("qwen-3-4b", "genia", vars__base=base, training__max_epochs=1)
    assert refused.exit_code == 1 and "G940" in refused.output


def test_unknown_names_are_refused(folder):
    for words, message in (
        (("gpt-4", "genia"), "no model 'gpt-4'.*qwen-3-4b"),
        (("qwen-3-4b", "conll"), "no corpus 'conll'.*conll2003"),
        (("qwen-3-4b", "genia", "--format", "yaml"), "no format 'yaml'.*inline_xml"),
    ):
        result = run_model(*words)
        assert result.exit_code == 1
        output = " ".join(result.output.split())
        assert re.search(f"G948.*{message}", output), output
    assert run_model("qwen-3-4b", "genia", "--test", "no.spacy").exit_code == 1
    bare = CliRunner().invoke(app, ["genner", "study", "model", "qwen-3-4b"])
    assert bare.exit_code == 2


def test_scores_that_the_study_does_not_have(folder):
    assert published_score("gemma-2-9b", "ace2005", "inline_xml") is None
    assert published_score("gemma-2-9b", "ace2005") == 87.44
    assert published_score("gemma-2-9b", "genia", "offset_json") == 41.15
    path = folder / "metrics"
    run = ModelRun(
        "gemma-2-9b",
        "ace2005",
        *[Path("x.spacy")] * 3,
        Path("labels.json"),
        Path("study.cfg"),
        Stages(path, path),
        "inline_xml",
    )
    assert run.name == "gemma-2-9b-ace2005-inline_xml"
    assert read_rows(path) == []
