"""The number of steps, evaluations and documents of a training run."""

import math
from dataclasses import replace

import pytest
import typer
from spacy.tokens import DocBin
from spacy.util import load_model_from_config
from spacy.vocab import Vocab
from training_cases import TEXTS, make_config, write_corpus

from spacy_genner.cli import app as genner
from spacy_genner.training import plan as plans
from spacy_genner.training.plan import make_plan
from spacy_genner.training.speed import Speed

SPEED = Speed(1.0, 0.5, 5, 8, 300, 30, 100, "cpu", "float32", 2)


@pytest.mark.parametrize(
    "documents, enough, epochs",
    [
        # Two batches an epoch.
        (6, 7, 4),
        (6, 8, 4),
        # A large corpus has enough steps in the first epoch.
        (6, 1, 2),
        # A tiny corpus is not repeated without end.
        (1, 100, 12),
    ],
)
def test_a_small_corpus_is_trained_on_for_more_epochs(
    tiny_base, tmp_path, monkeypatch, documents, enough, epochs
):
    corpus = write_corpus(tmp_path / "train.spacy", TEXTS[:1] * documents)
    config = make_config(tiny_base("llama"), corpus)
    words = max(len(doc) for doc in DocBin().from_disk(corpus).get_docs(Vocab()))
    config["training"]["batcher"]["size"] = 3 * words
    nlp = load_model_from_config(config, auto_fill=True)
    monkeypatch.setattr(plans, "ENOUGH_STEPS", enough)
    per_epoch = math.ceil(documents / 3)
    assert plans.default_steps(nlp) == epochs * per_epoch


def test_the_default_number_of_epochs_is_documented():
    command = typer.main.get_command(genner).commands["init-config"]
    [option] = [each for each in command.params if each.name == "steps"]
    assert plans.MIN_EPOCHS == 2 and "two epochs" in option.help
    assert f"up to {plans.MAX_EPOCHS} for a small corpus" in option.help


@pytest.mark.parametrize("minutes", [1, 10, 100, 1000])
@pytest.mark.parametrize("dev_docs", [5, 300, 20000])
def test_a_plan_keeps_the_budget(minutes, dev_docs):
    plan = make_plan(SPEED, dev_docs, minutes, None)
    assert plan.max_steps % plan.eval_frequency == 0
    assert plan.seconds <= 60 * minutes * 1.4
    assert plan.seconds >= 60 * minutes * 0.7
    docs = plan.limit or dev_docs
    assert docs <= dev_docs
    evaluations = plan.max_steps // plan.eval_frequency + 1
    if minutes > 1:
        share = evaluations * docs * SPEED.doc_seconds / plan.seconds
        assert share < 0.15


@pytest.mark.parametrize("doc_seconds", [0.001, 0.05, 0.5, 5.0])
def test_few_of_the_wanted_steps_are_left_over(doc_seconds):
    speed = Speed(1.0, doc_seconds, 5, 8, 300, 30, 100, "cpu", "float32", 2)
    for steps in (1, 2, 5, 7, 16, 19, 60, 100, 1021):
        plan = make_plan(speed, 13, None, steps)
        assert 0.8 * steps <= plan.max_steps <= steps
        assert plan.max_steps // plan.eval_frequency >= min(3, steps)


@pytest.mark.parametrize("minutes", [1, 3, 10, 100])
@pytest.mark.parametrize("doc_seconds", [0.01, 0.5, 5.0])
@pytest.mark.parametrize("step_seconds", [0.1, 1.0, 5.0])
def test_a_plan_evaluates_several_times(minutes, doc_seconds, step_seconds):
    speed = replace(SPEED, doc_seconds=doc_seconds, step_seconds=step_seconds)
    plan = make_plan(speed, 2000, minutes, None)
    assert plan.max_steps // plan.eval_frequency >= 5
    # The minimum is six evaluations of a document and six steps.
    least = 6 * (doc_seconds + step_seconds)
    assert plan.seconds <= 1.1 * max(60 * minutes, least) + step_seconds
    if plan.limit > 20:
        evaluated = (plan.max_steps // plan.eval_frequency + 1) * plan.limit
        assert evaluated * doc_seconds <= 0.31 * 60 * minutes
