"""Creation of the component, its settings, and evaluation."""

import warnings

import pytest
import spacy
import torch
from component_cases import (
    NAME,
    component,
    make_doc,
    make_examples,
    pipeline,
    results,
    trained_pipeline,
)
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Adam

from spacy_genner.errors import GennerWarning


def test_weights_are_loaded_at_first_use(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    lm = component(nlp).lm
    nlp("")
    list(nlp.pipe(["", ""]))
    component(nlp).to_bytes()
    assert not lm.is_loaded
    nlp("Lisbon")
    assert lm.is_loaded


def test_weights_are_loaded_by_initialize(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    nlp.initialize(lambda: make_examples(nlp))
    assert component(nlp).lm.is_loaded


def test_a_missing_base(tmp_path):
    """The error is raised at first use and not when the pipeline is created."""
    nlp = pipeline(tmp_path / "no-such-base")
    with pytest.raises(ValueError, match="G202"):
        nlp("Lisbon")


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"set_ents": "all"}, "G407.*set_ents.*all.*outer"),
        ({"crossing": "ignore"}, "G407.*crossing.*ignore.*refuse"),
        ({"window": {"unit": "page"}}, "G401"),
        ({"window": {"size": 5}}, "G403"),
        ({"loss": "crf"}, "G408.*crf"),
        ({"loss": {"lm": 0.0}}, "G408"),
        ({"loss": {"constrained": 1.0, "other": 1.0}}, "G408"),
        ({"loss": {"constrained": -1.0, "lm": 2.0}}, "G408"),
        ({"labels": ["[A]"]}, "G003.*A"),
        ({"labels": ["A B", ""]}, "G003"),
        ({"labels": ["A B"], "format": "inline_xml"}, "G003.*A B"),
        ({"labels": ["A", "A"]}, "G421"),
        ({"labels": {"A": "one\ntwo"}}, "G42[02]"),
        ({"labels": {"B-cell:x": "a cell"}}, "G422.*read_labels"),
        ({"labels": {"A": "${paths}"}}, "G422"),
        ({"format": "csv"}, "G005"),
        ({"readings": 3}, "G104"),
        ({"model__merge": "always"}, "G243"),
        ({"model__lora": {"rank": 0}}, "G241"),
        ({"decoder": {"batch_tokens": 0}}, "G106"),
    ],
)
def test_settings_are_checked_when_the_component_is_created(tmp_path, changes, code):
    with pytest.raises(ValueError, match=code):
        pipeline(tmp_path / "nowhere", **changes)


def test_another_spans_key(tiny_base):
    nlp = pipeline(tiny_base("llama"), spans_key="mine")
    examples = make_examples(nlp, key="mine")
    with pytest.warns(GennerWarning, match="W401.*'mine'.*spans_mine_f"):
        nlp.initialize(lambda: examples)
    doc = nlp("Lisbon")
    assert list(doc.spans) == ["mine"] and doc.spans["mine"].name == "mine"
    with pytest.raises(ValueError, match="G307.*mine"):
        with pytest.warns(GennerWarning, match="W401"):
            fresh = pipeline(tiny_base("llama"), spans_key="mine", labels=None)
            fresh.initialize(lambda: make_examples(fresh))


@pytest.mark.parametrize("named", [None, "mine"])
def test_the_scorer_uses_the_spans_key_of_the_component(tiny_base, named):
    scorer = {"@scorers": "spacy-genner.span_scorer.v1", "spans_key": named}
    nlp = pipeline(tiny_base("llama"), spans_key="mine", scorer=scorer)
    scores = nlp.evaluate(make_examples(nlp, key="mine"))
    assert 0.0 <= scores["spans_mine_f"] <= 1.0 and "spans_sc_f" not in scores


def test_requirements_of_a_pipeline(tiny_base):
    """`spacy package` requires the package with the weights. A folder requires
    nothing."""
    nlp = pipeline("pip:some-weights")
    with_folder = pipeline(tiny_base("llama"))
    assert nlp.meta["requirements"] == ["some-weights"]
    assert not with_folder.meta.get("requirements")
    nlp.add_pipe(NAME, name="second", config={"model": {"name": "pip:some-weights"}})
    assert nlp.meta["requirements"] == ["some-weights"]


def test_float64_and_float32_agree(tiny_base):
    one = trained_pipeline(tiny_base("llama"), model__dtype="float64")
    two = trained_pipeline(tiny_base("llama"))
    assert component(one).lm.dtype == torch.float64
    for first, second in zip(results(one), results(two), strict=True):
        assert first[0] == second[0]
        assert first[1] == pytest.approx(second[1], abs=1e-4)


def test_evaluation(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    examples = [
        Example(make_doc(nlp, example.reference.text), example.reference)
        for example in make_examples(nlp)
    ]
    scores = nlp.evaluate(examples)
    assert scores["spans_sc_f"] == scores["spans_sc_nested_f"] == 1.0
    assert set(scores["spans_sc_per_type"]) == {"ORG", "GPE"}


def _untrained_warnings(nlp, calls=2):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(calls):
            nlp("Lisbon hosts the University of Lisbon .")
            list(nlp.pipe(["Maria lives in Porto ."]))
    return [str(each.message) for each in caught if "[W407]" in str(each.message)]


@pytest.mark.parametrize("initialized", [False, True])
def test_an_untrained_adapter_warns_once(tiny_base, initialized):
    nlp = pipeline(tiny_base("llama"))
    if initialized:
        nlp.initialize(lambda: make_examples(nlp))
    found = _untrained_warnings(nlp)
    assert len(found) == 1
    remedies = ("genner train", "demonstrations", "lora = null", "adapter", NAME)
    assert all(remedy in found[0] for remedy in remedies)
    # Another component warns again.
    assert len(_untrained_warnings(pipeline(tiny_base("llama")))) == 1


def test_components_that_need_no_training_do_not_warn(tiny_base, tmp_path):
    base = tiny_base("llama")
    assert not _untrained_warnings(pipeline(base, model__lora=None))
    trained = trained_pipeline(base)
    assert not _untrained_warnings(trained)
    component(trained).lm.save(tmp_path / "adapter")
    nlp = pipeline(base)
    settings = {"adapter": str(tmp_path / "adapter")}
    nlp.config["initialize"]["components"][NAME] = settings
    nlp.initialize(lambda: make_examples(nlp))
    assert not _untrained_warnings(nlp)
    # An adapter that is given in Python.
    nlp = pipeline(base)
    component(nlp).lm.load(tmp_path / "adapter")
    assert not _untrained_warnings(nlp)
    trained.to_disk(tmp_path / "saved")
    assert not _untrained_warnings(spacy.load(tmp_path / "saved"))


def test_demonstrations_replace_training(tiny_base, tmp_path):
    nlp = pipeline(tiny_base("llama"))
    examples = make_examples(nlp)
    shown = DocBin(docs=[example.reference for example in examples[:1]])
    shown.to_disk(tmp_path / "shown.spacy")
    settings = {"demonstrations": str(tmp_path / "shown.spacy")}
    nlp.config["initialize"]["components"][NAME] = settings
    nlp.initialize(lambda: examples)
    assert not _untrained_warnings(nlp)


def test_the_evaluation_after_the_first_step_does_not_warn(tiny_base):
    """Its learning rate may be 0, so that the adapter has no effect yet."""
    nlp = pipeline(tiny_base("llama"))
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=Adam(0.0, L2=0.0))
    assert component(nlp).lm.is_untrained
    assert not _untrained_warnings(nlp)
