"""The grammars of a format, whichever it is."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from ..formats import Format, JsonFormat
from .automaton import Grammar, Marked
from .json_automaton import JsonGrammar
from .json_pieces import make_json_pieces
from .marks import make_marks
from .source import Encode, Source


class OutputState(Protocol):
    """Where an automaton stands after some output tokens. Immutable."""

    @property
    def finished(self) -> bool:
        """Whether the output is complete."""

    @property
    def choices(self) -> list[int]:
        """The legal next ids, in the order that settles ties; none where the output
        is complete."""

    @property
    def marked(self) -> list[Marked]:
        """The spans that are done."""

    def advance(self, id_: int, /) -> "OutputState":
        """The state after one of `choices`."""


class OutputGrammar(Protocol):
    """The legal outputs for one source."""

    source: Source

    def start(self) -> OutputState:
        """The state before the first output token."""

    def target(self, spans: Iterable[tuple[int, int, int]], /) -> list[int]:
        """The output that says some spans: units and label index of each."""

    def unsayable(
        self, spans: Iterable[tuple[int, int, int]], /
    ) -> list[tuple[int, int, int]]:
        """The spans that an output would say of another place."""

    def doubtful(self, spans: Sequence[Marked], /) -> list[Marked]:
        """The spans of an output that may mean another place."""


GrammarMaker = Callable[[Source], OutputGrammar]


def make_grammars(
    fmt: Format, labels: Sequence[str], encode: Encode, max_depth: int
) -> GrammarMaker:
    """What makes the grammar of each source.

    fmt (Format): The output format.
    labels (Sequence[str]): The labels, in their order.
    encode (Callable[[str], Sequence[int]]): Encodes one piece of text.
    max_depth (int): How many spans may be open at once; in the JSON formats, in how
        many a unit may lie.
    RETURNS (Callable[[Source], OutputGrammar]): Makes a grammar of a source.
    RAISES (ValueError): Two labels can't be told apart under the tokenizer.
    """
    if isinstance(fmt, JsonFormat):
        pieces = make_json_pieces(fmt.name, labels, encode)
        return partial(JsonGrammar, pieces, max_depth=max_depth, encode=encode)
    return partial(Grammar, make_marks(fmt, labels, encode), max_depth=max_depth)
