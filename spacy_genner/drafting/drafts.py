"""Drafts of one output, by its grammar."""

from collections.abc import Iterable
from typing import Any, Protocol

from ..grammar import JsonGrammar, OutputGrammar
from .inline_draft import InlineDraft
from .json_draft import JsonDraft

Spans = Iterable[tuple[int, int, int]]


class SpanGuesser(Protocol):
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

    def ask(self, guesser: SpanGuesser, /) -> None:
        """Take note of who knows more where spans turn out wrong.

        guesser (SpanGuesser): Who.
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


def make_draft(grammar: OutputGrammar) -> Draft:
    """Make what drafts one output.

    grammar (OutputGrammar): Its grammar.
    RETURNS (Draft): The draft; it expects no spans yet.
    """
    return JsonDraft() if isinstance(grammar, JsonGrammar) else InlineDraft()
