"""The automaton: at each unit boundary copy on, close a span, or open one.

What it accepts is always well formed, always a copy of the source, and never
marks one span twice. For a moment it may stand in several places at once, where
the source itself holds the first characters of a mark; the choice then falls at
the first token that differs, and the copy wins where none does.

Order of choices, which settles ties: copy, close, open; then label order.
"""

from collections.abc import Iterable

from .inline_marks import Marks, Node, marks_by_boundary
from .inline_states import CLOSE, COPY, OPEN, InlineState, Opened, Place
from .output import Marked, OutputGrammar
from .source import Source


class InlineGrammar(OutputGrammar):
    """The legal outputs for one source.

    marks (Marks): The marks of the format and labels.
    source (Source): The text to be copied.
    max_depth (int): How many spans may be open at once.
    RAISES (ValueError): max_depth is below 1.
    """

    def __init__(self, marks: Marks, source: Source, max_depth: int):
        super().__init__(source, max_depth)
        self.marks = marks
        self._all = frozenset(range(len(marks.labels)))
        size = len(source)
        self._no_open: dict[int, set[int]] = {}
        self._no_close: dict[int, set[int]] = {}
        if any(mark in source.text for mark in set(marks.open_texts)):
            self._no_open = self._literal(source.starts, marks.open_texts, 0)
        if any(mark in source.text for mark in marks.close_texts):
            self._no_close = self._literal(source.ends, marks.close_texts, 1)
        # The boundaries where any span can end, counted from the end of the text:
        # a span has no white space at its edge, and none of its marks is a copy.
        self._ends_after = [0] * (size + 2)
        for boundary in range(size, 0, -1):
            self._ends_after[boundary] = self._ends_after[boundary + 1] + (
                self._can_end(boundary)
            )
        self._ends_after[0] = self._ends_after[1]

    def start(self) -> InlineState:
        return InlineState(self, (Place(COPY, 0, 0, None, (), (), None, None),), 0)

    def target(self, spans: Iterable[tuple[int, int, int]]) -> list[int]:
        ids: list[int] = []
        marks = marks_by_boundary(spans, len(self.source))
        for unit, (closed, opened) in enumerate(marks):
            for label in closed:
                ids.extend(self.marks.close_ids[label])
            for label in opened:
                ids.extend(self.marks.open_ids[label])
            if unit < len(self.source):
                ids.extend(self.source.ids[unit])
        return ids

    def add_moves(
        self, place: Place, step: int, moves: list[tuple[int, int, Place]]
    ) -> None:
        """Append the moves that lead on from one place, as (kind, id, next place)."""
        if place.kind == COPY:
            if place.unit < len(self.source):
                self._add_copy(place, moves)
            if place.offset == 0:
                labels = self._closable(place)
                if labels:
                    self._add_mark(
                        place, self.marks.closing, CLOSE, labels, step, moves
                    )
                labels = self._openable(place)
                if labels:
                    self._add_mark(place, self.marks.opening, OPEN, labels, step, moves)
        elif place.kind == CLOSE:
            assert place.node is not None
            labels = self._closable(place)
            self._add_mark(place, place.node, CLOSE, labels, step, moves)
        else:
            assert place.node is not None
            labels = self._openable(place)
            self._add_mark(place, place.node, OPEN, labels, step, moves)

    def _add_copy(self, place: Place, moves: list[tuple[int, int, Place]]) -> None:
        unit = self.source.ids[place.unit]
        id_ = unit[place.offset]
        if place.offset == 0 and not self._feasible(place.stack, place.unit + 1, None):
            return
        if place.offset + 1 < len(unit):
            moves.append((COPY, id_, place._replace(offset=place.offset + 1)))
            return
        after = place._replace(unit=place.unit + 1, offset=0, last=None)
        moves.append((COPY, id_, after))

    def _add_mark(
        self,
        place: Place,
        node: Node,
        kind: int,
        labels: frozenset[int],
        step: int,
        moves: list[tuple[int, int, Place]],
    ) -> None:
        steps = (*place.steps, step)
        for id_, child in node.children.items():
            if child.label < 0:
                if not child.below.isdisjoint(labels):
                    after = place._replace(kind=kind, node=child, steps=steps)
                    moves.append((kind, id_, after))
            elif child.label in labels or (
                kind == OPEN and not self.marks.open_names_label
            ):
                done = self._closed if kind == CLOSE else self._opened
                moves.append((kind, id_, done(place, child.label, steps)))

    def _opened(self, place: Place, label: int, steps: tuple[int, ...]) -> Place:
        named = label if self.marks.open_names_label else -1
        stack = (*place.stack, Opened(place.unit, named, steps))
        return Place(COPY, place.unit, 0, None, (), stack, None, place.marked)

    def _closed(self, place: Place, label: int, steps: tuple[int, ...]) -> Place:
        top = place.stack[-1]
        span = Marked(top.start, place.unit, label, top.steps + steps)
        last = (top.start, label)
        link = (place.marked, span)
        return Place(COPY, place.unit, 0, None, (), place.stack[:-1], last, link)

    def _closable(self, place: Place) -> frozenset[int]:
        """The labels with which the innermost span can end at this boundary."""
        unit = place.unit
        if not place.stack or unit == 0 or self.source.blank[unit - 1]:
            return frozenset()
        top = place.stack[-1]
        if top.start >= unit:
            return frozenset()
        labels = self._all if top.label < 0 else frozenset((top.label,))
        if unit in self._no_close:
            labels -= self._no_close[unit]
        if place.last is not None and place.last[0] == top.start:
            floor = place.last[1]
            labels = frozenset(label for label in labels if label > floor)
        if self._roomy(place.stack, unit):
            return labels
        rest = place.stack[:-1]
        return frozenset(
            label for label in labels if self._feasible(rest, unit, (top.start, label))
        )

    def _openable(self, place: Place) -> frozenset[int]:
        """The labels with which a span can start at this boundary."""
        unit, stack = place.unit, place.stack
        if unit >= len(self.source) or self.source.blank[unit]:
            return frozenset()
        if len(stack) >= self.max_depth:
            return frozenset()
        labels = self._all
        if unit in self._no_open:
            labels -= self._no_open[unit]
            if not self.marks.open_names_label and labels != self._all:
                return frozenset()
        if self._roomy((*stack, Opened(unit, -1, ())), unit):
            return labels
        if not self.marks.open_names_label:
            fits = self._feasible((*stack, Opened(unit, -1, ())), unit, None)
            return labels if fits else frozenset()
        return frozenset(
            label
            for label in labels
            if self._feasible((*stack, Opened(unit, label, ())), unit, None)
        )

    def _roomy(self, stack: tuple[Opened, ...], boundary: int) -> bool:
        """Whether there are boundaries enough for each open span to end at its own."""
        after = min(boundary + 1, len(self.source) + 1)
        return self._ends_after[after] > len(stack)

    def _feasible(
        self, stack: tuple[Opened, ...], boundary: int, last: tuple[int, int] | None
    ) -> bool:
        """Whether every open span can still end, each as early as it can.

        Of two spans over the same units the inner has the earlier label, so spans
        that start together may need several boundaries to end at.
        """
        if not stack:
            return True
        if self._roomy(stack, boundary):
            return True
        size, count = len(self.source), len(self.marks.labels)
        at, closed = boundary, last
        for span in reversed(stack):
            if at <= span.start:
                at, closed = span.start + 1, None
            while at <= size:
                floor = closed[1] if closed and closed[0] == span.start else -1
                label = floor + 1 if span.label < 0 else span.label
                if self._can_end(at) and floor < label < count:
                    break
                at, closed = at + 1, None
            else:
                return False
            closed = (span.start, label)
        return True

    def _can_end(self, boundary: int) -> bool:
        return not self.source.blank[boundary - 1] and boundary not in self._no_close

    def _literal(
        self, places: tuple[int, ...], texts: tuple[str, ...], shift: int
    ) -> dict[int, set[int]]:
        """The marks which the source itself goes on with, by boundary."""
        found: dict[int, set[int]] = {}
        for index, place in enumerate(places):
            literal = {
                label
                for label, mark in enumerate(texts)
                if self.source.text.startswith(mark, place)
            }
            if literal:
                found[index + shift] = literal
        return found
