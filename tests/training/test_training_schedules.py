"""The learning rate schedule, and the number of steps of a config."""

import math
from itertools import islice

import pytest
from spacy.util import registry
from thinc.api import Adam
from training_cases import make_config, write_corpus

from spacy_genner.training.loop import count_steps, fill_total_steps
from spacy_genner.training.schedules import (
    NAME,
    cosine_warmup,
    warmup_stable_decay,
)


def rates(count, *args, **settings):
    return list(islice(cosine_warmup(*args, **settings), count))


def test_the_rate_rises_and_falls():
    found = rates(60, 0.5, 50, warmup_share=0.2)
    assert found[:10] == pytest.approx([0.05 * step for step in range(1, 11)])
    assert found[10] == 0.5
    assert found[30] == pytest.approx(0.25)
    assert all(a > b for a, b in zip(found[10:], found[11:51], strict=False))
    assert found[49] == pytest.approx(0.25 * (1 + math.cos(math.pi * 39 / 40)))
    assert found[50:] == [0.0] * 10


def test_the_final_share():
    found = rates(30, 1.0, 20, 0.1, 0.25)
    assert found[20:] == [0.25] * 10
    assert min(found[2:20]) > 0.25


def test_short_runs():
    assert rates(3, 1.0, 1) == [1.0, 1.0, 0.0]
    assert rates(2, 1.0, 1, warmup_share=0.0)[0] == 1.0


def test_numbers_as_strings():
    assert rates(9, "0.5", "8", "0.25", "0") == rates(9, 0.5, 8, 0.25, 0.0)
    made = registry.resolve(
        {"it": {"@schedules": NAME, "initial_rate": "1e-3", "total_steps": "10"}}
    )
    assert next(made["it"]) == 1e-3


@pytest.mark.parametrize(
    "settings, code",
    [
        ({"total_steps": 0}, "G301.*init-config"),
        ({"total_steps": "0"}, "G301"),
        ({"total_steps": 2.5}, "G301"),
        ({"total_steps": 5, "warmup_share": 1.5}, "G302"),
        ({"total_steps": 5, "final_share": -0.1}, "G302"),
        ({"total_steps": "many"}, "G308"),
        ({"total_steps": None}, "G308"),
    ],
)
def test_invalid_settings(settings, code):
    with pytest.raises(ValueError, match=code):
        cosine_warmup(0.1, **settings)


def test_warmup_stable_decay():
    found = list(islice(warmup_stable_decay(0.5, 50, 0.1, 0.2), 60))
    assert found[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert found[5:40] == [0.5] * 35
    assert found[40:50] == pytest.approx([0.5 * n / 11 for n in range(10, 0, -1)])
    assert found[50:] == [0.0] * 10
    # Warm-up and decay may overlap, and numbers may be strings.
    short = list(islice(warmup_stable_decay("1", "4", "1", "1"), 5))
    assert short == pytest.approx([0.25, 0.5, 0.4, 0.2, 0.0])
    with pytest.raises(ValueError, match="G301"):
        warmup_stable_decay(0.1, 0)
    with pytest.raises(ValueError, match="G302"):
        warmup_stable_decay(0.1, 10, decay_share=2)


def test_a_thinc_optimizer_with_the_schedule():
    optimizer = Adam(cosine_warmup(1.0, 4, warmup_share=0.5))
    found = []
    for _ in range(5):
        found.append(optimizer.learn_rate)
        optimizer.step_schedules()
    assert found == pytest.approx([0.5, 1.0, 1.0, 0.5, 0.0])


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "train.spacy")


def learn_rate(config):
    return config["training"]["optimizer"]["learn_rate"]


def test_steps_are_counted(tiny_base, corpus):
    base = tiny_base("llama")
    assert count_steps(make_config(base, corpus)) == 9
    epochs = {"training__max_epochs": 2, "training__batcher__size": 1}
    # One document per batch, two epochs of six documents.
    assert count_steps(make_config(base, corpus, **epochs)) == 9
    epochs["training__max_steps"] = 0
    assert count_steps(make_config(base, corpus, **epochs)) == 12
    endless = {"training__max_epochs": 0, "training__max_steps": 0}
    with pytest.raises(ValueError, match="G316"):
        count_steps(make_config(base, corpus, **endless))


def test_total_steps_of_0_are_replaced(tiny_base, corpus):
    base = tiny_base("llama")
    config = make_config(base, corpus)
    assert fill_total_steps(config) is None
    config = make_config(base, corpus, training__optimizer__learn_rate__total_steps=0)
    assert fill_total_steps(config) == 9
    assert learn_rate(config)["total_steps"] == 9
    config = make_config(base, corpus, training__optimizer__learn_rate__total_steps=0)
    # A resumed run keeps its number, which its learning rates depend on.
    known = {"training.optimizer.learn_rate.total_steps": 5}
    assert fill_total_steps(config, known) == 5
