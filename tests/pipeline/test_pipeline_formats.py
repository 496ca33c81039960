"""The component with each of the five output formats."""

import pytest
from component_cases import (
    LABELS,
    NESTED,
    TEXTS,
    component,
    found,
    make_doc,
    make_example,
    overfit,
    pipeline,
    result,
    results,
)

from spacy_genner.decoding.batcher import DecodingResult, ScoredSpan
from spacy_genner.decoding.decoder import StepDecoder
from spacy_genner.errors import GennerWarning
from spacy_genner.formats import FORMATS, CharSpan, get_format

JSON = [name for name in FORMATS if name.endswith("json")]
# "Lisbon" occurs twice, and only one occurrence is a span.
AMBIGUOUS = TEXTS[0][0]
CROSSING = [("University of Porto city", [(0, 3, "ORG"), (2, 4, "GPE")])]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("texts", [TEXTS, NESTED], ids=["flat", "nested"])
def test_a_corpus_is_overfitted(tiny_base, name, texts):
    base = tiny_base("llama", "bytelevel")
    nlp = pipeline(base, format=name, readings=2)
    losses = overfit(nlp, texts, steps=60)
    assert losses[-1] < 0.1 * losses[0]
    assert component(nlp).gold_counts().skipped == {}
    for text, spans in texts:
        doc = nlp(make_doc(nlp, text))
        gold = [
            CharSpan(doc[start].idx, doc[start:end].end_char, label)
            for start, end, label in spans
        ]
        assert get_format(name).unsayable(text, gold) == []
        assert sorted(found(doc)) == sorted(spans)
        ambiguous = name == "grouped_json" and text == AMBIGUOUS
        assert doc.spans["sc"].attrs["status"] == ("repaired" if ambiguous else "ok")
        assert len(doc.spans["sc"].attrs["scores"]) == len(doc.spans["sc"])
    again = pipeline(base, format=name, readings=2).from_bytes(nlp.to_bytes())
    assert results(again, texts) == results(nlp, texts)
    component(again).decoder = StepDecoder()
    for step, draft in zip(results(again, texts), results(nlp, texts), strict=True):
        assert (step[0], step[2:]) == (draft[0], draft[2:])
        assert step[1] == pytest.approx(draft[1], abs=1e-4)


@pytest.mark.parametrize("name", JSON)
def test_json_has_no_bias_of_opening(tiny_base, name):
    decoder = {"@misc": "spacy-genner.StepDecoder.v1", "opening_bias": 1.0}
    nlp = pipeline(tiny_base("llama", "bytelevel"), format=name, decoder=decoder)
    with pytest.raises(ValueError, match=f"G429.*1.0.*{name}"):
        nlp(make_doc(nlp, "Lisbon"))


@pytest.mark.parametrize("name", JSON)
def test_json_represents_crossing_spans(tiny_base, name):
    nlp = pipeline(tiny_base("llama", "bytelevel"), format=name, crossing="refuse")
    overfit(nlp, CROSSING, steps=60)
    doc = nlp(make_doc(nlp, CROSSING[0][0]))
    assert found(doc) == CROSSING[0][1]
    # Entities cannot overlap, so the longer span is kept.
    assert [ent.text for ent in doc.ents] == ["University of Porto"]


def test_spans_that_are_not_representable_are_refused_or_dropped(tiny_base):
    """`grouped_json` assigns a string to its first occurrence, so it cannot represent
    the second one alone."""
    text, spans = "Porto and Porto", [(2, 3, "GPE")]
    base = tiny_base("llama", "bytelevel")
    nlp = pipeline(base, format="grouped_json", crossing="refuse")
    example = make_example(nlp, text, spans)
    nlp.initialize(lambda: [example])
    with pytest.raises(ValueError, match="G305"):
        nlp.update([example])
    nlp = pipeline(base, format="grouped_json", crossing="drop")
    nlp.initialize(lambda: [example])
    with pytest.warns(GennerWarning, match="W302.*cannot be represented"):
        nlp.update([example])
    assert component(nlp).gold_counts().skipped == {"unsayable": 1}


def test_training_of_grouped_json_keeps_the_maximum_depth(tiny_base):
    text, spans = "the University of Porto", [(0, 4, "ORG"), (3, 4, "GPE")]
    base = tiny_base("llama", "bytelevel")
    nlp = pipeline(base, format="grouped_json", crossing="refuse", max_depth=1)
    example = make_example(nlp, text, spans)
    nlp.initialize(lambda: [example])
    with pytest.raises(ValueError, match="G305.*'Porto'.*max_depth"):
        nlp.update([example])
    nlp = pipeline(base, format="grouped_json", crossing="refuse", max_depth=2)
    nlp.initialize(lambda: [example])
    nlp.update([example])
    assert component(nlp).gold_counts().skipped == {}


class AmbiguousDecoder:
    """A decoder that returns one span with an ambiguous position."""

    def decode(self, engine, tasks):
        spans = (ScoredSpan(0, 1, 1, 0.5, doubtful=True),)
        return [DecodingResult((), spans, (), 0, 0) for _ in tasks]


def test_an_ambiguous_position_is_reported(tiny_base):
    nlp = pipeline(tiny_base("llama", "bytelevel"), format="grouped_json")
    component(nlp).decoder = AmbiguousDecoder()
    spans, _, status, issues, _ = result(nlp(make_doc(nlp, "Porto and Porto")))
    assert spans == [(0, 1, LABELS[1])]
    assert status == "repaired"
    assert [issue["code"] for issue in issues] == ["ambiguous_place"]


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize("label", ["A|B", " x", "[", "two\nlines"])
def test_json_accepts_labels_that_markup_does_not(tiny_base, name, label):
    nlp = pipeline(tiny_base("llama", "bytelevel"), format=name, labels=[label])
    doc = nlp(make_doc(nlp, "x y"))
    assert {span.label_ for span in doc.spans["sc"]} <= {label}
