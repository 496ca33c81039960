"""Drafts of inline outputs: expected spans, and corrections by the model."""

import pytest

from spacy_genner.decoding.drafts import InlineDraft
from spacy_genner.formats import get_format
from spacy_genner.grammar import make_grammars
from spacy_genner.grammar.base import make_source
from spacy_genner.models.tokenization import TokenAlignedEncoder

LABELS = ("cell", "DNA", "RNA")
WORDS = ["the", "IL-2", "gene", "of", "T", "cells", "."]


class KnownSpans:
    """Proposes the ends and labels of given spans."""

    def __init__(self, spans):
        self.spans = spans

    def best_ending(self, start, first, last):
        for begin, end, label in self.spans:
            if begin == start and first <= end <= last:
                return end, label
        return first, 0


@pytest.fixture(scope="module", params=["inline_bracketed", "inline_xml"])
def grammar(request, tiny_tokenizers):
    encode = TokenAlignedEncoder(tiny_tokenizers["bytelevel"])
    source = make_source(WORDS, [True] * 5 + [False] * 2, encode)
    return make_grammars(get_format(request.param), LABELS, encode, 4)(source)


def draft_of(spans, known=None):
    draft = InlineDraft()
    draft.expect(spans)
    if known is not None:
        draft.use_proposer(KnownSpans(known))
    return draft


def count_passes(grammar, draft, preferred):
    """Count the passes until a model that outputs `preferred` accepts a draft."""
    target = grammar.target(preferred)
    state, done, passes = grammar.start(), [], 0
    while not state.finished:
        ids, states = draft.write(state)
        passes += 1
        for place, id_ in enumerate(ids):
            right = target[len(done)]
            done.append(right)
            state = state.advance(right)
            if right != id_:
                draft.learn(place, {place: right})
                break
    assert done == target
    return passes


@pytest.mark.parametrize(
    "spans",
    [
        [],
        [(1, 3, 1)],
        [(1, 3, 1), (4, 6, 0)],
        [(0, 7, 2), (1, 3, 1), (1, 2, 0), (4, 6, 0)],
        [(1, 3, 0), (1, 3, 1), (1, 3, 2)],
        [(6, 7, 1)],
    ],
)
def test_expected_spans_are_drafted(grammar, spans):
    ids, states = draft_of(spans).write(grammar.start())
    assert ids == grammar.target(spans)
    assert len(states) == len(ids)
    assert count_passes(grammar, draft_of(spans), spans) == 1


def test_a_draft_continues_from_any_state(grammar):
    spans = [(0, 7, 2), (1, 3, 1), (4, 6, 0)]
    target = grammar.target(spans)
    for place, state in enumerate(grammar.walk(target)):
        ids, _ = draft_of(spans).write(state)
        assert ids == target[place:]


@pytest.mark.parametrize(
    ("expected", "preferred", "most"),
    [
        # A span too many, a span too few, another label, another end.
        ([(1, 3, 1), (4, 6, 0)], [(4, 6, 0)], 2),
        ([(4, 6, 0)], [(1, 3, 1), (4, 6, 0)], 2),
        ([(1, 3, 1), (4, 6, 0)], [(1, 3, 0), (4, 6, 0)], 3),
        ([(1, 2, 1), (4, 6, 0)], [(1, 3, 1), (4, 6, 0)], 2),
        ([(1, 3, 1), (4, 6, 0)], [(1, 2, 1), (4, 6, 0)], 2),
        # A missing outer span, and an outer span too many.
        ([(1, 3, 1)], [(1, 6, 2), (1, 3, 1)], 4),
        ([(1, 6, 2), (1, 3, 1)], [(1, 3, 1)], 2),
    ],
)
def test_wrong_spans_are_corrected_and_others_kept(grammar, expected, preferred, most):
    draft = draft_of(expected, known=preferred)
    assert count_passes(grammar, draft, preferred) <= most


def test_a_span_longer_than_proposed_takes_few_passes(grammar):
    draft = draft_of([(0, 1, 2)], known=[])
    assert count_passes(grammar, draft, [(0, 7, 2)]) <= 5


def test_decoding_ends_without_expected_spans(grammar):
    preferred = [(0, 7, 2), (1, 3, 1), (1, 2, 0), (4, 6, 0)]
    passes = count_passes(grammar, draft_of([]), preferred)
    assert 1 < passes <= 4 * len(preferred)


def test_the_next_draft_has_all_marks_that_the_model_chose(grammar):
    """Marks behind the first wrong token are included."""
    preferred = [(1, 3, 1), (4, 6, 0)]
    draft = draft_of([], known=preferred)
    ids, states = draft.write(grammar.start())
    opening = grammar.target([(0, 1, 0)])[0]
    places = {
        place: next(i for i in state.choices if state.kind_of(i) == 2)
        for place, state in enumerate(states)
        if state.at_boundary
        and state.position.word in (1, 4)
        and len(state.choices) > 1
    }
    assert len(places) == 2
    draft.learn(min(places), places)
    assert opening in places.values() or len(set(places.values())) == 1
    ids, _ = draft.write(grammar.start())
    assert ids == grammar.target(preferred)


def test_crossing_spans_are_drafted_as_far_as_they_are_legal(grammar):
    ids, _ = draft_of([(0, 3, 0), (2, 5, 1)]).write(grammar.start())
    state = grammar.walk(ids)[-1]
    assert state.finished
    assert (0, 3, 0) in {span[:3] for span in state.spans}


def test_a_draft_ends_where_further_tokens_hardly_pay(grammar):
    spans = [(1, 3, 1), (4, 6, 0)]
    whole = grammar.target(spans)

    def length(certainty, cost):
        draft = draft_of(spans)
        draft.trust([certainty, certainty], [1.0] * len(WORDS))
        ids, states = draft.write(grammar.start(), cost)
        assert ids == whole[: len(ids)]
        # The state behind the last token, unless the output is complete.
        assert len(states) == len(ids) + (len(ids) < len(whole))
        return len(ids)

    # What is certain is drafted whole, even if passes cost nothing.
    assert length(1.0, 0.0) == len(whole)
    assert length(0.2, 0.0) < length(0.2, 5.0) < length(0.2, 1e9) == len(whole)
    assert length(0.2, 3.0) < length(0.9, 3.0)


@pytest.mark.parametrize("cost", [0.0, 2.0, 20.0])
@pytest.mark.parametrize(
    "expected", [[], [(1, 3, 1), (4, 6, 0)], [(1, 4, 1), (4, 5, 2)], [(0, 7, 0)]]
)
def test_the_model_corrects_the_token_at_which_a_draft_ended(grammar, expected, cost):
    """The model's choice there corrects the spans as one behind a wrong token does."""
    preferred = [(1, 3, 1), (4, 6, 0)]
    target = grammar.target(preferred)
    draft = draft_of(expected, preferred)
    draft.trust([0.5] * len(expected), [0.8] * len(WORDS))
    state, done, passes = grammar.start(), [], 0
    while not state.finished:
        ids, _ = draft.write(state, cost)
        passes += 1
        for place in range(len(ids) + 1):
            if state.finished:
                break
            right = target[len(done)]
            done.append(right)
            state = state.advance(right)
            if place == len(ids) or right != ids[place]:
                draft.learn(place, {place: right}, {place: 0.9})
                break
    assert done == target
    # Each choice costs at most one pass.
    assert passes <= len(WORDS) + 4 * len(preferred) + 1


def test_the_choices_of_the_model_are_more_certain_than_the_head(grammar):
    draft = draft_of([])
    draft.trust([], [0.1] * len(WORDS))
    _, states = draft.write(grammar.start())
    short, _ = draft.write(grammar.start(), 2.0)
    choices = {n: s.choices[0] for n, s in enumerate(states) if len(s.choices) > 1}
    draft.write(grammar.start())
    draft.learn(0, choices, dict.fromkeys(choices, 0.999))
    ids, _ = draft.write(grammar.start(), 2.0)
    assert len(short) < len(ids) == len(states)
