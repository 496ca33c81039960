"""One output on its way: drafted, checked, accepted."""

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..drafting.drafts import Draft
from ..grammar import OutputState
from .tasks import Decision, Decoded, Task, scored_spans

if TYPE_CHECKING:
    from torch import Tensor

    from .rows import Engine

# The next draft is at most so many times as long as what was accepted of the last one,
# but not shorter than so many tokens.
REACH = 4
SHORTEST = 64


@dataclass
class Row:
    """One task on its way.

    task (Task): The task.
    draft (Optional[Draft]): What drafts its output; None to go token by token.
    asks_head (bool): Whether the draft head is to be asked once it has seen the text.
    """

    task: Task
    draft: Draft | None = None
    asks_head: bool = False
    state: OutputState = field(init=False)
    output: list[int] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    # What is accepted and not yet run, and at which place of the row it starts.
    pending: list[int] = field(init=False)
    start: int = 0
    # The draft, and the states in which its tokens, and one more, are decided on.
    ids: list[int] = field(default_factory=list)
    states: list[OutputState] = field(default_factory=list)
    # How many tokens a draft has at most.
    reach: int = sys.maxsize
    passes: int = 0
    fed: int = 0

    def __post_init__(self) -> None:
        self.state = self.task.grammar.start()
        if self.draft is not None and self.task.expected is not None:
            self.draft.expect(self.task.expected)
        self.pending = list(self.task.prompt)

    def guess(self) -> None:
        """Draft how the output goes on, or nothing."""
        self.ids, self.states = [], [self.state]
        if self.draft is not None and not self._waits:
            ids, states = self.draft.write(self.state)
            self.ids, self.states = ids[: self.reach], states[: self.reach + 1]
        self.passes += 1

    @property
    def _waits(self) -> bool:
        """Whether a draft is put off until the head has been asked."""
        return self.asks_head and self.task.expected is None

    def meet(self, engine: "Engine", hidden: "Tensor") -> None:
        """Ask the draft head, in the pass that runs the prompt.

        engine (Engine): The model.
        hidden (Tensor): The hidden states of what the row fed.
        """
        if not self.asks_head:
            return
        assert self.draft is not None
        guesser = engine.guesser(hidden[list(self.task.unit_ends)])
        self.draft.ask(guesser)
        if self.task.expected is None:
            self.draft.expect(guesser.likely())
        self.asks_head = False

    @property
    def finished(self) -> bool:
        """RETURNS (bool): Whether its output is complete."""
        return self.state.finished

    @property
    def ready(self) -> int:
        """RETURNS (int): How many of its tokens are accepted, or in the prompt."""
        return self.start + len(self.pending)

    @property
    def feeding(self) -> list[int]:
        """The ids to be run. One that nothing is decided after need not be."""
        return [*self.pending, *self.ids[: len(self.states) - 1]]

    def asked(self) -> list[tuple[int, OutputState]]:
        """The places of the draft that have a choice, with the states there."""
        return [
            (index, state)
            for index, state in enumerate(self.states)
            if len(state.choices) > 1
        ]

    def accept(self, chosen: dict[int, tuple[int, float, float]]) -> None:
        """Take over the draft up to the first token that the model does not prefer,
        and that place's own token.

        chosen (Dict[int, Tuple[int, float, float]]): Id, log-probability and margin
            for each place that has a choice.
        """
        self.fed += len(self.feeding)
        self.start += len(self.pending)
        for index, state in enumerate(self.states):
            drafted = self.ids[index] if index < len(self.ids) else None
            id_ = self._take(index, state.choices[0], drafted, chosen)
            if id_ == drafted:
                continue
            self.start += index
            self.pending = [id_]
            if self.ids:
                self.reach = max(SHORTEST, REACH * index)
            if self.draft is not None:
                wanted = {place: choice[0] for place, choice in chosen.items()}
                self.draft.learn(index, wanted)
            return
        # Nothing more is drafted.
        self.pending, self.ids, self.states, self.draft = [], [], [], None

    def _take(
        self,
        index: int,
        forced: int,
        drafted: int | None,
        chosen: dict[int, tuple[int, float, float]],
    ) -> int:
        id_ = forced if drafted is None else drafted
        if index in chosen:
            id_, logp, margin = chosen[index]
            self.decisions.append(Decision(len(self.output), id_, logp, margin))
        self.output.append(id_)
        self.state = self.state.advance(id_)
        return id_

    def result(self) -> Decoded:
        """RETURNS (Decoded): The complete output."""
        grammar = self.task.grammar
        spans = scored_spans(grammar, self.state.marked, self.decisions)
        return Decoded(
            tuple(self.output), spans, tuple(self.decisions), self.passes, self.fed
        )
