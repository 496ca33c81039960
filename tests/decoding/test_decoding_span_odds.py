"""The draft head's opinion of choices, compared with a count of all sets of spans."""

import math
from itertools import combinations

import pytest
import torch
from decoding_cases import Setting, same_outputs
from grammar_cases import XML, grammar_of

from spacy_genner.decoding.decoder import DraftDecoder, StepDecoder
from spacy_genner.decoding.span_odds import LIMIT, SpanOdds
from spacy_genner.grammar.inline import CLOSE, COPY, OPEN
from spacy_genner.models.draft_head import DraftHead, HeadSpanProposer

LABELS = 3


class Fixed:
    """Proposes spans with given log-odds."""

    def __init__(self, table):
        self.table = table

    def log_odds(self):
        return self.table


def random_odds(words, seed=0):
    """Log-odds of all spans of a text, shape (words, lengths, labels)."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(words, words, LABELS, generator=generator)
    for start in range(words):
        table[start, words - start :] = -torch.inf
    return table


def spans_at(table, start, labels):
    """The spans with a first word as (end, label), in order, with their odds."""
    found = {}
    for length in range(table.shape[1]):
        for label in labels:
            if table[start, length, label] > -torch.inf:
                odds = math.exp(float(table[start, length, label]))
                found[start + length + 1, label] = odds
    return found


def weight(spans, chosen):
    return math.prod(spans[each] for each in chosen)


def expected_opening(table, state, labels):
    """More spans than are open against just these, by counting all sets."""
    word = state.position.word
    spans = spans_at(table, word, labels)
    opened = [s for s in state.position.stack if s.start == word]
    opened = [s for s in opened if s.label < 0 or s.label in labels]
    totals = [
        sum(weight(spans, chosen) for chosen in combinations(spans, size))
        for size in range(len(spans) + 1)
    ]
    return math.log(sum(totals[len(opened) + 1 :]) / totals[len(opened)])


def expected_closing(table, state, below):
    """The next end is here against later, over all sets of as many spans as are
    open."""
    position = state.position
    top, word = position.stack[-1], position.word
    labels = range(LABELS) if top.label < 0 else [top.label]
    inner = -1
    if position.last is not None and position.last[0] == top.start:
        inner = position.last[1]
    spans = spans_at(table, top.start, labels)
    spans = {s: o for s, o in spans.items() if s > (word, inner)}
    opened = sum(
        span.start == top.start and (span.label < 0 or span.label in labels)
        for span in position.stack
    )
    here = later = 0.0
    for chosen in combinations(sorted(spans), opened):
        end, label = chosen[0]
        if end == word and label in below:
            here += weight(spans, chosen)
        if end > word:
            later += weight(spans, chosen)
    return here, later


def clipped(value):
    return min(max(value, -LIMIT), LIMIT)


def states_of(setting, task, seed):
    """The states on a random legal path, with at least two choices each."""
    choose = torch.Generator().manual_seed(seed)
    state = task.grammar.start()
    while not state.finished:
        if len(state.choices) > 1:
            yield state
        index = torch.randint(len(state.choices), (), generator=choose)
        state = state.advance(state.choices[index])


@pytest.mark.parametrize("fmt", ["inline_bracketed", "inline_xml"])
def test_the_odds_are_those_of_all_sets_of_independent_spans(tiny_base, fmt):
    setting = Setting(tiny_base("llama"), fmt)
    kinds = {OPEN: 0, CLOSE: 0, "nested": 0, "inside": 0}
    for seed in range(12):
        words = ["x", "Lisbon", "é", "🙂"][: 2 + seed % 3]
        source = setting.encoder.source(words, [True] * len(words))
        task = setting.task(source)
        table = random_odds(len(source), seed)
        odds = SpanOdds(Fixed(table))
        for state in states_of(setting, task, seed):
            position, found = state.position, odds.of_choices(state)
            marks = task.grammar.marks
            for id_, value in zip(state.choices, found, strict=True):
                kind = state.kind_of(id_)
                if kind == COPY:
                    assert value == 0.0
                    continue
                root = marks.closing if kind == CLOSE else marks.opening
                below = (position.node or root).children[id_].below
                kinds[kind] += 1
                if kind == OPEN:
                    labels = below if fmt == "inline_xml" else range(LABELS)
                    expected = expected_opening(table, state, sorted(labels))
                    assert value == pytest.approx(clipped(expected))
                    continue
                here, later = expected_closing(table, state, below)
                same = [s.start == position.stack[-1].start for s in position.stack]
                kinds["nested"] += sum(same) > 1
                if position.node is not None:
                    kinds["inside"] += 1
                    later = 1.0
                if here and later:
                    expected = clipped(math.log(here / later))
                elif here or later:
                    expected = LIMIT if here else -LIMIT
                else:
                    expected = 0.0
                assert value == pytest.approx(expected)
    # The closing tag of XML has the label of the open span.
    assert kinds.pop("inside") > 0 or fmt == "inline_xml"
    assert all(kinds.values())


def test_there_is_no_opinion_of_longer_spans_than_the_head_knows(tiny_base):
    setting = Setting(tiny_base("llama"), "inline_bracketed")
    source = setting.encoder.source(["x"] * 4, [True] * 4)
    task = setting.task(source)
    # Spans of one word alone.
    odds = SpanOdds(Fixed(random_odds(4)[:, :1]))
    ids = task.grammar.target([(0, 3, 1)])
    ends = []
    for state in task.grammar.walk(ids)[:-1]:
        values = odds.of_choices(state)
        closing = [
            value
            for id_, value in zip(state.choices, values, strict=True)
            if state.kind_of(id_) == CLOSE
        ]
        if state.position.word > 1:
            assert set(closing) <= {0.0}
        elif closing and state.at_boundary:
            ends.append(closing)
    assert ends == [[LIMIT]]


def test_there_is_no_opinion_of_a_token_that_opens_and_closes():
    """By characters, `<A>` and `</A>` begin with the same token."""
    grammar = grammar_of(XML, ["A", "B", "C"], ["x", "y"])
    odds = SpanOdds(Fixed(random_odds(2)))
    states = grammar.walk(grammar.target([(0, 2, 0)]))
    [inside] = [s for s in states if s.at_boundary and s.position.word == 1]
    assert inside.choices == [ord(" "), ord("<")]
    assert odds.of_choices(inside) == [0.0, 0.0]
    after = inside.advance(ord("<"))
    assert after.choices == [ord("/"), ord("A"), ord("B"), ord("C")]
    assert odds.of_choices(after) == [0.0] * 4
    # At the beginning it opens.
    opening = odds.of_choices(states[0])
    assert opening[0] == 0.0 != opening[1]


@pytest.mark.parametrize("words", [1, 3, 70, 150])
def test_the_proposer_lists_the_log_odds_by_length(words):
    head = DraftHead(16, LABELS, seed=3)
    proposer = HeadSpanProposer(head, torch.randn(words, 16))
    whole = head.logits(proposer.start, proposer.end)
    found = proposer.log_odds()
    assert found.shape == (words, min(words, 64), LABELS)
    for start in range(words):
        for length in range(found.shape[1]):
            end = start + length
            if end < words:
                assert torch.allclose(found[start, length], whole[start, end])
            else:
                assert (found[start, length] == -torch.inf).all()


@pytest.mark.parametrize("bias", [0.0, 0.7])
@pytest.mark.parametrize(
    "case",
    [
        ("llama", "bytelevel", "inline_bracketed"),
        ("gemma3", "metaspace", "inline_xml"),
        ("granite4", "bytelevel", "inline_bracketed"),
    ],
    ids=lambda case: case[0],
)
def test_the_decoders_agree_with_a_weight_of_the_head(tiny_base, case, bias):
    family, kind, fmt = case
    setting = Setting(tiny_base(family, kind), fmt, with_head=True)
    tasks = setting.tasks(20, seed=7)
    outputs = {}
    for head_weight in (0.0, 0.5, 10.0):
        setting.engine.head_weight = head_weight
        steps = StepDecoder(700, bias).decode(setting.engine, tasks)
        for size in (200, 2000):
            decoder = DraftDecoder(size, opening_bias=bias)
            drafts = decoder.decode(setting.engine, tasks)
            assert same_outputs(drafts, steps)
        for draft, step in zip(drafts, steps, strict=True):
            scores = [span.score for span in step.spans]
            found = [span.score for span in draft.spans]
            assert found == pytest.approx(scores, abs=1e-9)
        outputs[head_weight] = [each.ids for each in steps]
    assert outputs[0.0] != outputs[10.0]


def test_the_weight_has_no_effect_without_a_head_or_in_a_list(tiny_base):
    headless = Setting(tiny_base("llama"), "inline_bracketed")
    listed = Setting(tiny_base("llama"), "grouped_json", with_head=True)
    for setting in (headless, listed):
        tasks = setting.tasks(5, seed=3)
        plain = DraftDecoder().decode(setting.engine, tasks)
        setting.engine.head_weight = 5.0
        assert same_outputs(DraftDecoder().decode(setting.engine, tasks), plain)
