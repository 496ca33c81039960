"""The optimizer of training from Python, and the warning about a high learning rate."""

import warnings

import numpy
import pytest
import spacy
from spacy.language import Language
from spacy.training import Example
from spacy.training.initialize import init_nlp
from thinc.api import SGD, Adam, RAdam
from training_cases import docs, make_config, write_corpus

from spacy_genner.errors import GennerWarning
from spacy_genner.training.optimizer import suitable_rate, warn_if_rate_is_high
from spacy_genner.training.schedules import cosine_warmup

NAME = "generative_ner"
SPACY_DEFAULT = Language.default_config["training"]["optimizer"]
# What suits the default adapter.
RATE = 3e-4


def settings(base, **lora):
    model = {"name": str(base), "dtype": "float32", "device": "cpu"}
    return {"labels": ["ORG", "GPE"], "model": {**model, "lora": lora}}


def pipeline(base, **lora):
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME, config=settings(base, **lora))
    return nlp


def examples(nlp):
    return [Example(nlp.make_doc(doc.text), doc) for doc in docs()]


def optimizer_of(nlp):
    return nlp.config["training"]["optimizer"]


def caught(nlp, sgd, updates=1):
    """The warnings of updates with an optimizer."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", GennerWarning)
        for _ in range(updates):
            nlp.update(examples(nlp), sgd=sgd)
    return [str(each.message) for each in found if "W409" in str(each.message)]


def test_each_way_to_an_optimizer_gives_a_suitable_rate(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    assert optimizer_of(nlp) == {**SPACY_DEFAULT, "learn_rate": RATE}
    assert nlp.create_optimizer().learn_rate == RATE
    assert nlp.get_pipe(NAME).create_optimizer().learn_rate == RATE
    assert nlp.resume_training().learn_rate == RATE
    assert nlp.initialize(lambda: examples(nlp)).learn_rate == RATE
    # spaCy's own default is as it was.
    assert SPACY_DEFAULT["learn_rate"] == 0.001
    assert spacy.blank("en").create_optimizer().learn_rate == 0.001


def test_the_rate_is_applied(tiny_base):
    """The first update of Adam changes the second factors by the rate. The weight
    decay changes nothing, as these factors are 0."""
    nlp = pipeline(tiny_base("llama"))
    nlp.initialize(lambda: examples(nlp))
    assert caught(nlp, None) == []
    weights = nlp.get_pipe(NAME).lm.adapter_parameters()
    moved = [
        parameter.detach().abs().max().item()
        for name, parameter in weights.items()
        if ".lora_B." in name
    ]
    assert moved and numpy.allclose(max(moved), RATE, rtol=1e-2)


def test_the_rate_is_saved_with_the_pipeline(tiny_base, tmp_path):
    nlp = pipeline(tiny_base("llama"))
    nlp.initialize(lambda: examples(nlp))
    nlp.update(examples(nlp))
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    sgd = again.resume_training()
    assert sgd.learn_rate == RATE
    assert caught(again, sgd) == []


@pytest.mark.parametrize(
    "alpha, expected",
    [(64, 3e-4), (128, 1.5e-4), (512, 3.7e-5), (32, 6e-4), (1, 1e-3)],
)
def test_the_rate_falls_with_alpha(tiny_base, alpha, expected):
    assert suitable_rate(alpha) == expected
    # The weights are not loaded.
    nlp = pipeline(tiny_base("llama"), rank=4, alpha=alpha)
    assert nlp.create_optimizer().learn_rate == expected


def test_an_optimizer_of_the_pipeline_stays(tiny_base):
    base = tiny_base("llama")
    own = {"@optimizers": "Adam.v1", "learn_rate": 0.001}
    nlp = spacy.blank("en")
    nlp.config["training"]["optimizer"] = own
    nlp.add_pipe(NAME, config=settings(base))
    assert optimizer_of(nlp) == own
    # Set afterwards, even spaCy's default stays.
    nlp = pipeline(base)
    nlp.config["training"]["optimizer"] = dict(SPACY_DEFAULT)
    assert nlp.initialize(lambda: examples(nlp)).learn_rate == 0.001
    # An optimizer that is passed is the one that is used.
    sgd = Adam(0.001)
    assert nlp.initialize(lambda: examples(nlp), sgd=sgd) is sgd


def test_the_optimizer_of_a_config_stays(tiny_base, tmp_path):
    """Even if it is spaCy's default, as `spacy init fill-config` writes it."""
    config = make_config(tiny_base("llama"), write_corpus(tmp_path / "train.spacy"))
    config["training"]["optimizer"] = dict(SPACY_DEFAULT)
    assert optimizer_of(init_nlp(config)) == SPACY_DEFAULT


def test_other_trainable_components_keep_their_rate(tiny_base):
    nlp = spacy.blank("en")
    nlp.add_pipe("textcat")
    nlp.add_pipe(NAME, config=settings(tiny_base("llama")))
    assert optimizer_of(nlp) == SPACY_DEFAULT


def test_without_an_adapter_the_default_stays(tiny_base):
    nlp = spacy.blank("en")
    config = settings(tiny_base("llama"))
    config["model"]["lora"] = None
    nlp.add_pipe(NAME, config=config)
    assert optimizer_of(nlp) == SPACY_DEFAULT
    assert nlp.get_pipe(NAME).create_optimizer().learn_rate == 0.001


def test_a_high_rate_is_named_once(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    nlp.initialize(lambda: examples(nlp))
    sgd = Adam(0.001)
    (found,) = caught(nlp, sgd, updates=2)
    assert "0.001" in found and "0.0003" in found and "alpha = 64" in found
    # The optimizer is used as it is.
    assert sgd.learn_rate == 0.001
    assert caught(nlp, Adam(0.002)) == []


@pytest.mark.parametrize(
    "optimizer, is_high",
    [
        (Adam(4e-4), False),
        (Adam(5e-4), True),
        (RAdam(5e-4), True),
        # Schedules may be higher: the project's own configs reach 5e-4.
        (Adam(cosine_warmup(5e-4, 1)), False),
        (Adam(cosine_warmup(1e-3, 1)), True),
        # The first steps of a warm-up are low.
        (Adam(cosine_warmup(1e-3, 100)), False),
        # The rate of plain gradient descent has another meaning.
        (SGD(0.1), False),
        # What `nlp.rehearse` passes.
        (lambda key, weights, gradient: (weights, gradient), False),
    ],
)
def test_which_rates_are_high(optimizer, is_high):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", GennerWarning)
        assert warn_if_rate_is_high(optimizer, 64, NAME) == is_high
    assert len(found) == is_high


def test_the_limit_is_that_of_the_adapter(tiny_base):
    """A higher alpha has a lower limit."""
    nlp = pipeline(tiny_base("llama"), rank=4, alpha=512)
    nlp.initialize(lambda: examples(nlp))
    (found,) = caught(nlp, Adam(2e-4))
    assert "3.7e-05" in found and "alpha = 512" in found


def test_the_draft_head_has_a_rate_of_its_own(tiny_base):
    nlp = pipeline(tiny_base("llama"), rank=4, alpha=512)
    nlp.initialize(lambda: examples(nlp))
    pipe = nlp.get_pipe(NAME)
    nlp.update(examples(nlp))
    texts = pipe.read_for_draft_head(examples(nlp))
    with warnings.catch_warnings():
        warnings.simplefilter("error", GennerWarning)
        pipe.update_draft_head(texts, sgd=Adam(5e-4))
