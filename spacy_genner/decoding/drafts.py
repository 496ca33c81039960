"""Drafts of the output that one forward pass verifies."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from ..grammar import Grammar, InlineState, JsonGrammar, JsonState
from ..grammar.inline import CLOSE, COPY, OPEN
from ..grammar.json import LABEL, LIST, TEXT


@dataclass(eq=False)
class Expected:
    """A span that an output is expected to say.

    start (int): Its first unit.
    end (Optional[int]): The unit after its last; None: wherever the model wants it.
    label (int): The index of its label, -1 where nothing is known of it.
    dropped (bool): Whether the model has turned out not to want it.
    lengthened (bool): Whether it was longer than guessed, and its end guessed anew.
    """

    start: int
    end: int | None
    label: int
    dropped: bool = False
    lengthened: bool = False


class Step(NamedTuple):
    """A token of a draft.

    state (InlineState): The state before it.
    id (int): The token.
    span (Optional[Expected]): The span that its mark belongs to.
    inside (Optional[Expected]): The innermost span that is open before it.
    """

    state: InlineState
    id: int
    span: Expected | None
    inside: Expected | None


class InlineDraft:
    """Drafts the whole rest of an output, with the marks of all expected spans at once.

    Where the model prefers something else, the spans are mended, those behind that
    place by what it preferred there, too: Jacobi decoding over spans (Santilli et al.,
    "Accelerating Transformer Inference for Translation via Parallel Decoding", 2023).
    """

    def __init__(self) -> None:
        self._spans: list[Expected] = []
        self._guesser: SpanProposer | None = None
        self._steps: list[Step] = []
        # The label of the mark that was seen last, for spans of which none is known.
        self._usual = 0

    def expect(self, spans: Iterable[tuple[int, int, int]]) -> None:
        self._spans = [Expected(*span) for span in spans]

    def ask(self, guesser: "SpanProposer") -> None:
        self._guesser = guesser

    def write(self, state: InlineState) -> tuple[list[int], list[InlineState]]:
        by_start = self._by_start()
        is_open = self._open_spans(state, by_start)
        opened = {
            unit: sum(span.start == unit for span in is_open)
            for unit in {span.start for span in is_open}
        }
        self._steps = steps = []
        kind: int = COPY
        wanted: Expected | None = None
        span: Expected | None = None
        if state.place.kind == OPEN:
            _, span = self._wanted(state.place.unit, [], by_start, opened)
        while not state.finished:
            choices = state.choices
            inside = is_open[-1] if is_open else None
            unit = state.place.unit
            id_ = choices[0]
            if state.at_boundary:
                kind, wanted = self._wanted(unit, is_open, by_start, opened)
                span = None
            if _decides(state):
                legal = [each for each in choices if state.kind_of(each) == kind]
                if wanted is not None and legal:
                    id_, span = self._towards(state, legal, wanted), wanted
                elif state.kind_of(id_) != COPY:
                    # A mark may be forced, too.
                    span = inside if state.kind_of(id_) == CLOSE else None
            elif len(choices) > 1:
                span = inside if state.place.kind == CLOSE else span
                id_ = self._towards(state, choices, span)
            steps.append(Step(state, id_, span, inside))
            depth = len(state.place.stack)
            state = state.advance(id_)
            if len(state.place.stack) < depth and is_open:
                is_open.pop()
            elif len(state.place.stack) > depth:
                is_open.append(span or Expected(unit, None, -1))
                opened[unit] = opened.get(unit, 0) + 1
        return [step.id for step in steps], [step.state for step in steps]

    def learn(self, place: int, chosen: dict[int, int]) -> None:
        for at in range(place, len(self._steps)):
            step = self._steps[at]
            wanted = chosen.get(at, step.id)
            if _decides(step.state):
                if at in chosen:
                    self._mend(step, wanted)
            elif wanted != step.id and step.span is not None:
                self._rename(step.span, step.state, wanted)
        self._spans = [span for span in self._spans if not span.dropped]

    def _by_start(self) -> dict[int, list[Expected]]:
        """The expected spans by their first unit, the outermost first."""
        by_start: dict[int, list[Expected]] = {}
        for span in self._spans:
            by_start.setdefault(span.start, []).append(span)
        for spans in by_start.values():
            # Of two labels on one range the first is the inner one.
            spans.sort(key=lambda s: (s.end is not None, -(s.end or 0), -s.label))
        return by_start

    def _open_spans(
        self, state: InlineState, by_start: dict[int, list[Expected]]
    ) -> list[Expected]:
        """What is expected of the spans that are open, the outermost first."""
        found: list[Expected] = []
        for opened in state.place.stack:
            before = sum(span.start == opened.start for span in found)
            spans = by_start.get(opened.start, [])
            if before < len(spans):
                span = spans[before]
            else:
                span = self._guessed(opened.start, len(state.grammar.source))
                self._spans.append(span)
            if opened.label >= 0:
                span.label = opened.label
            found.append(span)
        return found

    def _wanted(
        self,
        unit: int,
        is_open: list[Expected],
        by_start: dict[int, list[Expected]],
        opened: dict[int, int],
    ) -> tuple[int, Expected | None]:
        """The mark that is expected at a boundary."""
        if any(span.end is not None and span.end <= unit for span in is_open):
            return CLOSE, is_open[-1]
        spans = by_start.get(unit, [])
        count = opened.get(unit, 0)
        return (OPEN, spans[count]) if count < len(spans) else (COPY, None)

    def _mend(self, step: Step, wanted: int) -> None:
        """Change what is expected by whether the model wants a mark at a boundary."""
        state, unit = step.state, step.state.place.unit
        drafted, kind = state.kind_of(step.id), state.kind_of(wanted)
        if step.inside is not None and step.inside.dropped and kind == CLOSE:
            return
        if drafted == kind:
            if wanted != step.id and step.span is not None:
                self._rename(step.span, state, wanted)
            return
        if drafted == OPEN and step.span is not None:
            self._drop(step.span, step)
        if drafted == CLOSE and step.span is not None:
            self._lengthen(step.span, unit, len(state.grammar.source))
        if kind == CLOSE and step.inside is not None:
            step.inside.end = unit
            self._name(step.inside, state, wanted)
        elif kind == OPEN:
            self._add(step, wanted)

    def _drop(self, span: Expected, step: Step) -> None:
        """Expect a span no more."""
        span.dropped = True
        other = step.inside
        if other is not None and other.start == span.start and self._guesser:
            # Where marks open without a label, it may be the other that is not wanted.
            if not step.state.grammar.marks.open_names_label:
                last = max(span.end or 0, other.end or 0, span.start + 1)
                best = self._guesser.best(span.start, span.start + 1, last)
                other.end, other.label = best

    def _add(self, step: Step, wanted: int) -> None:
        """Expect one span more, which starts at a boundary."""
        unit, last = step.state.place.unit, len(step.state.grammar.source)
        inside = step.inside
        if inside is not None and not inside.dropped and inside.end is not None:
            last = max(inside.end, unit + 1)
        span = self._guessed(unit, last)
        self._name(span, step.state, wanted)
        self._spans.append(span)

    def _guessed(self, unit: int, last: int) -> Expected:
        """A span that starts at a unit and ends at another at the latest."""
        if self._guesser is None or unit >= last:
            return Expected(unit, None, -1)
        return Expected(unit, *self._guesser.best(unit, unit + 1, last))

    def _lengthen(self, span: Expected, unit: int, size: int) -> None:
        """Expect a span to end behind a boundary. What is guessed wrong twice would be
        so again and again, a pass for each unit of a long span."""
        if self._guesser is None or span.lengthened or unit >= size:
            span.end = None
        else:
            span.end, span.label = self._guesser.best(span.start, unit + 1, size)
            span.lengthened = True

    def _rename(self, span: Expected, state: InlineState, wanted: int) -> None:
        """Expect another label. An opening mark with that of another span that starts
        there is the other's, and the span itself is not wanted."""
        label = _reached(state, wanted)
        if state.place.kind != CLOSE and state.kind_of(wanted) == OPEN:
            others = [s for s in self._spans if s.start == span.start and s is not span]
            if any(other.label == label and not other.dropped for other in others):
                span.dropped = True
                self._usual = label
                return
        self._name(span, state, wanted)

    def _name(self, span: Expected, state: InlineState, wanted: int) -> None:
        """Take over the label of a mark, where its token leads to one only."""
        label = _reached(state, wanted)
        if label >= 0:
            span.label = self._usual = label

    def _towards(
        self, state: InlineState, choices: list[int], span: Expected | None
    ) -> int:
        """The choice that leads to a span's mark; the first where none does."""
        label = self._usual
        if span is not None and span.label >= 0:
            label = span.label
        for id_ in choices:
            after = state.advance(id_)
            node = after.place.node
            if node is not None:
                if label in node.below:
                    return id_
            elif state.kind_of(id_) != COPY and _marked(after, state, id_) == label:
                return id_
        return choices[0]


def _decides(state: InlineState) -> bool:
    """Whether copying on or a mark is decided on: at a boundary, or behind one where
    both began with the same token."""
    return state.place.kind == COPY and len(state.choices) > 1


def _reached(state: InlineState, id_: int) -> int:
    """The label that a token of a mark leads to, -1 where it leads to several."""
    after = state.advance(id_)
    node = after.place.node
    if node is not None:
        return next(iter(node.below)) if len(node.below) == 1 else -1
    return _marked(after, state, id_)


def _marked(after: InlineState, state: InlineState, id_: int) -> int:
    """The label of the mark that a token completes, -1 where it names none."""
    if state.kind_of(id_) == OPEN:
        return after.place.stack[-1].label if after.place.stack else -1
    link = after.place.marked
    return link[1].label if state.kind_of(id_) == CLOSE and link is not None else -1


Span = tuple[int, int, int]


class JsonDraft:
    """Drafts an entry for each expected span, then the end of the list.

    Where no span is expected, it drafts up to the start of the next text. A text that
    the model has begun and nobody knows of is guessed to end at once, with the label
    of the entry before and the first number there is.
    """

    def __init__(self) -> None:
        self._spans: list[Span] | None = None
        self._guesser: SpanProposer | None = None

    def expect(self, spans: Iterable[Span]) -> None:
        self._spans = sorted(spans, key=_order)

    def ask(self, guesser: "SpanProposer") -> None:
        self._guesser = guesser

    def learn(self, place: int, chosen: dict[int, int]) -> None:
        """Nothing is learnt: the model was asked behind a text that is not its own."""

    def write(self, state: JsonState) -> tuple[list[int], list[JsonState]]:
        ids: list[int] = []
        states: list[JsonState] = []
        while not state.finished:
            states.append(state)
            id_ = self._guess(state)
            if id_ is None:
                break
            ids.append(id_)
            state = state.advance(id_)
        return ids, states

    def _guess(self, state: JsonState) -> int | None:
        choices = state.choices
        if len(choices) == 1:
            return choices[0]
        # A grouped list is ended, or goes on, with the quote behind a text.
        if state.stage == LIST or (state.stage == TEXT and not state.paths):
            return state.another(self._goes_on(state))
        goal = self._goal(state)
        if goal is None:
            return self._unknown(state)
        start, end, label = goal
        if state.stage == TEXT:
            return state.towards_text(start, end)
        if state.stage == LABEL:
            return state.towards(label)
        return state.towards_place(start, end)

    def _unknown(self, state: JsonState) -> int | None:
        """A guess where no span is expected."""
        if state.stage == TEXT:
            return None if state.text_starts else state.closing_id()
        if state.stage == LABEL:
            return state.towards(state.label)
        return state.choices[0]

    def _goes_on(self, state: JsonState) -> bool:
        """Whether another entry is expected in the list. Where nothing is expected it
        is: a list that ends is then noticed at the next text, and costs nothing; of a
        grouped output most lists are empty."""
        if self._spans is None:
            return not state.grammar.grouped
        return self._next(state) is not None

    def _next(self, state: JsonState) -> Span | None:
        """The first expected span behind the last entry of the list."""
        label, last = state.position
        for span in self._spans or ():
            grouped = state.grammar.grouped
            if grouped and span[2] != label:
                continue
            if last is None or _order(span) > _order(last):
                return span
        return None

    def _goal(self, state: JsonState) -> Span | None:
        """The span that the entry under way says, as far as can be guessed."""
        if state.stage == TEXT and state.text_starts:
            return self._next(state)
        begun = state.begun
        for span in self._spans or ():
            if any(
                s == span[0] and first <= span[1] <= most for s, first, most in begun
            ):
                if not state.grammar.grouped or span[2] == state.label:
                    return span
        if self._guesser is None or not begun:
            return None
        start, first, most = begun[0]
        return (start, *self._guesser.best(start, first, max(first, most)))


def _order(span: Span) -> tuple[int, int, int]:
    """The order of the contract."""
    return span[0], -span[1], span[2]


Spans = Iterable[tuple[int, int, int]]


class SpanProposer(Protocol):
    """Knows something of a text's spans before they are decoded."""

    def likely(self) -> list[tuple[int, int, int]]:
        """RETURNS (List[Tuple[int, int, int]]): The spans that are more likely than
        not, none crossing another: first unit, unit after the last, label index."""

    def best(self, start: int, first: int, last: int) -> tuple[int, int]:
        """The likeliest span with a given start.

        start (int): Its first unit.
        first (int): The least unit that may follow its last.
        last (int): The greatest, not below `first`.
        RETURNS (Tuple[int, int]): The unit after its last, and its label index.
        """


class Draft(Protocol):
    """Guesses how one output goes on, and learns from what the model prefers."""

    def expect(self, spans: Spans, /) -> None:
        """Take note of spans that the output will probably say.

        spans (Iterable[Tuple[int, int, int]]): First unit, unit after the last, and
            label index of each.
        """

    def ask(self, guesser: SpanProposer, /) -> None:
        """Take note of who knows more where spans turn out wrong.

        guesser (SpanProposer): Who.
        """

    def write(self, state: Any, /) -> tuple[list[int], list[Any]]:
        """Draft the rest of an output.

        state (OutputState): Where it stands.
        RETURNS (Tuple[List[int], List[OutputState]]): The ids, the state before each,
            and that after the last where the draft ends before the output does.
        """

    def learn(self, place: int, chosen: dict[int, int], /) -> None:
        """Take note of where the last draft was wrong.

        place (int): The first place where the model preferred another token.
        chosen (Dict[int, int]): The token that it preferred at each place that had a
            choice. What stands behind `place` was asked behind a wrong token.
        """


def make_draft(grammar: Grammar) -> Draft:
    """Make what drafts one output.

    grammar (Grammar): Its grammar.
    RETURNS (Draft): The draft; it expects no spans yet.
    """
    return JsonDraft() if isinstance(grammar, JsonGrammar) else InlineDraft()
