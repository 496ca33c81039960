"""The spans, attributes and entities that the component writes to documents."""

import gc
import shutil
import weakref

import numpy
import pytest
from component_cases import (
    NESTED,
    TEXTS,
    FixedDecoder,
    annotate_with,
    component,
    found,
    make_doc,
    perturb,
    pipeline,
    result,
    results,
    trained_pipeline,
)
from spacy.tokens import Doc, Span, SpanGroup
from spacy.tokens._dict_proxies import SpanGroups

THREE = "the Porto city hall"


def ents(doc):
    return [(ent.start, ent.end, ent.label_) for ent in doc.ents]


@pytest.mark.parametrize("texts", [TEXTS, NESTED], ids=["flat", "nested"])
def test_overfitting(tiny_base, texts):
    """Nested spans and two labels on the same tokens are learned as well."""
    nlp = trained_pipeline(tiny_base("llama"), texts)
    for text, spans in texts:
        doc = nlp(make_doc(nlp, text))
        assert sorted(found(doc)) == sorted(spans)
        scores = doc.spans["sc"].attrs["scores"]
        assert len(scores) == len(spans) and all(scores > 0.9)


def test_attributes_of_a_group(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    for text, spans in TEXTS:
        doc = nlp(make_doc(nlp, text))
        group = doc.spans["sc"]
        assert isinstance(group, SpanGroup) and group.name == "sc"
        assert set(group.attrs) == {"scores", "status", "issues"}
        scores = group.attrs["scores"]
        assert isinstance(scores, numpy.ndarray) and scores.dtype == numpy.float32
        assert scores.shape == (len(spans),)
        assert group.attrs["status"] == "ok" and group.attrs["issues"] == []
        # A Doc is serialized with the attributes of its groups.
        again = Doc(nlp.vocab).from_bytes(doc.to_bytes())
        assert result(again) == result(doc)


@pytest.mark.parametrize("text", ["", " ", "\n\n \t"])
def test_documents_without_words(tiny_base, text):
    nlp = pipeline(tiny_base("llama"))
    for doc in (nlp(text), *nlp.pipe([text, "Lisbon", text])):
        if doc.text == text:
            assert result(doc) == ([], [], "ok", [], [])
    # Other documents are annotated.
    assert len(nlp("Lisbon").spans["sc"]) > 0


def test_documents_of_one_token(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    for text in ("Lisbon", "x", "[", "<eos>"):
        doc = Doc(nlp.vocab, words=[text])
        nlp(doc)
        spans, scores, status, *_ = result(doc)
        assert status == "ok" and len(scores) == len(spans)
        assert {(start, end) for start, end, _ in spans} <= {(0, 1)}


def test_spans_exclude_white_space_at_their_edges(tiny_base):
    words = ["\n", "Lisbon", " ", "hosts", "\n\n", "it", "\t"]
    nlp = pipeline(tiny_base("llama"))
    # The grammar excludes white space, whatever the weights are.
    count = 0
    for seed in range(4):
        doc = perturb(nlp, seed)(Doc(nlp.vocab, words=words))
        count += len(doc.spans["sc"])
        for span in doc.spans["sc"]:
            assert not span[0].is_space and not span[-1].is_space
    assert count > 0


def test_order_of_spans(tiny_base):
    """Spans are sorted by start, then longest first, then by label order."""
    nlp = pipeline(tiny_base("llama"), labels=["ORG", "GPE"])
    spans = [(1, 2, "GPE", 0.5), (3, 4, "ORG", 0.9), (0, 4, "GPE", 0.8)]
    spans += [(1, 2, "ORG", 0.6), (1, 4, "GPE", 0.7)]
    doc = annotate_with(nlp, THREE, *spans)
    assert found(doc) == [
        (0, 4, "GPE"),
        (1, 4, "GPE"),
        (1, 2, "ORG"),
        (1, 2, "GPE"),
        (3, 4, "ORG"),
    ]
    scores = doc.spans["sc"].attrs["scores"]
    numpy.testing.assert_allclose(scores, [0.8, 0.7, 0.6, 0.5, 0.9], rtol=1e-6)
    # The order of the labels, not the alphabetical order.
    nlp = pipeline(tiny_base("llama"), labels=["GPE", "ORG"])
    doc = annotate_with(nlp, THREE, *spans)
    assert found(doc)[2:4] == [(1, 2, "GPE"), (1, 2, "ORG")]


def test_min_score_can_change_after_creation(tiny_base):
    """`spacy find-threshold` replaces `cfg`."""
    nlp = pipeline(tiny_base("llama"))
    spans = [(0, 4, "ORG", 0.5), (1, 2, "GPE", 0.75)]
    pipe = component(nlp)
    for min_score, expected in (
        (0.0, [(0, 4, "ORG"), (1, 2, "GPE")]),
        (0.5, [(0, 4, "ORG"), (1, 2, "GPE")]),
        (0.51, [(1, 2, "GPE")]),
        ("0.76", []),
    ):
        pipe.cfg = {**pipe.cfg, "min_score": min_score}
        doc = annotate_with(nlp, THREE, *spans)
        assert found(doc) == expected
        assert ents(doc) == expected[:1]
        assert len(doc.spans["sc"].attrs["scores"]) == len(expected)


@pytest.mark.parametrize(
    "set_ents, expected",
    [
        ("outer", [(0, 2, "GPE"), (3, 4, "GPE")]),
        ("inner", [(1, 2, "GPE"), (3, 4, "GPE")]),
        ("none", []),
    ],
)
def test_set_ents(tiny_base, set_ents, expected):
    nlp = pipeline(tiny_base("llama"), set_ents=set_ents)
    spans = [(0, 2, "ORG", 0.4), (0, 2, "GPE", 0.6), (1, 2, "GPE", 0.9)]
    # Among spans of equal length the most probable one is an entity.
    spans += [(3, 4, "ORG", 0.7), (3, 4, "GPE", 0.8)]
    doc = annotate_with(nlp, THREE, *spans)
    assert ents(doc) == expected
    assert len(doc.spans["sc"]) == 5
    # "none" leaves entities without annotation, not annotated as empty.
    assert doc.has_annotation("ENT_IOB") == (set_ents != "none")


def test_inner_entities_are_all_set(tiny_base):
    nlp = pipeline(tiny_base("llama"), set_ents="inner")
    spans = [(0, 4, "ORG", 0.9), (0, 1, "GPE", 0.2), (2, 4, "GPE", 0.3)]
    assert ents(annotate_with(nlp, THREE, *spans)) == [(0, 1, "GPE"), (2, 4, "GPE")]


@pytest.mark.parametrize("overwrite", [False, True])
def test_existing_entities(tiny_base, overwrite):
    nlp = pipeline(tiny_base("llama"), overwrite_ents=overwrite)
    pipe = component(nlp)
    pipe.decoder = FixedDecoder({THREE: [(1, 3, 0, 0.9), (3, 4, 1, 0.9)]})
    doc = make_doc(nlp, THREE)
    doc.set_ents([Span(doc, 2, 3, "OWN", kb_id="Q1")])
    nlp(doc)
    if overwrite:
        assert ents(doc) == [(1, 3, "ORG"), (3, 4, "GPE")]
    else:
        assert ents(doc) == [(2, 3, "OWN"), (3, 4, "GPE")]
        assert doc.ents[0].kb_id_ == "Q1"
    assert found(doc) == [(1, 3, "ORG"), (3, 4, "GPE")]


def test_the_group_is_replaced_and_others_stay(tiny_base):
    nlp = pipeline(tiny_base("llama"))
    doc = make_doc(nlp, THREE)
    doc.spans["other"] = [Span(doc, 0, 1, "X")]
    doc.spans["sc"] = [Span(doc, 0, 3, "OLD")]
    component(nlp).decoder = FixedDecoder({THREE: [(1, 2, 1, 0.9)]})
    nlp(doc)
    assert found(doc) == [(1, 2, "GPE")]
    assert found(doc, "other") == [(0, 1, "X")]


def test_predict_does_not_change_documents(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    docs = [make_doc(nlp, text) for text, _ in TEXTS]
    before = [doc.to_bytes() for doc in docs]
    predictions = component(nlp).predict(docs)
    assert [doc.to_bytes() for doc in docs] == before
    for (_, spans), prediction in zip(TEXTS, predictions, strict=True):
        assert [(s.start, s.end, s.label) for s in prediction.spans] == spans


def test_documents_are_freed(tiny_base):
    """A group does not keep its document in memory."""
    nlp = trained_pipeline(tiny_base("llama"))
    # The last text has no span.
    texts = [text for text, _ in TEXTS[:3]]
    groups = [doc.spans for doc in nlp.pipe([make_doc(nlp, text) for text in texts])]
    gc.collect()
    for spans in groups:
        assert isinstance(spans, SpanGroups)
        for group in spans.values():
            assert len(group) > 0
            with pytest.raises(RuntimeError):
                group[0]


def test_a_pipeline_is_freed(tiny_base, tmp_path):
    # A base of its own: fixtures of other tests may hold the shared one.
    base_folder = shutil.copytree(tiny_base("llama"), tmp_path / "base")
    nlp = perturb(pipeline(base_folder))
    results(nlp)
    base = weakref.ref(component(nlp).lm.base)
    gone = weakref.ref(component(nlp).lm)
    del nlp
    gc.collect()
    assert gone() is None and base() is None


def test_two_components_in_one_pipeline(tiny_base):
    """Each component writes to its own group. Entities of the first one stay."""
    nlp = trained_pipeline(tiny_base("llama"))
    config = component(nlp).cfg
    assert config["spans_key"] == "sc"
    other = pipeline(tiny_base("llama"), spans_key="mine", labels=["X"])
    component(other).decoder = FixedDecoder(
        {TEXTS[1][0]: [(0, 1, 0, 0.9), (3, 5, 0, 0.8)]}
    )
    nlp.add_pipe("generative_ner", name="second", source=other)
    doc = nlp(make_doc(nlp, TEXTS[1][0]))
    assert found(doc) == [(3, 4, "GPE")]
    assert found(doc, "mine") == [(0, 1, "X"), (3, 5, "X")]
    assert ents(doc) == [(0, 1, "X"), (3, 4, "GPE")]
