"""The draft head: trained beside the adapter, saved with it, and only ever a draft."""

from contextlib import contextmanager

import pytest
import spacy
import torch
from component_cases import (
    NAME,
    NESTED,
    RATE,
    TEXTS,
    component,
    learn,
    learnt,
    make_doc,
    make_examples,
    pipeline,
    results,
)
from spacy.tokens import Span
from thinc.api import Adam

from spacy_genner.decoding.decoder import CopyDrafter, DocSpansDrafter
from spacy_genner.models.draft_head import MAX_SPAN_LENGTH, DraftHead, HeadSpanProposer


@contextmanager
def counting(nlp):
    """The passes of each document that is decoded meanwhile."""
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
    """What is found, and in how many passes of all documents together."""
    with counting(nlp) as passes:
        found = results(nlp, texts)
    return found, sum(passes)


def test_a_head_learns_spans_of_any_length_and_nesting():
    torch.manual_seed(0)
    size = 3 * MAX_SPAN_LENGTH
    hidden = torch.randn(size, 16)
    spans = [(0, 3, 0), (1, 3, 1), (70, 70 + MAX_SPAN_LENGTH, 0), (size - 1, size, 1)]
    head = DraftHead(16, 2)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.001)
    for _ in range(200):
        optimizer.zero_grad()
        head.learn([(hidden, spans)]).backward()
        optimizer.step()
    guesser = HeadSpanProposer(head, hidden)
    assert guesser.likely_spans() == sorted(spans)
    assert guesser.best_ending(70, 71, size) == (70 + MAX_SPAN_LENGTH, 0)
    assert guesser.best_ending(1, 2, 3) == (3, 1)
    for start, first, last in [(5, 6, 9), (5, 9, 9), (0, size, size)]:
        end, label = guesser.best_ending(start, first, last)
        assert first <= end <= last
        assert label in (0, 1)


def test_spans_too_long_for_a_head_do_no_harm():
    hidden = torch.randn(MAX_SPAN_LENGTH + 9, 8)
    head = DraftHead(8, 1)
    with_it = head.loss(hidden, [(0, MAX_SPAN_LENGTH + 9, 0), (3, 5, 0)])
    assert torch.equal(with_it, head.loss(hidden, [(3, 5, 0)]))
    assert torch.isfinite(with_it)


def test_of_crossing_spans_the_likelier_one_is_drafted():
    head = DraftHead(4, 1)
    guesser = HeadSpanProposer(head, torch.randn(4, 4))
    odds = torch.full((4, 4, 1), -1.0)
    odds[0, 2], odds[1, 3], odds[1, 1] = 2.0, 3.0, 1.0
    head.logits = lambda *_: odds
    assert guesser.likely_spans() == [(1, 2, 0), (1, 4, 0)]


def test_the_adapter_is_trained_as_if_there_were_no_head(tiny_base):
    base = tiny_base("llama")
    plain = pipeline(base, model__draft_head=False)
    headed = pipeline(base)
    assert learn(plain, NESTED, steps=5) == learn(headed, NESTED, steps=5)
    assert component(plain).lm.to_bytes() == component(headed).lm.to_bytes()
    assert component(plain).lm.drafting.to_bytes() == b""
    assert component(headed).lm.drafting.to_bytes() != b""


@pytest.mark.parametrize("texts", [TEXTS, NESTED], ids=["flat", "nested"])
def test_a_trained_head_saves_passes(tiny_base, texts):
    nlp = learnt(tiny_base("llama"), texts)
    drafted, fewer = counted(nlp, texts)
    component(nlp).decoder.drafter = CopyDrafter()
    copied, more = counted(nlp, texts)
    assert drafted == copied
    assert fewer < more


def test_the_head_is_saved_with_the_component(tiny_base, tmp_path):
    base = tiny_base("llama")
    nlp = learnt(base)
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
    # Where somebody took it away, annotation is the same.
    (tmp_path / "pipeline" / NAME / "draft_head.safetensors").unlink()
    without = counted(spacy.load(tmp_path / "pipeline"))
    assert without[0] == expected[0]
    assert without[1] > expected[1]


def test_a_damaged_head_is_named(tiny_base, tmp_path):
    learnt(tiny_base("llama")).to_disk(tmp_path)
    (tmp_path / NAME / "draft_head.safetensors").write_bytes(b"nothing of the kind")
    nlp = spacy.load(tmp_path)
    with pytest.raises(ValueError, match=r"\[G264\].*draft_head\.safetensors"):
        nlp(make_doc(nlp, "Maria lives in Porto ."))


def test_a_new_adapter_or_label_has_no_old_head(tiny_base):
    nlp = learnt(tiny_base("llama"))
    pipe = component(nlp)
    pipe.lm.reset_adapter()
    assert pipe.lm.drafting.to_bytes() == b""
    nlp = learnt(tiny_base("llama"))
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
    nlp = learnt(tiny_base("llama"))
    component(nlp).decoder.drafter = DocSpansDrafter("earlier")
    for known in (True, False):
        docs = [make_doc(nlp, text) for text, _ in TEXTS]
        for doc, (_, spans) in zip(docs, TEXTS, strict=True):
            if known:
                doc.spans["earlier"] = [Span(doc, *span) for span in spans]
        with counting(nlp) as passes:
            groups = [nlp(doc).spans["sc"] for doc in docs]
        said = [{(s.start, s.end, s.label_) for s in group} for group in groups]
        assert said == [set(spans) for _, spans in TEXTS]
        # Without the group, as if nothing were said of it.
        assert (passes == [1] * len(TEXTS)) is known


def test_entities_are_a_draft_as_well():
    doc = spacy.blank("en")("Maria lives in Porto.")
    drafter = DocSpansDrafter(None)
    assert drafter.expected(doc) is None
    doc.set_ents([Span(doc, 3, 4, "GPE")])
    assert [span.text for span in drafter.expected(doc)] == ["Porto"]


def test_a_drafter_wants_the_name_of_a_group():
    with pytest.raises(ValueError, match=r"\[G407\].*spans_key"):
        DocSpansDrafter(3)
