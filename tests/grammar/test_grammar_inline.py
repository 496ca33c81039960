"""The automaton of the inline formats."""

import itertools
import random

import pytest
from grammar_cases import BRACKETED, WORDS, XML, grammar_of, output_text
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_genner.formats import CharSpan
from spacy_genner.grammar.inline import CLOSE, COPY, OPEN


def spans_of(state):
    return [(span.start, span.end, span.label) for span in state.spans]


def char_spans(grammar, marked):
    source, labels = grammar.source, grammar.marks.labels
    return [
        CharSpan(source.starts[a], source.ends[b - 1], labels[label])
        for a, b, label in marked
    ]


def test_plain_copy_is_legal():
    grammar = grammar_of(BRACKETED, ["A"], ["x", "yy"])
    state = grammar.walk(grammar.source.flat_ids)[-1]
    assert state.finished
    assert state.choices == []
    assert state.spans == []


def test_choices_are_in_order_of_precedence():
    grammar = grammar_of(BRACKETED, ["A", "B"], ["x", "y", "z"])
    state = grammar.walk([ord("["), ord("x")])[-1]
    # The copy " y" and the closing tag " | A]" share the space.
    assert state.choices == [ord(" "), ord("[")]
    assert state.kind_of(ord(" ")) == COPY
    assert state.kind_of(ord("[")) == OPEN
    after = state.advance(ord(" "))
    assert after.choices == [ord("y"), ord("|")]
    assert [after.kind_of(id_) for id_ in after.choices] == [COPY, CLOSE]


def test_decision_falls_at_the_first_token_that_differs():
    # The source continues with the beginning of a closing tag.
    grammar = grammar_of(BRACKETED, ["A", "B"], ["x", "|", "B"])
    ids = [ord("["), *map(ord, "x | ")]
    state = grammar.walk(ids)[-1]
    assert not state.at_boundary
    closed = state.advance(ord("A"))
    assert closed.choices == [ord("]")]
    copied = state.advance(ord("B"))
    assert spans_of(closed.advance(ord("]"))) == [(0, 1, 0)]
    assert spans_of(copied.advance(ord("]"))) == [(0, 1, 1)]


@pytest.mark.parametrize("fmt", [BRACKETED, XML], ids=lambda fmt: fmt.name)
def test_one_token_opens_a_span(fmt):
    """Also where the text, a closing tag or both begin with the same token."""
    grammar = grammar_of(fmt, ["A", "B"], ["x", "<", "y", "<"], [False] * 4)
    target = grammar.target([(0, 4, 0), (0, 1, 1), (1, 4, 1), (2, 3, 0)])
    states = grammar.walk(target)[:-1]
    opened = [
        id_ in state.opening_ids for state, id_ in zip(states, target, strict=True)
    ]
    assert sum(opened) == 4


def test_copy_takes_precedence_over_a_literal_tag():
    grammar = grammar_of(
        BRACKETED, ["A"], ["x", "|", "A", "]"], [True, True, False, True]
    )
    text = "[x | A]"
    state = grammar.walk(list(map(ord, text)))[-1]
    # The whole output is a copy, and the span is still open.
    assert state.spans == []
    assert [span.start for span in state.position.stack] == [0]
    assert state.position.word == 4


def test_no_span_opens_before_a_literal_bracket():
    grammar = grammar_of(BRACKETED, ["A"], ["[", "x"], [False, False])
    start = grammar.start()
    assert start.choices == [ord("[")]
    assert start.kind_of(ord("[")) == COPY


def test_spans_do_not_start_or_end_with_white_space():
    grammar = grammar_of(BRACKETED, ["A"], ["x", "\n", "y"], [False, False, False])
    seen = set()
    waiting = [grammar.start()]
    while waiting:
        state = waiting.pop()
        if state.finished:
            seen |= set(spans_of(state))
        waiting += [state.advance(id_) for id_ in state.choices]
    assert seen == {(0, 1, 0), (2, 3, 0), (0, 3, 0)}


def all_outputs(grammar):
    waiting = [([], grammar.start())]
    while waiting:
        ids, state = waiting.pop()
        if state.finished:
            yield ids, state
        for id_ in state.choices:
            waiting.append(([*ids, id_], state.advance(id_)))


@pytest.mark.parametrize("fmt", [BRACKETED, XML], ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("depth", [1, 2])
def test_every_set_of_nested_spans_has_one_output(fmt, depth):
    """Compare with a brute-force enumeration of all sets of spans."""
    labels = ["A", "B"]
    grammar = grammar_of(fmt, labels, ["x", "y"], max_depth=depth)
    found = [frozenset(spans_of(state)) for _, state in all_outputs(grammar)]
    assert len(found) == len(set(found))
    spans = [(a, b, k) for a in range(2) for b in range(a + 1, 3) for k in (0, 1)]
    expected = set()
    for size in range(len(spans) + 1):
        for chosen in itertools.combinations(spans, size):
            crossed = any(s[0] < t[0] < s[1] < t[1] for s in chosen for t in chosen)
            deepest = max(
                (sum(s[0] <= word < s[1] for s in chosen) for word in range(2)),
                default=0,
            )
            if not crossed and deepest <= depth:
                expected.add(frozenset(chosen))
    assert set(found) == expected


@pytest.mark.parametrize("fmt", [BRACKETED, XML], ids=lambda fmt: fmt.name)
@settings(max_examples=300, deadline=None)
@given(
    words=st.lists(st.sampled_from(WORDS), max_size=7),
    spaces=st.lists(st.booleans(), min_size=7, max_size=7),
    depth=st.integers(1, 5),
    labels=st.sampled_from([["A"], ["B", "A"], ["A", "B", "AB"]]),
    seed=st.integers(0, 2**32),
)
def test_random_walks_end_in_outputs_that_parse(
    fmt, words, spaces, depth, labels, seed
):
    """No walk gets stuck or repeats a span, and the parser of the format agrees."""
    grammar = grammar_of(fmt, labels, words, spaces[: len(words)], depth)
    choose = random.Random(seed)
    state, ids = grammar.start(), []
    while not state.finished:
        assert state.choices, (words, output_text(ids))
        ids.append(choose.choice(state.choices))
        state = state.advance(ids[-1])
    found = spans_of(state)
    assert len(set(found)) == len(found)
    assert grammar.target(found) == ids
    assert grammar.walk(ids)[-1].spans == state.spans
    source = grammar.source
    spans = char_spans(grammar, found)
    text = source.text
    assert all(text[s.start : s.end].strip() == text[s.start : s.end] for s in spans)
    assert fmt.unsayable(text, spans) == []
    rendered = fmt.render(text, spans, labels)
    parsed = fmt.parse(rendered, text, labels)
    assert not parsed.issues
    assert set(parsed.spans) == set(spans)


def test_max_depth_limits_open_spans():
    grammar = grammar_of(BRACKETED, ["A", "B", "C"], ["x", "y", "z"], max_depth=2)
    deepest = max(
        len(state.position.stack)
        for ids, _ in itertools.islice(all_outputs(grammar), 500)
        for state in grammar.walk(ids)
    )
    assert deepest == 2


@pytest.mark.parametrize("depth", [0, -1])
def test_max_depth_must_be_positive(depth):
    with pytest.raises(ValueError, match="G103"):
        grammar_of(BRACKETED, ["A"], ["x"], max_depth=depth)


def test_illegal_token_raises():
    grammar = grammar_of(BRACKETED, ["A"], ["x"])
    with pytest.raises(ValueError, match="G102"):
        grammar.start().advance(ord("q"))


def test_empty_text_has_an_empty_output():
    grammar = grammar_of(BRACKETED, ["A"], [])
    assert grammar.start().finished
    assert grammar.target([]) == []
