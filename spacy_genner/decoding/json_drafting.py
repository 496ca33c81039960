"""Guesses of how a JSON output goes on: what stands around its strings."""

from ..grammar import JsonState
from ..grammar.json_states import LABEL, LIST, TEXT


class JsonDrafter:
    """Drafts up to the start of the next text, which can't be guessed: that a text ends
    here, with the label of the entry before and the first number there is."""

    def draft(self, state: JsonState) -> tuple[list[int], list[JsonState]]:
        """Draft how an output goes on.

        state (JsonState): Where it stands.
        RETURNS (Tuple[List[int], List[JsonState]]): The ids, the state before each, and
            that after the last unless the output is complete there.
        """
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

    def learn(
        self, states: list[JsonState], ids: list[int], chosen: dict[int, int]
    ) -> None:
        """Take note of what the model preferred along the last draft: nothing, as it
        was asked behind a text that it did not choose."""


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
