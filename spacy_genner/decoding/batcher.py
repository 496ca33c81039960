"""Continuous batching: sequences enter and leave the batch between forward passes."""

import math
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ..grammar import Grammar, MarkedSpan, State
from .drafts import Draft

if TYPE_CHECKING:
    from torch import Tensor

    from .engine import BatchCache, Engine


@dataclass(frozen=True)
class DecodingTask:
    """One model input.

    grammar (Grammar): The legal outputs, with the source.
    prompt (Tuple[int, ...]): The ids between the shared prefix and the output, at
        least one.
    unit_ends (Tuple[int, ...]): Where the prompt has the last id of each unit, in the
        last reading of the text; empty where that is not known.
    expected (Optional[Tuple[Tuple[int, int, int], ...]]): Spans that the output will
        probably say (first unit, unit after the last, label index); None where nothing
        is known of them.
    """

    grammar: Grammar
    prompt: tuple[int, ...]
    unit_ends: tuple[int, ...] = ()
    expected: tuple[tuple[int, int, int], ...] | None = None

    def __len__(self) -> int:
        return len(self.prompt) + sum(map(len, self.grammar.source.ids))


class Decision(NamedTuple):
    """A choice among several legal tokens.

    step (int): Its place in the output.
    id (int): The token chosen.
    logp (float): Natural logarithm of its probability among the legal ones.
    margin (float): By how much its logit leads the second best.
    """

    step: int
    id: int
    logp: float
    margin: float


class ScoredSpan(NamedTuple):
    """A decoded span.

    start (int): Its first unit.
    end (int): The unit after its last.
    label (int): The index of its label.
    score (float): The probability of what says it.
    doubtful (bool): Whether another place of its text may be meant.
    """

    start: int
    end: int
    label: int
    score: float
    doubtful: bool = False


@dataclass(frozen=True)
class DecodingResult:
    """A complete output.

    ids (Tuple[int, ...]): The output's token ids.
    spans (Tuple[ScoredSpan, ...]): Its spans, in the order in which they close.
    decisions (Tuple[Decision, ...]): The choices, in the order of the output.
    passes (int): Forward passes that the task took part in.
    fed (int): Tokens that were run through the model for it, padding left out.
    """

    ids: tuple[int, ...]
    spans: tuple[ScoredSpan, ...]
    decisions: tuple[Decision, ...]
    passes: int
    fed: int


def scored_spans(
    grammar: Grammar, marked: Sequence[MarkedSpan], decisions: Sequence[Decision]
) -> tuple[ScoredSpan, ...]:
    """The spans of an output with their probabilities.

    A span's score is the product of the probabilities of the choices that its own
    marks took: P(open) × P(label) × P(close), and in the JSON formats those of its
    entry. Forced tokens count as certain.

    grammar (Grammar): The grammar.
    marked (Sequence[MarkedSpan]): The spans of the complete output.
    decisions (Sequence[Decision]): Its choices.
    RETURNS (Tuple[ScoredSpan, ...]): The spans.
    """
    logps = {decision.step: decision.logp for decision in decisions}
    doubtful = set(grammar.doubtful(marked))
    return tuple(
        ScoredSpan(
            span.start,
            span.end,
            span.label,
            math.exp(min(0.0, sum(logps.get(step, 0.0) for step in span.steps))),
            span in doubtful,
        )
        for span in marked
    )


# The next draft is at most so many times as long as what was accepted of the last one,
# but not shorter than so many tokens.
REACH = 4
SHORTEST = 64


@dataclass
class ActiveSequence:
    """One task on its way.

    task (DecodingTask): The task.
    draft (Optional[Draft]): What drafts its output; None to go token by token.
    asks_head (bool): Whether the draft head is to be asked once it has seen the text.
    """

    task: DecodingTask
    draft: Draft | None = None
    asks_head: bool = False
    state: State = field(init=False)
    output: list[int] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    # What is accepted and not yet run, and at which place of the row it starts.
    pending: list[int] = field(init=False)
    start: int = 0
    # The draft, and the states in which its tokens, and one more, are decided on.
    ids: list[int] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
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

    def asked(self) -> list[tuple[int, State]]:
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

    def result(self) -> DecodingResult:
        """RETURNS (DecodingResult): The complete output."""
        grammar = self.task.grammar
        spans = scored_spans(grammar, self.state.marked, self.decisions)
        return DecodingResult(
            tuple(self.output), spans, tuple(self.decisions), self.passes, self.fed
        )


class ContinuousBatcher:
    """BatchCache that go through the model together.

    As soon as one is done, one that waits takes its place, so that few passes are run
    for the slowest alone: continuous batching (Yu et al., "Orca: A Distributed Serving
    System for Transformer-Based Generative Models", 2022).

    engine (Engine): The model behind the prefix that the rows share.
    batch_tokens (int): The most tokens (prompts and copies) of all of them.
    """

    def __init__(self, engine: "Engine", batch_tokens: int):
        self.engine = engine
        self.batch_tokens = batch_tokens
        self._rows: list[ActiveSequence] = []
        self._kept: BatchCache | None = None
        self._slots = 0

    def run(self, waiting: deque[ActiveSequence]) -> None:
        """Take rows to their ends.

        waiting (deque[ActiveSequence]): The rows, long ones first; emptied.
        """
        while waiting or self._rows:
            self._admit(waiting)
            for row in self._rows:
                row.guess()
            hidden = self._feed()
            for row, states in zip(self._rows, hidden, strict=True):
                row.meet(self.engine, states)
            self._decide(hidden)
            self._replace(waiting)

    @property
    def _longest(self) -> int:
        """No row that waits is longer."""
        return max(len(row.task) for row in self._rows)

    @property
    def _has_room(self) -> bool:
        count = len(self._rows)
        return not count or self._longest * (count + 1) <= self.batch_tokens

    def _admit(self, waiting: deque[ActiveSequence]) -> None:
        while waiting and self._has_room:
            self._rows.append(waiting.popleft())
        if len(self._rows) > self._slots:
            self._reserve()

    def _reserve(self) -> None:
        """Make room for the rows, and for as many as may come as long as these are the
        longest."""
        self._slots = max(len(self._rows), self.batch_tokens // self._longest)
        # Room for some marks; it grows where a text has more.
        wanted = self._longest * 5 // 4 + 16
        capacity = max(wanted, *(row.ready for row in self._rows))
        if self._kept is None:
            self._kept = self.engine.rows(self._slots, capacity)
        else:
            self._kept.resize(self._slots, capacity)

    def _feed(self) -> "list[Tensor]":
        """Run each row's tokens."""
        assert self._kept is not None
        feeding = [row.feeding for row in self._rows]
        starts = [row.start for row in self._rows]
        return self._kept.feed(range(len(self._rows)), feeding, starts)

    def _decide(self, hidden: "list[Tensor]") -> None:
        """Choose wherever a draft has a choice, all rows at once, and take over."""
        asked = [row.asked() for row in self._rows]
        states, legal = [], []
        for row, places, found in zip(self._rows, asked, hidden, strict=True):
            before = len(row.pending) - 1
            for place, state in places:
                states.append(found[before + place])
                legal.append(state.choices)
        answers = iter(zip(*self.engine.choose(states, legal), strict=True))
        for row, places in zip(self._rows, asked, strict=True):
            row.accept({place: next(answers) for place, _ in places})

    def _replace(self, waiting: deque[ActiveSequence]) -> None:
        """Give the places of rows that are done to others."""
        assert self._kept is not None
        slot = 0
        while slot < len(self._rows):
            if not self._rows[slot].finished:
                slot += 1
            elif waiting:
                # It is no longer than the one that is done.
                self._rows[slot] = waiting.popleft()
            else:
                last = self._rows.pop()
                if slot < len(self._rows):
                    self._rows[slot] = last
                    self._kept.move(len(self._rows), slot)
