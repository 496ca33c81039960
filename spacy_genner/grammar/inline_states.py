"""Where an automaton of marked copies stands."""

from typing import TYPE_CHECKING, NamedTuple

from .inline_marks import Node
from .output import Marked, OutputState, unlinked

if TYPE_CHECKING:
    from .inline_automaton import InlineGrammar

COPY, CLOSE, OPEN = 0, 1, 2


class Opened(NamedTuple):
    """A span that is open: its first unit, its label (-1: not yet named), and the
    output positions at which its opening was decided."""

    start: int
    label: int
    steps: tuple[int, ...]


class Place(NamedTuple):
    """One place of the automaton.

    kind (int): COPY (at a boundary where offset is 0), CLOSE or OPEN (in a mark).
    unit (int): The unit that is copied next, or whose copying is under way.
    offset (int): How many of that unit's ids are copied.
    node (Optional[Node]): The place in the mark's trie.
    steps (Tuple[int, ...]): The output positions of the mark so far.
    stack (Tuple[Opened, ...]): The open spans, outermost first.
    last (Optional[Tuple[int, int]]): First unit and label of the span that was
        closed last at this very boundary.
    marked (Optional[Tuple]): The spans done so far, as a linked list.
    """

    kind: int
    unit: int
    offset: int
    node: Node | None
    steps: tuple[int, ...]
    stack: tuple[Opened, ...]
    last: tuple[int, int] | None
    marked: tuple | None


class InlineState(OutputState):
    """Where the automaton stands after some output tokens. Immutable."""

    __slots__ = ("_choices", "_next", "_places")

    def __init__(
        self, grammar: "InlineGrammar", places: tuple[Place, ...], length: int
    ):
        super().__init__(grammar, length)
        self._places = places
        self._choices: list[int] | None = None
        self._next: dict[int, tuple[int, list[Place]]] = {}

    @property
    def place(self) -> Place:
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
    def marked(self) -> list[Marked]:
        return unlinked(self._places[0].marked)

    def _expand(self) -> None:
        if self.finished:
            self._choices = []
            return
        moves: list[tuple[int, int, Place]] = []
        for place in self._places:
            self.grammar.add_moves(place, self.length, moves)
        if len(self._places) > 1:
            moves.sort(key=lambda move: move[0])
        for kind, id_, place in moves:
            self._next.setdefault(id_, (kind, []))[1].append(place)
        self._choices = list(self._next)


def _distinct(places: list[Place]) -> list[Place]:
    """The places without those that only differ in what is already decided."""
    seen, kept = set(), []
    for place in places:
        key = (place.kind, place.unit, place.offset, id(place.node), len(place.stack))
        if key not in seen:
            seen.add(key)
            kept.append(place)
    return kept
