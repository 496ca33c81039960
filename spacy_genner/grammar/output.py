"""What the automata of all formats have in common."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..errors import Errors
from .source import Source


class Marked(NamedTuple):
    """A span that an output says: units (end exclusive), label index, and the output
    positions of the choices that say it."""

    start: int
    end: int
    label: int
    steps: tuple[int, ...]


def unlinked(link: tuple | None) -> list[Marked]:
    """RETURNS (List[Marked]): The spans of a linked list, the first one first."""
    spans = []
    while link is not None:
        link, span = link
        spans.append(span)
    return spans[::-1]


class OutputState:
    """Where an automaton stands after some output tokens. Immutable.

    grammar (OutputGrammar): The grammar.
    length (int): The tokens so far.
    """

    __slots__ = ("grammar", "length")

    def __init__(self, grammar: Any, length: int):
        self.grammar = grammar
        self.length = length

    @property
    def finished(self) -> bool:
        """RETURNS (bool): Whether the output is complete."""
        raise AssertionError("abstract")

    @property
    def choices(self) -> list[int]:
        """RETURNS (List[int]): The legal next ids, in the order that settles ties;
        none where the output is complete."""
        raise AssertionError("abstract")

    @property
    def marked(self) -> list[Marked]:
        """RETURNS (List[Marked]): The spans that are done, in the order in which they
        were."""
        raise AssertionError("abstract")

    def advance(self, id_: int) -> Any:
        """The state after one more token.

        id_ (int): One of `choices`.
        RETURNS (OutputState): The next state, of the same class.
        RAISES (ValueError): The id is not legal here.
        """
        if id_ not in self.choices:
            raise ValueError(
                Errors.G102.format(found=id_, before=self.length, legal=self.choices)
            )
        return self._after(id_)

    def _after(self, id_: int) -> "OutputState":
        raise AssertionError("abstract")


class OutputGrammar:
    """The legal outputs for one source.

    source (Source): The text.
    max_depth (int): How many spans may be open at once, or lie over one unit.
    RAISES (ValueError): max_depth is below 1.
    """

    def __init__(self, source: Source, max_depth: int):
        if max_depth < 1:
            raise ValueError(Errors.G103.format(found=max_depth))
        self.source = source
        self.max_depth = max_depth

    def start(self) -> Any:
        """RETURNS (OutputState): The state before the first output token."""
        raise AssertionError("abstract")

    def target(self, spans: Iterable[tuple[int, int, int]]) -> list[int]:
        """The output that says some spans.

        spans (Iterable[Tuple[int, int, int]]): First unit, unit after the last, and
            label index of each; none crosses another where the format is inline.
        RETURNS (List[int]): The token ids.
        """
        raise AssertionError("abstract")

    def walk(self, ids: Sequence[int]) -> list[Any]:
        """The states before each token of an output, and the one after the last.

        ids (Sequence[int]): A legal output or the beginning of one.
        RETURNS (List[OutputState]): One state more than ids.
        RAISES (ValueError): An id is not legal at its place.
        """
        states = [self.start()]
        for id_ in ids:
            states.append(states[-1].advance(id_))
        return states

    def unsayable(
        self, spans: Iterable[tuple[int, int, int]]
    ) -> list[tuple[int, int, int]]:
        """The spans that would be placed elsewhere by what says them: none, where an
        output says the places.

        spans (Iterable[Tuple[int, int, int]]): First unit, unit after the last, and
            label index of each.
        RETURNS (List[Tuple[int, int, int]]): Those that are lost.
        """
        return []

    def doubtful(self, spans: Sequence[Marked]) -> list[Marked]:
        """The spans of a complete output that may mean another place: none, where it
        says the places.

        spans (Sequence[Marked]): The spans.
        RETURNS (List[Marked]): Those in doubt.
        """
        return []
