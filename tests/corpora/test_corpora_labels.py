"""Collecting the labels of examples, and checking them against the allowed labels."""

import pytest
import spacy
from component_cases import component, make_example, make_examples, pipeline
from spacy.tokens import Doc
from spacy.training import Example

from spacy_genner.corpora.docbin import UNALIGNED
from spacy_genner.corpora.labels import collect_labels
from spacy_genner.errors import GennerWarning

ALLOWED = {"ORG": "", "GPE": ""}


def lost(nlp, label):
    """An example with an unaligned span."""
    example = make_example(nlp, "Lisbon-based firms", [(0, 1, "GPE")])
    example.reference.user_data[UNALIGNED] = [[0, 6, label]]
    return example


def test_labels_of_unaligned_spans_are_collected():
    nlp = spacy.blank("en")
    examples = [lost(nlp, "ORG"), lost(nlp, "STATE")]
    assert collect_labels(lambda: examples, "sc", None) == ["GPE", "ORG", "STATE"]
    assert collect_labels(lambda: examples[:1], "sc", ALLOWED) == ["GPE", "ORG"]
    match = r"G303.*'STATE'.*'Lisbon'.*\['ORG', 'GPE'\]"
    with pytest.raises(ValueError, match=match):
        collect_labels(lambda: examples, "sc", ALLOWED)


def test_unaligned_spans_belong_to_the_group():
    """Unaligned spans of a corpus with another group are ignored."""
    nlp = spacy.blank("en")
    examples = [make_example(nlp, "It rains", []), lost(nlp, "STATE")]
    examples[1].reference.spans["own"] = examples[1].reference.spans.pop("sc")
    with pytest.warns(GennerWarning, match="W303.*the 2 training"):
        assert collect_labels(lambda: examples, "sc", ALLOWED, False) == []


def test_labels_outside_a_closed_set_are_errors(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    pipe = component(nlp)
    match = r"G303.*'STATE'.*'Lisbon'.*\['ORG', 'GPE'\]"
    with pytest.raises(ValueError, match=match):
        nlp.initialize(lambda: [lost(nlp, "STATE")])
    nlp.initialize(lambda: [lost(nlp, "ORG")])
    assert pipe.labels == ("ORG", "GPE")
    with pytest.raises(ValueError, match=match):
        pipe.update([lost(nlp, "STATE")])


def placeholder(nlp, words=("x", "y", "z")):
    """The example that spaCy creates without data."""
    return Example.from_dict(Doc(nlp.vocab, words=list(words)), {})


@pytest.mark.parametrize(
    "examples, allowed",
    [
        (lambda nlp: [placeholder(nlp)], None),
        (lambda nlp: [placeholder(nlp), *make_examples(nlp)], ALLOWED),
    ],
)
def test_some_data_without_the_group_gives_a_warning(examples, allowed):
    made = examples(spacy.blank("en"))
    with pytest.warns(GennerWarning, match="W301"):
        collect_labels(lambda: made, "sc", allowed, required=False)


@pytest.mark.parametrize("allowed", [None, ALLOWED])
@pytest.mark.parametrize(
    "examples",
    [
        lambda nlp: [placeholder(nlp), placeholder(nlp)],
        lambda nlp: [placeholder(nlp, ["x", "y"])],
        lambda nlp: make_examples(nlp, key="own"),
    ],
)
def test_data_of_another_group_is_an_error_with_known_labels(examples, allowed):
    made = examples(spacy.blank("en"))
    with pytest.raises(ValueError, match="G307.*'sc'"):
        collect_labels(lambda: made, "sc", allowed, required=False)


def test_a_component_with_labels_does_not_train_on_another_group(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    with pytest.raises(ValueError, match="G307.*'sc'"):
        nlp.initialize(lambda: make_examples(nlp, key="own"))


@pytest.mark.parametrize("allowed", [None, ALLOWED])
def test_texts_without_any_entity_give_a_warning(allowed):
    """Such texts may be intended, so they are no error if the group exists."""
    nlp = spacy.blank("en")
    made = [make_example(nlp, text, []) for text in ("It rains", "It snows")]
    with pytest.warns(GennerWarning, match="W303.*the 2 training.*'sc'"):
        assert collect_labels(lambda: made, "sc", allowed, required=False) == []
    # If the examples have to provide the labels, another error reports their absence.
    assert collect_labels(lambda: made, "sc", None) == []


def test_no_data_and_closed_labels_need_no_warning(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    # The tests turn the warnings of the project into errors.
    assert collect_labels(lambda: [placeholder(nlp)], "sc", ALLOWED, False) == []
    nlp.initialize()
    assert component(nlp).labels == ("ORG", "GPE")
