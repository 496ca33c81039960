"""Drafts of JSON outputs: the entries of the spans that are expected."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..grammar import JsonState
from ..grammar.json_states import LABEL, LIST, TEXT

if TYPE_CHECKING:
    from .drafts import SpanGuesser

Span = tuple[int, int, int]


class JsonDraft:
    """Drafts an entry for each expected span, then the end of the list.

    Where no span is expected, it drafts up to the start of the next text. A text that
    the model has begun and nobody knows of is guessed to end at once, with the label
    of the entry before and the first number there is.
    """

    def __init__(self) -> None:
        self._spans: list[Span] | None = None
        self._guesser: SpanGuesser | None = None

    def expect(self, spans: Iterable[Span]) -> None:
        self._spans = sorted(spans, key=_order)

    def ask(self, guesser: "SpanGuesser") -> None:
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
