"""Drafts of the rest of an output, which one forward pass verifies.

The output is a copy of the source with markup, or a list of entries that quote it. Once
the spans are known, the whole output follows. A draft therefore keeps a list of
expected spans, writes the output that they lead to, and corrects the list where the
model prefers something else. `InlineDraft` corrects all spans after each pass,
including those behind the first difference, so the number of passes does not grow with
the number of spans. `JsonDraft` writes the entries of the expected spans in order.

In this module a word is a spaCy token. The end of a span is the word after its last.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from ..grammar import Grammar, InlineState, JsonGrammar, JsonState
from ..grammar.base import WordSpan
from ..grammar.inline import CLOSE, COPY, OPEN, UNLABELLED
from ..grammar.json import LABEL, LIST, TEXT

# The default probability that a drafted token is the model's choice, for a copied token
# and for the markup of a span.
COPY_CERTAINTY = 0.97
SPAN_CERTAINTY = 0.7
# The certainty of a choice that the model made after a wrong token is multiplied by
# this: it may change once that token is corrected.
BEHIND_WRONG = 0.97


class SpanProposer(Protocol):
    """Proposes the spans of one text before it is decoded."""

    def likely_spans(self) -> list[WordSpan]:
        """Get the spans that are more likely than not.

        RETURNS (list[tuple[int, int, int]]): First word, end word (exclusive) and label
            index of each span; none crosses another.
        """

    def best_ending(self, start: int, first: int, last: int) -> tuple[int, int]:
        """Get the most likely end and label of a span with a given start.

        start (int): The first word of the span.
        first (int): The lowest possible end.
        last (int): The highest possible end, at least `first`.
        RETURNS (tuple[int, int]): The end word (exclusive) and the label index.
        """


class Draft(Protocol):
    """Drafts the rest of one output, and learns from the model's choices."""

    def expect(self, spans: Iterable[WordSpan], /) -> None:
        """Set the spans to draft.

        spans (Iterable[tuple[int, int, int]]): First word, end word (exclusive) and
            label index of each span.
        """

    def use_proposer(self, proposer: SpanProposer, /) -> None:
        """Set the source of replacements for spans that turn out wrong.

        proposer (SpanProposer): Proposes spans of the text.
        """

    def trust(self, spans: Sequence[float], words: Sequence[float], /) -> None:
        """Set how certain the expected spans are.

        spans (Sequence[float]): The probability of each span that `expect` set.
        words (Sequence[float]): The probability that no other span starts at each word.
        """

    def write(
        self, state: Any, pass_cost: float = math.inf, /
    ) -> tuple[list[int], list[Any]]:
        """Draft the rest of the output, or the part that is worth verifying.

        state (State): The state after the accepted output.
        pass_cost (float): The cost of one more pass, in tokens. The higher it is, the
            further the draft goes past uncertain tokens.
        RETURNS (tuple[list[int], list[State]]): The token ids; and the state before
            each of them, followed by that after the last if the output does not end
            with the draft.
        """

    def learn(
        self,
        place: int,
        chosen: dict[int, int],
        certainty: Mapping[int, float] = MappingProxyType({}),
        /,
    ) -> None:
        """Correct the expected spans by the model's choices.

        place (int): The first index of the draft at which the model chose another
            token, or at which the draft ended.
        chosen (dict[int, int]): The model's choice at each index at which several
            tokens were legal. Choices behind `place` were made after a wrong token.
        certainty (Mapping[int, float]): The probabilities of these choices.
        """


def make_draft(grammar: Grammar) -> Draft:
    """Make the draft of one output.

    grammar (Grammar): The grammar of the output.
    RETURNS (Draft): A draft that expects no spans yet.
    """
    return JsonDraft() if isinstance(grammar, JsonGrammar) else InlineDraft()


@dataclass(eq=False)
class ExpectedSpan:
    """A span that the output is expected to contain.

    start (int): The first word.
    end (int | None): The end word, exclusive; None to leave the end to the model.
    label (int): The label index, or `UNLABELLED`.
    dropped (bool): Whether the model has rejected the span.
    extended (bool): Whether the end has been replaced once by a later one.
    certainty (float): The probability of the span before the model was asked.
    """

    start: int
    end: int | None
    label: int
    dropped: bool = False
    extended: bool = False
    certainty: float = SPAN_CERTAINTY


class DraftStep(NamedTuple):
    """A token of a draft.

    state (InlineState): The state before the token.
    id (int): The token.
    span (ExpectedSpan | None): The span whose markup the token belongs to.
    inside (ExpectedSpan | None): The innermost span that is open before the token.
    """

    state: InlineState
    id: int
    span: ExpectedSpan | None
    inside: ExpectedSpan | None


class DraftLength:
    """Decides how far a draft goes.

    A drafted token is useful if it and all tokens before it are right. A draft of n
    tokens, of which A are expected to be useful, costs n + c, where c is the cost of a
    pass. It goes on while the next token is useful with a probability of at least
    A / (n + c): further tokens would lower the yield.

    pass_cost (float): The cost of a pass, in tokens.
    """

    def __init__(self, pass_cost: float):
        self._cost = pass_cost
        self._useful = 0.0
        self._right = 1.0

    def pays(self, certainty: float) -> bool:
        """Take the next token into account, unless the draft should end before it.

        certainty (float): The probability that the token is right if all before it are.
        RETURNS (bool): Whether the draft goes on.
        """
        right = self._right * certainty
        if right * self._cost < self._useful:
            return False
        self._right = right
        return True

    def add(self) -> None:
        """Count a token."""
        self._useful += self._right
        self._cost += 1.0


class InlineDraft:
    """Drafts the copy of the source with the markup of all expected spans.

    After a pass the spans are corrected by the model's choices, including those behind
    the first difference: Jacobi decoding over spans (Santilli et al., "Accelerating
    Transformer Inference for Translation via Parallel Decoding", 2023).
    """

    def __init__(self) -> None:
        self._spans: list[ExpectedSpan] = []
        self._proposer: SpanProposer | None = None
        self._steps: list[DraftStep] = []
        # The label that the model used last, for spans with an unknown label.
        self._last_label = 0
        self._words: Sequence[float] = ()
        # The probabilities of the model's own choices, by place and kind.
        self._seen: dict[tuple[int, int, int], float] = {}

    def expect(self, spans: Iterable[WordSpan]) -> None:
        self._spans = [ExpectedSpan(*span) for span in spans]

    def use_proposer(self, proposer: SpanProposer) -> None:
        self._proposer = proposer

    def trust(self, spans: Sequence[float], words: Sequence[float]) -> None:
        for span, certainty in zip(self._spans, spans, strict=True):
            span.certainty = certainty
        self._words = words

    def write(
        self, state: InlineState, pass_cost: float = math.inf
    ) -> tuple[list[int], list[InlineState]]:
        length = DraftLength(pass_cost)
        by_start = self._spans_by_start()
        open_spans = self._open_spans(state, by_start)
        # How many of the spans with the same start are open or closed already.
        opened = {
            start: sum(span.start == start for span in open_spans)
            for start in {span.start for span in open_spans}
        }
        self._steps = steps = []
        kind: int = COPY
        expected: ExpectedSpan | None = None
        span: ExpectedSpan | None = None
        if state.position.kind == OPEN:
            _, span = _expected_tag(state.position.word, [], by_start, opened)
        while not state.finished:
            choices = state.choices
            inside = open_spans[-1] if open_spans else None
            word = state.position.word
            id_ = choices[0]
            if state.at_boundary:
                kind, expected = _expected_tag(word, open_spans, by_start, opened)
                span = None
            if _is_copy_decision(state):
                legal = [each for each in choices if state.kind_of(each) == kind]
                if expected is not None and legal:
                    id_, span = self._id_towards(state, legal, expected), expected
                elif state.kind_of(id_) != COPY:
                    # The grammar may force a tag, too.
                    span = inside if state.kind_of(id_) == CLOSE else None
            elif len(choices) > 1:
                span = inside if state.position.kind == CLOSE else span
                id_ = self._id_towards(state, choices, span)
            steps.append(DraftStep(state, id_, span, inside))
            if len(choices) > 1 and not length.pays(self._certainty(steps[-1])):
                # The model chooses this token without a draft.
                drafted = steps[:-1]
                return [step.id for step in drafted], [step.state for step in steps]
            length.add()
            depth = len(state.position.stack)
            state = state.advance(id_)
            if len(state.position.stack) < depth and open_spans:
                open_spans.pop()
            elif len(state.position.stack) > depth:
                open_spans.append(span or ExpectedSpan(word, None, UNLABELLED))
                opened[word] = opened.get(word, 0) + 1
        return [step.id for step in steps], [step.state for step in steps]

    def _certainty(self, step: DraftStep) -> float:
        """The probability that the model writes a drafted token."""
        seen = self._seen.get(_decision_key(step.state, step.id))
        if seen is not None:
            return seen
        span = SPAN_CERTAINTY if step.span is None else step.span.certainty
        if not _is_copy_decision(step.state):
            return math.sqrt(math.sqrt(span))
        kind, word = step.state.kind_of(step.id), step.state.position.word
        if kind == COPY:
            return self._words[word] if word < len(self._words) else COPY_CERTAINTY
        return math.sqrt(span) if kind == OPEN else math.sqrt(math.sqrt(span))

    def learn(
        self,
        place: int,
        chosen: dict[int, int],
        certainty: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        for index in range(place, len(self._steps)):
            step = self._steps[index]
            preferred = chosen.get(index, step.id)
            if index in certainty:
                seen = certainty[index] * (BEHIND_WRONG if index > place else 1.0)
                self._seen[_decision_key(step.state, preferred)] = seen
            if _is_copy_decision(step.state):
                if index in chosen:
                    self._correct(step, preferred)
            elif preferred != step.id and step.span is not None:
                self._relabel(step.span, step.state, preferred)
        self._spans = [span for span in self._spans if not span.dropped]

    def _spans_by_start(self) -> dict[int, list[ExpectedSpan]]:
        """The expected spans by their first word, outermost first."""
        by_start: dict[int, list[ExpectedSpan]] = {}
        for span in self._spans:
            by_start.setdefault(span.start, []).append(span)
        for spans in by_start.values():
            # Of two labels on one range the first is the inner one.
            spans.sort(key=lambda s: (s.end is not None, -(s.end or 0), -s.label))
        return by_start

    def _open_spans(
        self, state: InlineState, by_start: dict[int, list[ExpectedSpan]]
    ) -> list[ExpectedSpan]:
        """The expected spans that stand for the open ones, outermost first."""
        found: list[ExpectedSpan] = []
        for opened in state.position.stack:
            before = sum(span.start == opened.start for span in found)
            spans = by_start.get(opened.start, [])
            if before < len(spans):
                span = spans[before]
            else:
                span = self._proposed(opened.start, len(state.grammar.source))
                self._spans.append(span)
            if opened.label != UNLABELLED:
                span.label = opened.label
            found.append(span)
        return found

    def _id_towards(
        self, state: InlineState, choices: list[int], span: ExpectedSpan | None
    ) -> int:
        """The choice that leads to a span's tag; the first choice if none does."""
        label = self._last_label
        if span is not None and span.label != UNLABELLED:
            label = span.label
        for id_ in choices:
            after = state.advance(id_)
            node = after.position.node
            if node is not None:
                if label in node.below:
                    return id_
            elif (
                state.kind_of(id_) != COPY
                and _completed_label(after, state, id_) == label
            ):
                return id_
        return choices[0]

    def _correct(self, step: DraftStep, preferred: int) -> None:
        """Correct the spans by a decision between copying, closing and opening."""
        state, word = step.state, step.state.position.word
        drafted, kind = state.kind_of(step.id), state.kind_of(preferred)
        if step.inside is not None and step.inside.dropped and kind == CLOSE:
            return
        if drafted == kind:
            if preferred != step.id and step.span is not None:
                self._relabel(step.span, state, preferred)
            return
        if drafted == OPEN and step.span is not None:
            self._drop(step.span, step)
        if drafted == CLOSE and step.span is not None:
            self._extend(step.span, word, len(state.grammar.source))
        if kind == CLOSE and step.inside is not None:
            step.inside.end = word
            self._set_label(step.inside, state, preferred)
        elif kind == OPEN:
            self._add(step, preferred)

    def _drop(self, span: ExpectedSpan, step: DraftStep) -> None:
        """Drop a span that the model did not open."""
        span.dropped = True
        other = step.inside
        if other is not None and other.start == span.start and self._proposer:
            # If opening tags have no label, the model may have rejected the other span
            # with this start instead.
            if not step.state.grammar.marks.open_names_label:
                last = max(span.end or 0, other.end or 0, span.start + 1)
                other.end, other.label = self._proposer.best_ending(
                    span.start, span.start + 1, last
                )

    def _extend(self, span: ExpectedSpan, word: int, size: int) -> None:
        """Move the end of a span past a boundary at which the model did not close it.

        After two wrong ends the end is left to the model. Otherwise a long span would
        cost a pass for each of its words.
        """
        if self._proposer is None or span.extended or word >= size:
            span.end = None
        else:
            span.end, span.label = self._proposer.best_ending(
                span.start, word + 1, size
            )
            span.extended = True

    def _add(self, step: DraftStep, preferred: int) -> None:
        """Add a span that the model opened at a boundary."""
        word, last = step.state.position.word, len(step.state.grammar.source)
        inside = step.inside
        if inside is not None and not inside.dropped and inside.end is not None:
            last = max(inside.end, word + 1)
        span = self._proposed(word, last)
        self._set_label(span, step.state, preferred)
        self._spans.append(span)

    def _proposed(self, word: int, last: int) -> ExpectedSpan:
        """The best span that starts at a word and ends at `last` or before."""
        if self._proposer is None or word >= last:
            return ExpectedSpan(word, None, UNLABELLED)
        return ExpectedSpan(word, *self._proposer.best_ending(word, word + 1, last))

    def _relabel(self, span: ExpectedSpan, state: InlineState, preferred: int) -> None:
        """Set another label, or drop the span if its tag is that of another span.

        An opening tag with the label of another expected span that starts at the same
        word belongs to that span, and the model did not open this one.
        """
        label = _only_label(state, preferred)
        if state.position.kind != CLOSE and state.kind_of(preferred) == OPEN:
            others = [s for s in self._spans if s.start == span.start and s is not span]
            if any(other.label == label and not other.dropped for other in others):
                span.dropped = True
                self._last_label = label
                return
        self._set_label(span, state, preferred)

    def _set_label(
        self, span: ExpectedSpan, state: InlineState, preferred: int
    ) -> None:
        """Set the label that a token of a tag leads to, if it leads to only one."""
        label = _only_label(state, preferred)
        if label != UNLABELLED:
            span.label = self._last_label = label


def _expected_tag(
    word: int,
    open_spans: list[ExpectedSpan],
    by_start: dict[int, list[ExpectedSpan]],
    opened: dict[int, int],
) -> tuple[int, ExpectedSpan | None]:
    """The kind of tag that is expected before a word, and its span."""
    if any(span.end is not None and span.end <= word for span in open_spans):
        return CLOSE, open_spans[-1]
    spans = by_start.get(word, [])
    count = opened.get(word, 0)
    return (OPEN, spans[count]) if count < len(spans) else (COPY, None)


def _is_copy_decision(state: InlineState) -> bool:
    """Whether the next token decides between copying and a tag: at a boundary, or
    behind one if both begin with the same token."""
    return state.position.kind == COPY and len(state.choices) > 1


def _decision_key(state: InlineState, id_: int) -> tuple[int, int, int]:
    """The word, the part of the markup and the kind of a choice."""
    kind = state.kind_of(id_) if _is_copy_decision(state) else -1
    return state.position.word, state.position.kind, kind


def _only_label(state: InlineState, id_: int) -> int:
    """The label that a token of a tag leads to, `UNLABELLED` if it leads to several."""
    after = state.advance(id_)
    node = after.position.node
    if node is not None:
        return next(iter(node.below)) if len(node.below) == 1 else UNLABELLED
    return _completed_label(after, state, id_)


def _completed_label(after: InlineState, state: InlineState, id_: int) -> int:
    """The label of the tag that a token completes, `UNLABELLED` if the tag has none."""
    if state.kind_of(id_) == OPEN:
        return after.position.stack[-1].label if after.position.stack else UNLABELLED
    link = after.position.spans
    if state.kind_of(id_) == CLOSE and link is not None:
        label: int = link[1].label
        return label
    return UNLABELLED


class JsonDraft:
    """Drafts an entry for each expected span, then the end of the list.

    Without expected spans the draft ends before the next text. If the model has begun a
    text that is not expected, the draft ends the text as soon as possible and gives it
    the label of the entry before and the first possible number.
    """

    def __init__(self) -> None:
        self._spans: list[WordSpan] | None = None
        self._proposer: SpanProposer | None = None

    def expect(self, spans: Iterable[WordSpan]) -> None:
        self._spans = sorted(spans, key=_entry_order)

    def use_proposer(self, proposer: SpanProposer) -> None:
        self._proposer = proposer

    def trust(self, spans: Sequence[float], words: Sequence[float]) -> None:
        """Ignore the certainty: an entry is drafted whole."""

    def learn(
        self,
        place: int,
        chosen: dict[int, int],
        certainty: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        """Ignore the choices: they follow an entry that the model did not write."""

    def write(
        self, state: JsonState, pass_cost: float = math.inf
    ) -> tuple[list[int], list[JsonState]]:
        ids: list[int] = []
        states: list[JsonState] = []
        while not state.finished:
            states.append(state)
            id_ = self._next_id(state)
            if id_ is None:
                break
            ids.append(id_)
            state = state.advance(id_)
        return ids, states

    def _next_id(self, state: JsonState) -> int | None:
        choices = state.choices
        if len(choices) == 1:
            return choices[0]
        # The quote behind a text of a grouped list also decides whether the list ends.
        if state.stage == LIST or (state.stage == TEXT and not state.paths):
            return state.another(self._expects_entry(state))
        span = self._current_span(state)
        if span is None:
            return self._default_id(state)
        start, end, label = span
        if state.stage == TEXT:
            return state.towards_text(start, end)
        if state.stage == LABEL:
            return state.towards(label)
        return state.towards_place(start, end)

    def _default_id(self, state: JsonState) -> int | None:
        """The token to draft if no span is expected; None to end the draft."""
        if state.stage == TEXT:
            return None if state.text_starts else state.closing_id()
        if state.stage == LABEL:
            return state.towards(state.label)
        return state.choices[0]

    def _expects_entry(self, state: JsonState) -> bool:
        """Whether another entry is expected in the list.

        Without expected spans the answer depends on the format. A single list is
        expected to go on: the draft ends at the next text, and an end of the list is
        noticed there at no cost. Most lists of a grouped output are empty.
        """
        if self._spans is None:
            return not state.grammar.grouped
        return self._next_span(state) is not None

    def _next_span(self, state: JsonState) -> WordSpan | None:
        """The first expected span behind the last entry of the list."""
        label, last = state.list_position
        for span in self._spans or ():
            if state.grammar.grouped and span[2] != label:
                continue
            if last is None or _entry_order(span) > _entry_order(last):
                return span
        return None

    def _current_span(self, state: JsonState) -> WordSpan | None:
        """The span of the entry that is being written; None if unknown."""
        if state.stage == TEXT and state.text_starts:
            return self._next_span(state)
        begun = state.begun
        for span in self._spans or ():
            if any(
                start == span[0] and first <= span[1] <= last
                for start, first, last in begun
            ):
                if not state.grammar.grouped or span[2] == state.label:
                    return span
        if self._proposer is None or not begun:
            return None
        start, first, last = begun[0]
        return (start, *self._proposer.best_ending(start, first, max(first, last)))


def _entry_order(span: WordSpan) -> tuple[int, int, int]:
    """The sort key of entries: by start, then the longer first, then by label."""
    return span[0], -span[1], span[2]
