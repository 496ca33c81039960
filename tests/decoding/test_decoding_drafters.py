"""The drafters, and the draft head that is trained and saved with the adapter."""

from contextlib import contextmanager

import pytest
import spacy
from component_cases import (
    NAME,
    NESTED,
    RATE,
    TEXTS,
    component,
    make_doc,
    make_examples,
    overfit,
    pipeline,
    results,
    trained_pipeline,
)
from spacy.tokens import Span
from thinc.api import Adam

from spacy_genner.decoding.decoder import CopyDrafter, DocSpansDrafter


@contextmanager
def counting(nlp):
    """Yields the number of passes of each document that is decoded in the block."""
    decoder = component(nlp).decoder
    passes = []

    def decode(engine, tasks):
        done = type(decoder).decode(decoder, engine, tasks)
        passes.extend(each.passes for each in done)
        return done

    decoder.decode = decode
    try:
        yield passes
    finally:
        del decoder.decode


def counted(nlp, texts=TEXTS):
    """The results, and the number of passes of all documents."""
    with counting(nlp) as passes:
        found = results(nlp, texts)
    return found, sum(passes)


def test_the_adapter_trains_as_if_there_were_no_head(tiny_base):
    base = tiny_base("llama")
    plain = pipeline(base, model__draft_head=False)
    headed = pipeline(base)
    assert overfit(plain, NESTED, steps=5) == overfit(headed, NESTED, steps=5)
    assert component(plain).lm.to_bytes() == component(headed).lm.to_bytes()
    assert component(plain).lm.drafting.to_bytes() == b""
    assert component(headed).lm.drafting.to_bytes() != b""


@pytest.mark.parametrize("texts", [TEXTS, NESTED], ids=["flat", "nested"])
def test_a_trained_head_saves_passes(tiny_base, texts):
    nlp = trained_pipeline(tiny_base("llama"), texts)
    drafted, fewer = counted(nlp, texts)
    component(nlp).decoder.drafter = CopyDrafter()
    copied, more = counted(nlp, texts)
    assert drafted == copied
    assert fewer < more


def test_the_head_is_saved_with_the_component(tiny_base, tmp_path):
    base = tiny_base("llama")
    nlp = trained_pipeline(base)
    expected = counted(nlp)
    weights = component(nlp).lm.drafting.to_bytes()
    nlp.to_disk(tmp_path / "pipeline")
    copies = [
        spacy.load(tmp_path / "pipeline"),
        pipeline(base).from_bytes(nlp.to_bytes()),
        nlp.__class__.from_config(nlp.config).from_bytes(nlp.to_bytes()),
    ]
    for other in copies:
        assert component(other).lm.drafting.to_bytes() == weights
        assert counted(other) == expected
    # Annotation is the same without the head.
    (tmp_path / "pipeline" / NAME / "draft_head.safetensors").unlink()
    without = counted(spacy.load(tmp_path / "pipeline"))
    assert without[0] == expected[0]
    assert without[1] > expected[1]


def test_the_error_names_a_damaged_head(tiny_base, tmp_path):
    trained_pipeline(tiny_base("llama")).to_disk(tmp_path)
    (tmp_path / NAME / "draft_head.safetensors").write_bytes(b"not a draft head")
    nlp = spacy.load(tmp_path)
    with pytest.raises(ValueError, match=r"\[G264\].*draft_head\.safetensors"):
        nlp(make_doc(nlp, "Maria lives in Porto ."))


def test_a_new_adapter_or_label_drops_the_head(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    pipe = component(nlp)
    pipe.lm.reset_adapter()
    assert pipe.lm.drafting.to_bytes() == b""
    nlp = trained_pipeline(tiny_base("llama"))
    pipe = component(nlp)
    expected = results(nlp)
    pipe.add_label("PER")
    assert pipe.predictor.engine().draft_head is None
    sgd = Adam(RATE)
    examples = make_examples(nlp)
    for _ in range(2):
        nlp.update(examples, sgd=sgd)
    assert pipe.predictor.engine().draft_head.labels == 3
    assert len(results(nlp)) == len(expected)


def test_spans_of_an_earlier_component_are_the_draft(tiny_base):
    nlp = trained_pipeline(tiny_base("llama"))
    component(nlp).decoder.drafter = DocSpansDrafter("earlier")
    for known in (True, False):
        docs = [make_doc(nlp, text) for text, _ in TEXTS]
        for doc, (_, spans) in zip(docs, TEXTS, strict=True):
            if known:
                doc.spans["earlier"] = [Span(doc, *span) for span in spans]
        with counting(nlp) as passes:
            groups = [nlp(doc).spans["sc"] for doc in docs]
        found = [{(s.start, s.end, s.label_) for s in group} for group in groups]
        assert found == [set(spans) for _, spans in TEXTS]
        # Without the group the head drafts.
        assert (passes == [1] * len(TEXTS)) is known


def test_entities_can_be_the_draft():
    doc = spacy.blank("en")("Maria lives in Porto.")
    drafter = DocSpansDrafter(None)
    assert drafter.expected(doc) is None
    doc.set_ents([Span(doc, 3, 4, "GPE")])
    assert [span.text for span in drafter.expected(doc)] == ["Porto"]


def test_the_group_of_a_drafter_is_a_name():
    with pytest.raises(ValueError, match=r"\[G407\].*spans_key"):
        DocSpansDrafter(3)
