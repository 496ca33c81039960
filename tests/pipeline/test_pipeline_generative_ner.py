"""Creation of the component, its settings, and evaluation."""

import json
import warnings

import pytest
import spacy
import torch
from component_cases import (
    NAME,
    FixedDecoder,
    component,
    make_doc,
    make_examples,
    pipeline,
    results,
    trained_pipeline,
)
from safetensors.torch import load_file, save_file
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


def test_analyze_pipes_knows_what_is_assigned(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    assigned = nlp.analyze_pipes()["summary"][NAME]["assigns"]
    expected = {"doc.spans", "doc.ents", "token.ent_iob", "token.ent_type"}
    assert set(assigned) == expected


def test_load_prepares_the_first_use(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    pipe = component(nlp)
    assert not pipe.lm.is_loaded
    assert pipe.load() is pipe
    assert pipe.lm.is_loaded
    engine = pipe.predictor.engine()
    nlp("Maria lives in Porto .")
    assert pipe.predictor.engine() is engine
    with pytest.raises(ValueError, match="G410"):
        component(pipeline(tiny_base("llama"), labels=None)).load()


@pytest.mark.parametrize("set_ents", ["outer", "inner", "none"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_blocked_tokens_stay_blocked(tiny_base, set_ents, overwrite):
    text = "the University of Porto and Lisbon"
    nlp = pipeline(tiny_base("llama"), set_ents=set_ents, overwrite_ents=overwrite)
    spans = [(1, 4, 0, 0.9), (3, 4, 1, 0.8), (5, 6, 1, 0.7)]
    component(nlp).decoder = FixedDecoder({text: spans})
    doc = make_doc(nlp, text)
    doc.set_ents([], blocked=[doc[2:4]], default="missing")
    doc = nlp(doc)
    assert [(t.ent_iob_, t.ent_type_) for t in doc[2:4]] == [("B", ""), ("B", "")]
    assert [ent.text for ent in doc.ents] == ([] if set_ents == "none" else ["Lisbon"])
    # The group has all spans.
    assert len(doc.spans["sc"]) == 3


def test_a_sourced_component_with_a_new_label_names_the_remedy(tiny_base, tmp_path):
    base = tiny_base("llama")
    trained = trained_pipeline(base)
    trained.to_disk(tmp_path / "best")
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME, source=spacy.load(tmp_path / "best"))
    example = make_examples(nlp, [("Maria rains", [(0, 1, "PERSON")])])
    with pytest.raises(ValueError, match="G348.*'PERSON'.*source.*adapter.*add_label"):
        nlp.update(example)
    # In Python.
    component(nlp).add_label("PERSON")
    nlp.update(example)
    # In a config: a new component that continues from the adapter.
    folder = tmp_path / "best" / NAME / "adapter"
    nlp = pipeline(base, labels=["ORG", "GPE", "PERSON"])
    nlp.config["initialize"]["components"][NAME] = {"adapter": str(folder)}
    examples = make_examples(nlp) + make_examples(nlp, [("Ana", [(0, 1, "PERSON")])])
    nlp.initialize(lambda: examples)
    nlp.update(examples)


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens", "o_proj.nothing"])
def test_an_adapter_that_does_not_fit_is_refused_when_it_is_given(
    tiny_base, tmp_path, target
):
    trained = component(trained_pipeline(tiny_base("llama"))).lm
    trained.save(tmp_path / "a")
    file = tmp_path / "a" / "adapter_config.json"
    config = json.loads(file.read_text())
    config["target_modules"].append(target)
    if target == "o_proj.nothing":
        # Found by comparing with the base.
        config["target_modules"] = ["q_proj"]
    file.write_text(json.dumps(config))
    # Without the checksum that only this project saves.
    weights = tmp_path / "a" / "adapter_model.safetensors"
    save_file(load_file(weights), weights)
    nlp = pipeline(tiny_base("llama"))
    if target != "o_proj.nothing":
        with pytest.raises(ValueError, match=f"G256.*{target}"):
            component(nlp).lm.load(tmp_path / "a")
        assert not component(nlp).lm.is_loaded
    settings = {"adapter": str(tmp_path / "a")}
    nlp.config["initialize"]["components"][NAME] = settings
    with pytest.raises(ValueError, match="G25[56]"):
        nlp.initialize(lambda: make_examples(nlp))
