"""The labels of the component, from the config, the data and `add_label`."""

import json

import pytest
from component_cases import (
    LABELS,
    NAME,
    component,
    found,
    make_doc,
    make_example,
    make_examples,
    pipeline,
    results,
)

from spacy_genner.errors import GennerWarning


def test_no_labels(tiny_base):
    nlp = pipeline(tiny_base("llama"), labels=None)
    assert component(nlp).labels == ()
    for annotate in (nlp, lambda text: list(nlp.pipe([text]))):
        with pytest.raises(ValueError, match=f"G410.*{NAME}"):
            annotate("Lisbon")
    with pytest.raises(ValueError, match="G410"):
        component(nlp).update([make_example(nlp, "Lisbon", [(0, 1, "GPE")])])
    # Without examples spaCy creates a placeholder, which has no spans.
    with pytest.raises(ValueError, match="G307.*'sc'"):
        nlp.initialize()
    with pytest.raises(ValueError, match="G411"):
        nlp.initialize(lambda: [make_example(nlp, "It rains", [])])


def test_implicit_labels(tiny_base):
    nlp = pipeline(tiny_base("llama"), labels=None)
    nlp.initialize(lambda: make_examples(nlp))
    assert component(nlp).labels == ("GPE", "ORG")
    assert component(nlp).label_data == ["GPE", "ORG"]
    # With other data, new labels are appended.
    more = [make_example(nlp, "Maria lives", [(0, 1, "A")])]
    nlp.initialize(lambda: more)
    assert component(nlp).labels == ("GPE", "ORG", "A")


def test_labels_added_before_initialize(tiny_base):
    nlp = pipeline(tiny_base("llama"), labels=None)
    pipe = component(nlp)
    assert pipe.add_label("PERSON") == 1
    assert pipe.add_label("ORG", "a company") == 1
    assert pipe.add_label("PERSON") == 0
    with pytest.warns(GennerWarning, match="W301"):
        nlp.initialize()
    assert pipe.labels == ("PERSON", "ORG")
    assert pipe.label_data == {"PERSON": "", "ORG": "a company"}
    # Labels of the data are added to them.
    nlp.initialize(lambda: make_examples(nlp))
    assert pipe.labels == ("PERSON", "ORG", "GPE")


def test_a_label_added_after_first_use(tiny_base):
    """No weights depend on the number of labels."""
    nlp = pipeline(tiny_base("llama"), labels=["ORG"])
    pipe = component(nlp)
    doc = make_doc(nlp, "Lisbon")
    nlp(doc)
    assert {label for _, _, label in found(doc)} <= {"ORG"}
    example = make_example(nlp, "Lisbon", [(0, 1, "GPE")])
    with pytest.raises(ValueError, match="G303"):
        pipe.update([example])
    pipe.add_label("GPE")
    assert pipe.update([example])[NAME] > 0
    # Prompt and scores are those of a component created with both labels.
    fresh = pipeline(tiny_base("llama"), labels=["ORG", "GPE"])
    assert results(nlp) == results(fresh)


def test_explicit_labels(tiny_base):
    """Explicit labels are a closed set: another label in the data is an error."""
    nlp = pipeline(tiny_base("llama"), labels={"GPE": "a place", "ORG": ""})
    pipe = component(nlp)
    assert pipe.labels == ("GPE", "ORG")
    nlp.initialize(lambda: make_examples(nlp))
    assert pipe.label_data == {"GPE": "a place", "ORG": ""}
    other = make_examples(nlp) + [make_example(nlp, "Maria lives", [(0, 1, "PERSON")])]
    with pytest.raises(ValueError, match="G303.*PERSON.*Maria"):
        nlp.initialize(lambda: other)
    # The labels of `initialize` override those of the config.
    pipe.initialize(lambda: other, labels=["PERSON", "GPE", "ORG"])
    assert pipe.labels == ("PERSON", "GPE", "ORG")
    with pytest.raises(ValueError, match="G303.*ORG"):
        pipe.initialize(lambda: other, labels=["PERSON", "GPE"])


def test_read_labels(tiny_base, tmp_path):
    """`initialize` reads the files that `spacy init labels` writes."""
    nlp = pipeline(tiny_base("llama"), labels=None)
    for data, labels in (
        (["B-cell:x", "GPE", "ORG"], ("B-cell:x", "GPE", "ORG")),
        ({"ORG": "a company", "GPE": "", "B-cell:x": "a # cell"}, None),
    ):
        path = tmp_path / "labels.json"
        path.write_text(json.dumps(data))
        reader = {"@readers": "spacy.read_labels.v1", "path": str(path)}
        nlp.config["initialize"]["components"][NAME] = {"labels": reader}
        nlp.initialize(lambda: make_examples(nlp))
        assert component(nlp).labels == (labels or tuple(data))
        assert component(nlp).label_data == data


def test_labels_of_every_source_are_checked(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    pipe = component(nlp)
    with pytest.raises(ValueError, match="G003"):
        pipe.add_label("A|B")
    with pytest.raises(ValueError, match="G003"):
        pipe.initialize(lambda: make_examples(nlp), labels=["ORG", "GPE", "]"])
    with pytest.raises(ValueError, match="G419"):
        pipe.initialize(lambda: make_examples(nlp), labels="ORG")
    open_set = pipeline(tiny_base("llama"), labels=None)
    bad = [make_example(nlp, "Lisbon", [(0, 1, "[x]")])]
    with pytest.raises(ValueError, match="G003"):
        component(open_set).initialize(lambda: bad)
    for label, definition, code in (
        ("A", "two\nlines", "G420"),
        ("A", None, "G419"),
        ("A\udcff", "", "G991"),
        ("A", "\ud800", "G991"),
    ):
        for give in (
            lambda label, text: pipe.add_label(label, text),
            lambda label, text: pipe.set_labels({label: text}),
            lambda label, text: pipe.initialize(
                lambda: make_examples(nlp), labels={label: text}
            ),
        ):
            with pytest.raises(ValueError, match=code):
                give(label, definition)
    doc = make_doc(nlp, "Lisbon")
    doc._.genner_labels = {"A": "\ud800"}
    with pytest.raises(ValueError, match="G991"):
        nlp(doc)
    # The refused labels have changed nothing.
    assert pipe.labels == tuple(LABELS) and component(open_set).labels == ()


def test_the_order_of_labels_matters(tiny_base):
    """The prompt lists the labels in order, and saved data keep the order."""
    one = pipeline(tiny_base("llama"), labels=["GPE", "ORG"])
    two = pipeline(tiny_base("llama"), labels=["ORG", "GPE"])
    with pytest.warns(GennerWarning, match="W404.*'labels'"):
        two.from_bytes(one.to_bytes())
    assert component(two).labels == ("GPE", "ORG")
    assert results(two) == results(one)


def test_the_prompt_contains_definitions(tiny_base):
    nlp = pipeline(tiny_base("llama"), labels={"ORG": "a company", "GPE": ""})
    predictor = component(nlp).predictor
    decoded = component(nlp).lm.tokenizer.decode(predictor.encoder.prefix_ids)
    assert "Labels:\n- ORG: a company\n- GPE\n" in decoded
