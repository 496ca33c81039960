"""The state of a component around the adapter that it starts from, and after errors."""

import json
import shutil

import pytest
import spacy
from component_cases import (
    NAME,
    TEXTS,
    component,
    found,
    make_doc,
    make_example,
    make_examples,
    pipeline,
    results,
    trained_pipeline,
)
from thinc.api import Adam

from spacy_genner.errors import GennerWarning


@pytest.fixture
def saved(tiny_base, tmp_path):
    trained_pipeline(tiny_base("llama")).to_disk(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def universal(saved, tmp_path):
    """The same adapter, as one that takes any labels."""
    folder = tmp_path / "universal"
    shutil.copytree(saved, folder)
    path = folder / NAME / "genner.json"
    state = json.loads(path.read_text(encoding="utf8"))
    path.write_text(json.dumps(state | {"any_labels": True}), encoding="utf8")
    return folder


def train(nlp):
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=Adam(0.001))
    return nlp


def test_a_label_that_was_added_is_saved(universal, tmp_path):
    nlp = spacy.load(universal)
    component(nlp).add_label("PERSON", "A person.")
    nlp.to_disk(tmp_path / "more")
    for loaded in (
        spacy.load(tmp_path / "more"),
        spacy.load(universal).from_bytes(nlp.to_bytes()),
    ):
        assert component(loaded).labels == ("ORG", "GPE", "PERSON")


def test_training_again_fixes_the_labels(universal, tiny_base, tmp_path):
    """Also of a pipeline that was saved and loaded meanwhile."""
    nlp = train(pipeline(tiny_base("llama"), model__adapter=str(universal)))
    assert not component(nlp).takes_any_labels
    nlp.to_disk(tmp_path / "first")
    again = train(spacy.load(tmp_path / "first"))
    assert not component(again).takes_any_labels
    assert not component(again)._state_data()["any_labels"]


def test_labels_of_the_data_whether_used_before_or_not(saved, tiny_base):
    for used in (False, True):
        nlp = pipeline(tiny_base("llama"), labels=None, model__adapter=str(saved))
        if used:
            assert len(nlp("Lisbon")) == 1
            assert component(nlp).labels == ("ORG", "GPE")
        example = make_example(nlp, "Ana sings .", [(0, 1, "PER")])
        nlp.initialize(lambda: [example])  # noqa: B023
        assert component(nlp).labels == ("PER",)


def test_other_labels_than_those_of_the_adapter_to_start_from(saved, tiny_base):
    nlp = pipeline(
        tiny_base("llama"), labels=["city", "firm"], model__adapter=str(saved)
    )
    with pytest.warns(GennerWarning, match="W410.*city"):
        nlp("Lisbon")
    # Training is what other labels are for.
    nlp = pipeline(
        tiny_base("llama"), labels=["city", "firm"], model__adapter=str(saved)
    )
    examples = make_examples(nlp, [("Ana saw Porto .", [(2, 3, "city")])])
    nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=Adam(0.001))
    nlp("Lisbon")


def test_no_examples_change_nothing(saved):
    pipe = component(spacy.load(saved))
    assert pipe.update([]) == {NAME: 0.0}
    assert not pipe.takes_any_labels


def test_an_adapter_that_is_refused_changes_nothing(saved, tmp_path):
    nlp = spacy.load(saved)
    examples = make_examples(nlp)
    before = results(nlp)
    (tmp_path / "empty").mkdir()
    for wrong in ("missing", "empty"):
        with pytest.raises(ValueError, match=r"\[G25"):
            component(nlp).initialize(lambda: examples, adapter=str(tmp_path / wrong))
        assert results(nlp) == before


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_damaged_component_changes_nothing(saved, as_bytes):
    nlp = spacy.load(saved)
    before = results(nlp)
    data = component(nlp).to_bytes()
    path = saved / NAME / "genner.json"
    state = json.loads(path.read_text(encoding="utf8"))
    state["labels"].reverse()
    path.write_text(json.dumps(state), encoding="utf8")
    weights = saved / NAME / "adapter" / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    if as_bytes:
        index = data.rindex(bytes(weights.read_bytes()[-100:-1]))
        damaged = bytearray(data)
        damaged[index] ^= 1
    with pytest.raises(ValueError, match=r"\[G2"):
        if as_bytes:
            component(nlp).from_bytes(bytes(damaged))
        else:
            component(nlp).from_disk(saved / NAME)
    assert component(nlp).labels == ("ORG", "GPE")
    assert results(nlp) == before


def test_a_document_without_labels_fails_alone(universal, tiny_base):
    nlp = pipeline(tiny_base("llama"), labels=None, model__adapter=str(universal))
    component(nlp).set_labels(["ORG", "GPE"])
    component(nlp)._set_state(labels={})
    failures = []
    component(nlp).set_error_handler(
        lambda name, pipe, docs, error: failures.append((docs, str(error)))
    )
    docs = [make_doc(nlp, text) for text, _ in TEXTS[:3]]
    docs[0]._.genner_labels = docs[2]._.genner_labels = ["ORG", "GPE"]
    done = list(component(nlp).pipe(docs))
    assert [doc.spans["sc"].attrs["status"] for doc in done] == ["ok", "failed", "ok"]
    assert found(done[0]) and found(done[2])
    [(failed, message)] = failures
    assert failed == [docs[1]] and "G410" in message


@pytest.mark.parametrize("name", [["acme"], {"acme": 1}, 5, b"acme"])
def test_a_name_of_an_adapter_that_is_none_fails_alone(saved, name):
    nlp = spacy.load(saved)
    messages = []
    component(nlp).set_error_handler(lambda *args: messages.append(str(args[-1])))
    docs = [make_doc(nlp, text) for text, _ in TEXTS[:2]]
    docs[0]._.genner_adapter = name
    done = list(component(nlp).pipe(docs))
    assert [doc.spans["sc"].attrs["status"] for doc in done] == ["failed", "ok"]
    assert len(messages) == 1 and "G581" in messages[0]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("decoder", None),
        ("decoder", 5),
        ("verifier", 5),
        ("demonstrations", None),
        ("decoder", {"@misc": "spacy-genner.DraftDecoder.v1", "drafter": 3}),
    ],
)
def test_settings_that_registered_functions_make(tiny_base, setting, value):
    with pytest.raises(ValueError, match=rf"G407.*{setting}"):
        pipeline(tiny_base("llama"), **{setting: value})
