"""Configs written for a corpus, and the configs of the project."""

import json
from pathlib import Path

import pytest
import typer
from spacy.cli import app
from spacy.cli.init_config import fill_config
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import DocBin
from spacy.util import load_config, load_model_from_config, registry
from thinc.api import Config
from training_cases import TEXTS, make_config, start, write_corpus
from typer.testing import CliRunner

from spacy_genner.cli import app as genner
from spacy_genner.training import init_config
from spacy_genner.training.init_config import write_config
from spacy_genner.training.loop import count_steps

CONFIGS = Path(__file__).parents[2] / "configs"


def check_complete(path, tmp_path):
    """Check that spaCy adds nothing to a config and finds no error in it."""
    filled = tmp_path / "filled.cfg"
    fill_config(filled, path, silent=True)
    assert load_config(filled) == load_config(path)
    raw = [load_config(file, interpolate=False) for file in (filled, path)]
    assert raw[0] == raw[1]
    result = CliRunner().invoke(app, ["debug", "config", str(path)])
    assert result.exit_code == 0, (result.output, result.exception)
    assert "Config is valid" in result.output


@pytest.fixture(scope="module")
def written(tiny_base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    corpus = write_corpus(folder / "train.spacy", TEXTS * 3)
    dev = write_corpus(folder / "dev.spacy")
    base = str(tiny_base("llama"))
    return write_config(corpus, folder / "made.cfg", base, dev_path=dev, steps=30)


def test_a_written_config_is_complete(written, tiny_base):
    config = load_config(written.path)
    assert config["components"]["generative_ner"]["model"]["name"] == str(
        tiny_base("llama")
    )
    assert config["initialize"]["components"]["generative_ner"]["labels"] == [
        "GPE",
        "ORG",
    ]
    training = config["training"]
    assert training["max_steps"] % training["eval_frequency"] == 0
    assert training["max_steps"] <= 30
    total = training["optimizer"]["learn_rate"]["total_steps"]
    assert total == training["max_steps"] + 1 == count_steps(config)
    # Every section resolves.
    registry.resolve(config["training"])
    registry.resolve(config["corpora"])
    raw = load_config(written.path, interpolate=False)
    nlp = load_model_from_config(raw, auto_fill=True)
    assert nlp.pipe_names == ["generative_ner"]
    assert nlp.get_pipe("generative_ner").cfg["crossing"] == "refuse"


def test_spacy_adds_nothing_to_a_written_config(written, tmp_path):
    check_complete(written.path, tmp_path)


def test_a_written_config_contains_the_measurements(written):
    text = written.path.read_text(encoding="utf8")
    assert "# Corpus: 18 documents, 24 spans, 2 labels" in text
    assert f"{written.speed.step_seconds:.2f} s per training step" in text
    assert written.speed.batch_words < 2048
    assert written.speed.steps >= 1 and written.speed.docs == len(TEXTS)


def test_the_config_of_a_corpus_with_lines_and_unaligned_spans(tiny_base, tmp_path):
    import spacy

    nlp = spacy.blank("en")
    docs = []
    for _ in range(4):
        doc = nlp.make_doc("Maria likes X1bound cells.\nShe lives in Porto.")
        start = doc.text.index("Porto")
        doc.spans["own"] = [doc.char_span(start, start + 5, "GPE")]
        place = doc.text.index("bound")
        doc.user_data["genner_unaligned"] = [[place, place + 5, "STATE"]]
        docs.append(doc)
    path = tmp_path / "lines.spacy"
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    labels = tmp_path / "labels.json"
    labels.write_text('{"GPE": "a place: city; country", "STATE": ""}')
    made = write_config(
        path,
        tmp_path / "m.cfg",
        str(tiny_base("llama")),
        dev_path=path,
        minutes=0.1,
        labels_path=labels,
    )
    check_complete(made.path, tmp_path)
    assert made.facts.labels == ["GPE", "STATE"]
    nlp = load_model_from_config(load_config(made.path), auto_fill=True)
    assert nlp.pipe_names == ["genner_sentences", "generative_ner"]
    assert nlp.get_pipe("genner_sentences").lines
    assert nlp.config["training"]["annotating_components"] == ["genner_sentences"]
    doc = nlp.get_pipe("genner_sentences")(nlp.make_doc("It rose by 4.7 km\nto 9.30."))
    assert [sent.text for sent in doc.sents] == ["It rose by 4.7 km\n", "to 9.30."]
    assert [t.text for t in nlp.make_doc("X1bound")] == ["X", "1", "bound"]
    weights = nlp.config["training"]["score_weights"]
    assert weights["spans_own_f"] == 1.0 and weights["spans_sc_f"] is None


def test_a_config_that_starts_from_an_adapter(tiny_base, tmp_path):
    base = tiny_base("llama")
    corpus = write_corpus(tmp_path / "train.spacy")
    nlp = start(make_config(base, corpus))
    nlp.to_disk(tmp_path / "start")
    adapter = str(tmp_path / "start")
    made = write_config(
        corpus,
        tmp_path / "made.cfg",
        str(base),
        dev_path=corpus,
        steps=2,
        start=adapter,
    )
    check_complete(made.path, tmp_path)
    model = load_config(made.path)["components"]["generative_ner"]["model"]
    assert model["adapter"] == adapter
    assert model["lora"]["rank"] == 4 and model["lora"]["alpha"] == 8
    with pytest.raises(ValueError, match="G281.*missing"):
        write_config(
            corpus,
            tmp_path / "other.cfg",
            str(base),
            dev_path=corpus,
            start="missing",
        )
    assert not (tmp_path / "other.cfg").exists()


def test_a_small_corpus_starts_from_the_universal_adapter(
    tiny_base, tmp_path, monkeypatch
):
    """Unless it has too many documents, another base, or the user does not want it."""
    command = typer.main.get_command(genner).commands["init-config"]
    [option] = [each for each in command.params if each.name == "start"]
    assert f"at most {init_config.WARM_START_DOCS} documents" in option.help
    assert option.default == init_config.AUTO
    base = tiny_base("llama")
    corpus = write_corpus(tmp_path / "train.spacy")
    start(make_config(base, corpus)).to_disk(tmp_path / "start")
    adapter = str(tmp_path / "start")
    monkeypatch.setattr(init_config, "UNIVERSAL", adapter)

    def chosen(base=base, documents=200, **settings):
        monkeypatch.setattr(init_config, "WARM_START_DOCS", documents)
        path = tmp_path / "made.cfg"
        made = write_config(
            corpus, path, str(base), dev_path=corpus, steps=2, **settings
        )
        noted = [note for note in made.notes if "--start none" in note]
        model = load_config(path)["components"]["generative_ner"]["model"]
        assert bool(noted) == (model["adapter"] is not None)
        return model["adapter"], model["lora"]["rank"]

    assert chosen() == (adapter, 4)
    assert chosen(start="none") == (None, 32)
    assert chosen(documents=len(TEXTS) - 1) == (None, 32)
    assert chosen(base=tiny_base("qwen2")) == (None, 32)


def test_the_maximum_depth_is_that_of_the_data(written, tiny_base, tmp_path):
    # Porto is a GPE inside an ORG.
    assert load_config(written.path)["components"]["generative_ner"]["max_depth"] == 2
    flat = [TEXTS[1], TEXTS[3], TEXTS[4]]
    corpus = write_corpus(tmp_path / "train.spacy", flat)
    base = str(tiny_base("llama"))

    def depth(dev):
        path = write_corpus(tmp_path / "dev.spacy", dev)
        made = write_config(corpus, tmp_path / "m.cfg", base, dev_path=path, steps=2)
        return load_config(made.path)["components"]["generative_ner"]["max_depth"]

    assert depth(flat) == 1
    # The development corpus counts, too.
    assert depth(TEXTS) == 2


def test_invalid_arguments(tiny_base, tmp_path):
    corpus = write_corpus(tmp_path / "train.spacy")
    for settings, code in (
        ({"minutes": 1.0, "steps": 1}, "G318"),
        ({"minutes": 0.0}, "G319"),
        ({"minutes": float("nan")}, "G319"),
        ({"minutes": float("inf")}, "G319"),
        ({"spans_key": "other"}, "G307"),
    ):
        with pytest.raises(ValueError, match=code):
            write_config(
                corpus, tmp_path / "x.cfg", "nowhere", dev_path=corpus, **settings
            )
    assert not (tmp_path / "x.cfg").exists()


@pytest.mark.parametrize("name", ["demo.cfg", "genia.cfg"])
def test_the_configs_of_the_project_resolve(name, tiny_base, tmp_path):
    corpus = write_corpus(tmp_path / "train.spacy")
    overrides = {
        "vars.base": str(tiny_base("llama")),
        "paths.train": str(corpus),
        "paths.dev": str(corpus),
    }
    config = load_config(CONFIGS / name, overrides=overrides, interpolate=False)
    nlp = load_model_from_config(config, auto_fill=True)
    filled = nlp.config.interpolate()
    # The checks of `spacy debug config`.
    registry.resolve(filled["training"], schema=ConfigSchemaTraining)
    registry.resolve(filled["corpora"])
    assert nlp.get_pipe("generative_ner").lm.name == overrides["vars.base"]
    # The score of the spans alone selects the best model.
    weights = filled["training"]["score_weights"]
    assert {key for key, weight in weights.items() if weight} == {"spans_sc_f"}
    training = filled["training"]
    assert training["max_steps"] % training["eval_frequency"] == 0
    assert isinstance(training["max_steps"], int)
    assert Config().from_str(filled.to_str()) == filled


def test_the_labels_of_genia_have_definitions():
    path = CONFIGS / "genia-labels.json"
    labels = json.loads(path.read_text(encoding="utf8"))
    assert list(labels) == ["protein", "DNA", "RNA", "cell_line", "cell_type"]
    assert all(labels.values())
