"""Guesses of how an inline output goes on: a copy with marks."""

from dataclasses import dataclass, field

from ..grammar import InlineState
from ..grammar.inline_states import CLOSE, COPY, OPEN


@dataclass
class Plan:
    """The marks guessed for the rest of an output, by boundary.

    opens (Dict[int, List[int]]): Labels of the spans that open there (-1: unnamed).
    closes (Dict[int, List[int]]): Labels of the spans that close there, innermost
        first.
    usual (int): The label to guess where nothing better is known.
    """

    opens: dict[int, list[int]] = field(default_factory=dict)
    closes: dict[int, list[int]] = field(default_factory=dict)
    usual: int = 0


class InlineDrafter:
    """Drafts the whole rest of an output: at first as the plain copy of the source,
    then with all the marks that the model wanted along the draft before."""

    def __init__(self) -> None:
        self._plan = Plan()

    def draft(self, state: InlineState) -> tuple[list[int], list[InlineState]]:
        """Draft the rest of an output.

        state (InlineState): Where it stands.
        RETURNS (Tuple[List[int], List[InlineState]]): The ids, and the state before
            each.
        """
        return draft(state, self._plan)

    def learn(
        self, states: list[InlineState], ids: list[int], chosen: dict[int, int]
    ) -> None:
        """Take note of what the model preferred along the last draft.

        states (List[InlineState]): The states before each token of the rest of the
            draft.
        ids (List[int]): The tokens of the draft there.
        chosen (Dict[int, int]): The token preferred at each place that had a choice.
        """
        self._plan = replan(states, ids, chosen, self._plan)


def draft(state: InlineState, plan: Plan) -> tuple[list[int], list[InlineState]]:
    """Write the rest of an output as planned: a copy with the planned marks.

    state (InlineState): Where the output stands.
    plan (Plan): The marks to put in; what is not legal is left out.
    RETURNS (Tuple[List[int], List[InlineState]]): The ids, and the state before each.
    """
    ids: list[int] = []
    states: list[InlineState] = []
    used: dict[tuple[int, int], int] = {}
    label = plan.usual
    if not state.at_boundary and state.place.kind == CLOSE:
        label = (plan.closes.get(state.place.unit) or [label])[0]
        used[(CLOSE, state.place.unit)] = 1
    while not state.finished:
        choices = state.choices
        if len(choices) == 1:
            id_ = choices[0]
        elif state.at_boundary:
            id_ = choices[0]
            unit = state.place.unit
            for kind, wanted in ((CLOSE, plan.closes), (OPEN, plan.opens)):
                done = used.get((kind, unit), 0)
                labels = wanted.get(unit, ())
                legal = [i for i in choices if state.kind_of(i) == kind]
                if done < len(labels) and legal:
                    label = labels[done] if labels[done] >= 0 else plan.usual
                    used[(kind, unit)] = done + 1
                    id_ = _towards(state, legal, label)
                    break
        else:
            id_ = _towards(state, choices, label)
        ids.append(id_)
        states.append(state)
        state = state.advance(id_)
    return ids, states


def replan(
    states: list[InlineState], ids: list[int], chosen: dict[int, int], plan: Plan
) -> Plan:
    """Make the next plan of what the model preferred along the last draft.

    All marks that it wanted go into the next draft at once, as in Jacobi decoding
    (Santilli et al., "Accelerating Transformer Inference for Translation via
    Parallel Decoding", 2023).

    states (List[InlineState]): The states before each token of the rest of the draft.
    ids (List[int]): The tokens of the draft there.
    chosen (Dict[int, int]): The token preferred at each place that had a choice.
    plan (Plan): The plan of the last draft.
    RETURNS (Plan): The next one.
    """
    new = Plan(usual=plan.usual)
    for index, (state, drafted) in enumerate(zip(states, ids, strict=True)):
        unit = state.place.unit
        wanted = chosen.get(index, drafted)
        kind = state.kind_of(wanted)
        if state.at_boundary:
            if kind == COPY:
                continue
            marks = new.closes if kind == CLOSE else new.opens
            agreed = state.kind_of(drafted) == kind
            label = _reached(state, wanted, plan.usual)
            if agreed:
                place = len(marks.get(unit, ()))
                old = (plan.closes if kind == CLOSE else plan.opens).get(unit, ())
                if wanted == drafted and place < len(old):
                    label = old[place]
            marks.setdefault(unit, []).append(label)
        elif kind in (CLOSE, OPEN) and index in chosen:
            marks = new.closes if kind == CLOSE else new.opens
            label = _reached(state, wanted, -1)
            if label >= 0:
                new.usual = label
                if marks.get(unit):
                    marks[unit][-1] = label
    return new


def _towards(state: InlineState, choices: list[int], label: int) -> int:
    """The choice that leads to a label's mark; the first where none does."""
    for id_ in choices:
        node = state.advance(id_).place.node
        if node is not None and label in node.below:
            return id_
        if node is None and state.kind_of(id_) != COPY:
            marked = state.advance(id_)
            if _label_of(marked, state.kind_of(id_)) == label:
                return id_
    return choices[0]


def _reached(state: InlineState, id_: int, default: int) -> int:
    """The label that a token of a mark leads to, where it leads to one only."""
    after = state.advance(id_)
    node = after.place.node
    if node is not None:
        return next(iter(node.below)) if len(node.below) == 1 else default
    return _label_of(after, state.kind_of(id_))


def _label_of(after: InlineState, kind: int) -> int:
    """The label of the mark that has just been completed."""
    if kind == OPEN:
        return after.place.stack[-1].label if after.place.stack else -1
    link = after.place.marked
    return link[1].label if kind == CLOSE and link is not None else -1
