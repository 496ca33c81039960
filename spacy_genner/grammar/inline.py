"""The automaton of the inline formats."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import Errors
from ..formats import InlineFormat
from .base import Encode, Grammar, MarkedSpan, Source, State, unlinked


@dataclass
class TrieNode:
    """A place in a trie of marks.

    children (Dict[int, TrieNode]): The next ids, in the order of the labels.
    below (Set[int]): The labels that can still be reached, as indices.
    label (int): The label whose mark ends here, -1 where none does.
    """

    children: dict[int, "TrieNode"] = field(default_factory=dict)
    below: set[int] = field(default_factory=set)
    label: int = -1


@dataclass(frozen=True)
class Markup:
    """The marks of one format for one set of labels under one tokenizer.

    labels (Tuple[str, ...]): The labels; marks name them by index.
    open_texts (Tuple[str, ...]): The opening mark of each label.
    close_texts (Tuple[str, ...]): The closing mark of each label.
    open_ids (Tuple[Tuple[int, ...], ...]): The ids of the opening marks.
    close_ids (Tuple[Tuple[int, ...], ...]): The ids of the closing marks.
    opening (TrieNode): Trie of the opening marks. Where an opening mark names no
        label, it holds one mark, that of label 0.
    closing (TrieNode): Trie of the closing marks.
    open_names_label (bool): Whether the opening mark says the label.
    """

    labels: tuple[str, ...]
    open_texts: tuple[str, ...]
    close_texts: tuple[str, ...]
    open_ids: tuple[tuple[int, ...], ...]
    close_ids: tuple[tuple[int, ...], ...]
    opening: TrieNode
    closing: TrieNode
    open_names_label: bool


def make_markup(fmt: InlineFormat, labels: Sequence[str], encode: Encode) -> Markup:
    """Encode a format's marks.

    fmt (InlineFormat): The format.
    labels (Sequence[str]): The labels, in their order.
    encode (Callable[[str], Sequence[int]]): Encodes one piece of text.
    RETURNS (Markup): The marks.
    RAISES (ValueError): Two marks can't be told apart under the tokenizer.
    """
    open_texts = tuple(fmt.open_mark(label) for label in labels)
    close_texts = tuple(fmt.close_mark(label) for label in labels)
    open_ids = tuple(tuple(encode(text)) for text in open_texts)
    close_ids = tuple(tuple(encode(text)) for text in close_texts)
    opened = range(len(labels)) if fmt.open_names_label else range(min(1, len(labels)))
    return Markup(
        labels=tuple(labels),
        open_texts=open_texts,
        close_texts=close_texts,
        open_ids=open_ids,
        close_ids=close_ids,
        opening=_trie(((open_ids[i], i) for i in opened), open_texts),
        closing=_trie(((ids, i) for i, ids in enumerate(close_ids)), close_texts),
        open_names_label=fmt.open_names_label,
    )


def markup_by_boundary(
    spans: Iterable[tuple[int, int, int]], size: int
) -> list[tuple[list[int], list[int]]]:
    """The marks at each boundary between units, in the order of the output.

    spans (Iterable[Tuple[int, int, int]]): First unit, unit after the last, and label
        index of each; none crosses another.
    size (int): The number of units.
    RETURNS (List[Tuple[List[int], List[int]]]): For each boundary, one more than there
        are units, the labels of the spans that close there and of those that open.
    """
    marks: list[tuple[list[int], list[int]]] = [([], []) for _ in range(size + 1)]
    for start, end, label in sorted(set(spans), key=lambda s: (s[0], -s[1], -s[2])):
        marks[start][1].append(label)
        # What opened last closes first.
        marks[end][0].insert(0, label)
    return marks


def _trie(
    entries: Iterable[tuple[tuple[int, ...], int]], texts: Sequence[str]
) -> TrieNode:
    root = TrieNode()
    for ids, label in entries:
        node = root
        node.below.add(label)
        for id_ in ids:
            if node.label >= 0:
                break
            node = node.children.setdefault(id_, TrieNode())
            node.below.add(label)
        if node is root or node.label >= 0 or node.children:
            others = [texts[other] for other in node.below if other != label]
            raise ValueError(
                Errors.G101.format(mark=texts[label], ids=list(ids), others=others)
            )
        node.label = label
    return root


COPY, CLOSE, OPEN = 0, 1, 2


class OpenSpan(NamedTuple):
    """A span that is open: its first unit, its label (-1: not yet named), and the
    output positions at which its opening was decided."""

    start: int
    label: int
    steps: tuple[int, ...]


class Position(NamedTuple):
    """One place of the automaton.

    kind (int): COPY (at a boundary where offset is 0), CLOSE or OPEN (in a mark).
    unit (int): The unit that is copied next, or whose copying is under way.
    offset (int): How many of that unit's ids are copied.
    node (Optional[TrieNode]): The place in the mark's trie.
    steps (Tuple[int, ...]): The output positions of the mark so far.
    stack (Tuple[OpenSpan, ...]): The open spans, outermost first.
    last (Optional[Tuple[int, int]]): First unit and label of the span that was
        closed last at this very boundary.
    marked (Optional[Tuple]): The spans done so far, as a linked list.
    """

    kind: int
    unit: int
    offset: int
    node: TrieNode | None
    steps: tuple[int, ...]
    stack: tuple[OpenSpan, ...]
    last: tuple[int, int] | None
    marked: tuple | None


class InlineState(State):
    """Where the automaton stands after some output tokens. Immutable."""

    __slots__ = ("_choices", "_next", "_places")

    def __init__(
        self, grammar: "InlineGrammar", places: tuple[Position, ...], length: int
    ):
        super().__init__(grammar, length)
        self._places = places
        self._choices: list[int] | None = None
        self._next: dict[int, tuple[int, list[Position]]] = {}

    @property
    def place(self) -> Position:
        """The place that wins where the automaton stands in several."""
        return self._places[0]

    @property
    def at_boundary(self) -> bool:
        """Whether the automaton stands between two units and nowhere else."""
        place = self._places[0]
        return len(self._places) == 1 and place.kind == COPY and place.offset == 0

    @property
    def finished(self) -> bool:
        place = self._places[0]
        return (
            place.kind == COPY
            and place.unit == len(self.grammar.source)
            and not place.stack
        )

    @property
    def choices(self) -> list[int]:
        if self._choices is None:
            self._expand()
        return self._choices  # type: ignore[return-value]

    def kind_of(self, id_: int) -> int:
        """What a legal next id does: COPY, CLOSE or OPEN.

        id_ (int): One of `choices`.
        RETURNS (int): The kind; of several, the one that settles ties first.
        """
        _ = self.choices
        return self._next[id_][0]

    def _after(self, id_: int) -> "InlineState":
        places = self._next[id_][1]
        if len(places) > 1:
            places = _distinct(places)
        return InlineState(self.grammar, tuple(places), self.length + 1)

    @property
    def marked(self) -> list[MarkedSpan]:
        return unlinked(self._places[0].marked)

    def _expand(self) -> None:
        if self.finished:
            self._choices = []
            return
        moves: list[tuple[int, int, Position]] = []
        for place in self._places:
            self.grammar.add_moves(place, self.length, moves)
        if len(self._places) > 1:
            moves.sort(key=lambda move: move[0])
        for kind, id_, place in moves:
            self._next.setdefault(id_, (kind, []))[1].append(place)
        self._choices = list(self._next)


def _distinct(places: list[Position]) -> list[Position]:
    """The places without those that only differ in what is already decided."""
    seen, kept = set(), []
    for place in places:
        key = (place.kind, place.unit, place.offset, id(place.node), len(place.stack))
        if key not in seen:
            seen.add(key)
            kept.append(place)
    return kept


class InlineGrammar(Grammar):
    """The legal outputs for one source.

    marks (Markup): The marks of the format and labels.
    source (Source): The text to be copied.
    max_depth (int): How many spans may be open at once.
    RAISES (ValueError): max_depth is below 1.
    """

    def __init__(self, marks: Markup, source: Source, max_depth: int):
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
        return InlineState(self, (Position(COPY, 0, 0, None, (), (), None, None),), 0)

    def target(self, spans: Iterable[tuple[int, int, int]]) -> list[int]:
        ids: list[int] = []
        marks = markup_by_boundary(spans, len(self.source))
        for unit, (closed, opened) in enumerate(marks):
            for label in closed:
                ids.extend(self.marks.close_ids[label])
            for label in opened:
                ids.extend(self.marks.open_ids[label])
            if unit < len(self.source):
                ids.extend(self.source.ids[unit])
        return ids

    def add_moves(
        self, place: Position, step: int, moves: list[tuple[int, int, Position]]
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

    def _add_copy(
        self, place: Position, moves: list[tuple[int, int, Position]]
    ) -> None:
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
        place: Position,
        node: TrieNode,
        kind: int,
        labels: frozenset[int],
        step: int,
        moves: list[tuple[int, int, Position]],
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

    def _opened(self, place: Position, label: int, steps: tuple[int, ...]) -> Position:
        named = label if self.marks.open_names_label else -1
        stack = (*place.stack, OpenSpan(place.unit, named, steps))
        return Position(COPY, place.unit, 0, None, (), stack, None, place.marked)

    def _closed(self, place: Position, label: int, steps: tuple[int, ...]) -> Position:
        top = place.stack[-1]
        span = MarkedSpan(top.start, place.unit, label, top.steps + steps)
        last = (top.start, label)
        link = (place.marked, span)
        return Position(COPY, place.unit, 0, None, (), place.stack[:-1], last, link)

    def _closable(self, place: Position) -> frozenset[int]:
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

    def _openable(self, place: Position) -> frozenset[int]:
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
        if self._roomy((*stack, OpenSpan(unit, -1, ())), unit):
            return labels
        if not self.marks.open_names_label:
            fits = self._feasible((*stack, OpenSpan(unit, -1, ())), unit, None)
            return labels if fits else frozenset()
        return frozenset(
            label
            for label in labels
            if self._feasible((*stack, OpenSpan(unit, label, ())), unit, None)
        )

    def _roomy(self, stack: tuple[OpenSpan, ...], boundary: int) -> bool:
        """Whether there are boundaries enough for each open span to end at its own."""
        after = min(boundary + 1, len(self.source) + 1)
        return self._ends_after[after] > len(stack)

    def _feasible(
        self, stack: tuple[OpenSpan, ...], boundary: int, last: tuple[int, int] | None
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
