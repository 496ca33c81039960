"""Guesses of how a JSON output goes on: what stands around its strings."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..grammar import JsonState
from ..grammar.json_states import LABEL, LIST, TEXT

if TYPE_CHECKING:
    from .drafts import SpanGuesser


class JsonDraft:
    """Drafts up to the start of the next text, which can't be guessed: that a text ends
    here, with the label of the entry before and the first number there is."""

    takes_spans = False

    def expect(self, spans: Iterable[tuple[int, int, int]]) -> None:
        """Nothing is made of spans."""

    def ask(self, guesser: "SpanGuesser") -> None:
        """Nobody is asked."""

    def write(self, state: JsonState) -> tuple[list[int], list[JsonState]]:
        ids: list[int] = []
        states: list[JsonState] = []
        while not state.finished:
            states.append(state)
            id_ = _guess(state)
            if id_ is None:
                break
            ids.append(id_)
            state = state.advance(id_)
        return ids, states

    def learn(self, place: int, chosen: dict[int, int]) -> None:
        """Nothing is learnt: the model was asked behind a text that is not its own."""


def _guess(state: JsonState) -> int | None:
    choices = state.choices
    if len(choices) == 1:
        return choices[0]
    if state.stage == TEXT:
        return None if state.text_starts else state.closing_id()
    if state.stage == LABEL:
        return state.towards(state.label)
    if state.stage == LIST and not state.grammar.grouped:
        # A list that ends is noticed at the next text, and costs nothing.
        return choices[-1]
    return choices[0]
