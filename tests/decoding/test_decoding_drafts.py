"""What a draft makes of expected spans, and of what the model prefers."""

import pytest

from spacy_genner.decoding.drafts import InlineDraft
from spacy_genner.formats import get_format
from spacy_genner.grammar import make_grammars
from spacy_genner.grammar.base import make_source
from spacy_genner.models.tokenization import TokenAlignedEncoder

LABELS = ("cell", "DNA", "RNA")
WORDS = ["the", "IL-2", "gene", "of", "T", "cells", "."]


class Told:
    """Knows where spans end."""

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


def draft_of(grammar, spans, told=None):
    draft = InlineDraft()
    draft.expect(spans)
    if told is not None:
        draft.use_proposer(Told(told))
    return draft


def corrected(grammar, draft, wanted):
    """Passes until a draft is what a model wants that follows `wanted` wherever it can,
    and prefers it along wrong drafts, too."""
    target = grammar.target(wanted)
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
def test_expected_spans_are_written(grammar, spans):
    ids, states = draft_of(grammar, spans).write(grammar.start())
    assert ids == grammar.target(spans)
    assert len(states) == len(ids)
    assert corrected(grammar, draft_of(grammar, spans), spans) == 1


def test_a_draft_goes_on_from_any_place(grammar):
    spans = [(0, 7, 2), (1, 3, 1), (4, 6, 0)]
    target = grammar.target(spans)
    for place, state in enumerate(grammar.walk(target)):
        ids, _ = draft_of(grammar, spans).write(state)
        assert ids == target[place:]


@pytest.mark.parametrize(
    ("expected", "wanted", "most"),
    [
        # One span too many, one too few, another label, another end.
        ([(1, 3, 1), (4, 6, 0)], [(4, 6, 0)], 2),
        ([(4, 6, 0)], [(1, 3, 1), (4, 6, 0)], 2),
        ([(1, 3, 1), (4, 6, 0)], [(1, 3, 0), (4, 6, 0)], 3),
        ([(1, 2, 1), (4, 6, 0)], [(1, 3, 1), (4, 6, 0)], 2),
        ([(1, 3, 1), (4, 6, 0)], [(1, 2, 1), (4, 6, 0)], 2),
        # A span around others, and one that is not there.
        ([(1, 3, 1)], [(1, 6, 2), (1, 3, 1)], 4),
        ([(1, 6, 2), (1, 3, 1)], [(1, 3, 1)], 2),
    ],
)
def test_what_is_wrong_is_mended_and_the_rest_kept(grammar, expected, wanted, most):
    draft = draft_of(grammar, expected, told=wanted)
    assert corrected(grammar, draft, wanted) <= most


def test_a_span_longer_than_guessed_takes_no_pass_for_each_unit(grammar):
    draft = draft_of(grammar, [(0, 1, 2)], told=[])
    assert corrected(grammar, draft, [(0, 7, 2)]) <= 5


def test_nothing_known_still_comes_to_an_end(grammar):
    wanted = [(0, 7, 2), (1, 3, 1), (1, 2, 0), (4, 6, 0)]
    passes = corrected(grammar, draft_of(grammar, []), wanted)
    assert 1 < passes <= 4 * len(wanted)


def test_all_marks_that_the_model_prefers_go_into_the_next_draft(grammar):
    """Those behind the first wrong place, too."""
    wanted = [(1, 3, 1), (4, 6, 0)]
    draft = draft_of(grammar, [], told=wanted)
    ids, states = draft.write(grammar.start())
    opening = grammar.target([(0, 1, 0)])[0]
    places = {
        place: next(i for i in state.choices if state.kind_of(i) == 2)
        for place, state in enumerate(states)
        if state.at_boundary and state.place.unit in (1, 4) and len(state.choices) > 1
    }
    assert len(places) == 2
    draft.learn(min(places), places)
    assert opening in places.values() or len(set(places.values())) == 1
    ids, _ = draft.write(grammar.start())
    assert ids == grammar.target(wanted)


def test_crossing_spans_are_drafted_as_far_as_they_go(grammar):
    ids, _ = draft_of(grammar, [(0, 3, 0), (2, 5, 1)]).write(grammar.start())
    state = grammar.walk(ids)[-1]
    assert state.finished
    assert (0, 3, 0) in {span[:3] for span in state.marked}
