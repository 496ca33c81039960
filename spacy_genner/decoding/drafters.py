"""What drafts the outputs of a grammar. A wrong guess costs time, never the result."""

from typing import Any, Protocol

from ..grammar import JsonGrammar, OutputGrammar
from .inline_drafting import InlineDrafter
from .json_drafting import JsonDrafter


class Drafter(Protocol):
    """Guesses how one output goes on."""

    def draft(self, state: Any, /) -> tuple[list[int], list[Any]]:
        """Draft how an output goes on: the ids, the state before each, and that after
        the last unless the output is complete there."""

    def learn(
        self, states: list[Any], ids: list[int], chosen: dict[int, int], /
    ) -> None:
        """Take note of what the model preferred along the rest of the last draft."""


def make_drafter(grammar: OutputGrammar) -> Drafter:
    """Make what drafts one output.

    grammar (OutputGrammar): Its grammar.
    RETURNS (Drafter): The drafter.
    """
    return JsonDrafter() if isinstance(grammar, JsonGrammar) else InlineDrafter()
