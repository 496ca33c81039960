"""Training a draft head for an adapter that is already trained."""

import re

import pytest
import spacy
from component_cases import (
    NAME,
    TEXTS,
    component,
    make_examples,
    pipeline,
    results,
    trained_pipeline,
)
from spacy.tokens import Doc, DocBin, Span
from thinc.api import Adam
from typer.testing import CliRunner

from spacy_genner.cli import app
from spacy_genner.training import trainer
from spacy_genner.training.trainer import train_draft_head


@pytest.fixture
def data(tmp_path):
    vocab = spacy.blank("en").vocab
    docs = []
    for text, spans in TEXTS * 8:
        doc = Doc(vocab, text.split())
        doc.spans["sc"] = [Span(doc, *span) for span in spans]
        docs.append(doc)
    DocBin(docs=docs).to_disk(tmp_path / "data.spacy")
    return tmp_path / "data.spacy"


def run(*words):
    return CliRunner().invoke(app, ["draft-head", *map(str, words)])


def test_the_command_adds_a_head_and_keeps_the_adapter(tiny_base, tmp_path, data):
    nlp = trained_pipeline(tiny_base("llama"))
    expected = results(nlp)
    component(nlp).lm.drafting.clear()
    nlp.to_disk(tmp_path / "slow")
    assert not (tmp_path / "slow" / NAME / "draft_head.safetensors").exists()
    done = run(tmp_path / "slow", data, tmp_path / "fast", "--epochs", 10)
    assert done.exit_code == 0, done.output
    # Both parts show their progress without a terminal.
    assert re.search(r"^reading: 1 of 1$", done.stderr, re.MULTILINE)
    assert len(re.findall(r"^learning: \d+ of 20$", done.stderr, re.MULTILINE)) == 10
    other = spacy.load(tmp_path / "fast")
    assert results(other) == expected
    assert component(other).lm.to_bytes() == component(nlp).lm.to_bytes()
    pipe = component(other)
    engine = pipe.predictor.engine()
    assert engine.draft_head is not None and engine.draft_head.trained
    first, last = map(float, re.findall(r" loss (\d+\.\d+)", done.output))
    assert last < first
    # An existing head is replaced, even if it cannot be read.
    weights = component(other).lm.drafting.to_bytes()
    file = tmp_path / "fast" / NAME / "draft_head.safetensors"
    file.write_bytes(b"of another version")
    done = run(tmp_path / "fast", data, tmp_path / "again", "--epochs", 10)
    assert done.exit_code == 0, done.output
    again = spacy.load(tmp_path / "again")
    assert component(again).lm.drafting.to_bytes() == weights


def test_an_update_trains_the_new_head_further(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    pipe, examples = component(nlp), make_examples(nlp)
    train_draft_head(pipe, examples)
    before = pipe.lm.drafting.to_bytes()
    nlp.update(examples, sgd=Adam(0.001))
    assert pipe.lm.drafting.to_bytes() != before


def test_mistakes_are_found_before_the_training(tmp_path, data):
    for rate in ("0", "-1", "nan", "inf"):
        result = run("none", data, tmp_path / "out", "--learn-rate", rate)
        assert result.exit_code == 1 and "G319" in result.output
    result = run("none", data, data / "out")
    assert result.exit_code == 1 and "G577" in result.output


def test_an_empty_corpus(tiny_base, tmp_path):
    trained_pipeline(tiny_base("llama")).to_disk(tmp_path / "slow")
    DocBin().to_disk(tmp_path / "none.spacy")
    done = run(tmp_path / "slow", tmp_path / "none.spacy", tmp_path / "fast")
    assert done.exit_code == 1
    assert "[G321]" in done.stderr
    assert not (tmp_path / "fast").exists()


def test_a_component_without_a_draft_head(tiny_base, tmp_path, data):
    trained_pipeline(tiny_base("llama"), model__draft_head=False).to_disk(
        tmp_path / "slow"
    )
    done = run(tmp_path / "slow", data, tmp_path / "fast")
    assert done.exit_code == 1
    assert "[G428]" in done.stderr
    assert not (tmp_path / "fast").exists()


def test_a_component_without_an_adapter(tiny_base, tmp_path, data):
    nlp = pipeline(tiny_base("llama"), model__lora=None)
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    nlp.to_disk(tmp_path / "plain")
    done = run(tmp_path / "plain", data, tmp_path / "fast")
    assert done.exit_code == 1
    assert "[G412]" in done.stderr


@pytest.mark.parametrize("epochs, updates", [(None, 7), (1, 1), (9, 9)])
def test_few_examples_are_trained_for_more_epochs(
    tiny_base, monkeypatch, epochs, updates
):
    nlp = trained_pipeline(tiny_base("llama"))
    monkeypatch.setattr(trainer, "MIN_UPDATES", 7)
    examples = make_examples(nlp)
    assert len(train_draft_head(component(nlp), examples, epochs=epochs)) == updates
    # Many examples are trained for the minimum number of epochs.
    monkeypatch.setattr(trainer, "MIN_UPDATES", 2)
    if epochs is None:
        assert len(train_draft_head(component(nlp), examples)) == trainer.MIN_EPOCHS
