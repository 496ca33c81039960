"""Continuous batching: sequences enter and leave the batch between forward passes.

A sequence that has finished gives its row to the next one that waits, so few passes run
for the slowest sequences alone (Yu et al., "Orca: A Distributed Serving System for
Transformer-Based Generative Models", 2022).

Each pass drafts and verifies. A sequence feeds the tokens that are accepted and not yet
run, followed by its draft. The model chooses among the legal tokens at every point of
the draft where the grammar leaves a choice. The draft is accepted up to the first token
that differs from the model's choice, which takes that token's place. All accepted
tokens are therefore the model's own choices after the same text, and the output equals
that of greedy decoding, whatever was drafted. Without a draft each pass yields one
choice.
"""

import math
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ..grammar import Grammar, InlineState, MarkedSpan, State
from .drafts import Draft
from .span_odds import SpanOdds

if TYPE_CHECKING:
    from torch import Tensor

    from .engine import BatchCache, Engine

# A draft has at most `DRAFT_GROWTH` times as many tokens as were accepted of the last
# one. `MIN_DRAFT_LIMIT` tokens are always allowed.
DRAFT_GROWTH = 4
MIN_DRAFT_LIMIT = 64
# At least this many texts are decoded together, however long they are, if rows share
# the prefix and there is room for that many rows of `MIN_ROW_TOKENS` tokens.
MIN_ROWS = 4
MIN_ROW_TOKENS = 256


@dataclass(frozen=True)
class DecodingTask:
    """One model input.

    grammar (Grammar): The grammar of the output, with the source text.
    prompt (tuple[int, ...]): The ids between the shared prefix and the output, at least
        one.
    word_ends (tuple[int, ...]): The index in the prompt of each word's last token, in
        the last reading of the text; empty if unknown.
    expected (tuple[tuple[int, int, int], ...] | None): The spans to draft (first word,
        end word exclusive, label index); None if nothing is known.
    """

    grammar: Grammar
    prompt: tuple[int, ...]
    word_ends: tuple[int, ...] = ()
    expected: tuple[tuple[int, int, int], ...] | None = None

    def __len__(self) -> int:
        return len(self.prompt) + sum(map(len, self.grammar.source.ids))


class Decision(NamedTuple):
    """A choice among several legal tokens.

    step (int): The index of the token in the output.
    id (int): The chosen token.
    logp (float): The natural logarithm of its probability among the legal tokens.
    margin (float): The margin of its logit over the second best.
    """

    step: int
    id: int
    logp: float
    margin: float


class ScoredSpan(NamedTuple):
    """A decoded span.

    start (int): The first word.
    end (int): The end word, exclusive.
    label (int): The index of the label.
    score (float): The probability of the span's own tokens, from 0 to 1.
    doubtful (bool): Whether another occurrence of its text may be meant.
    """

    start: int
    end: int
    label: int
    score: float
    doubtful: bool = False


@dataclass(frozen=True)
class DecodingResult:
    """A complete output.

    ids (tuple[int, ...]): The token ids of the output.
    spans (tuple[ScoredSpan, ...]): The spans, in the order in which they close.
    decisions (tuple[Decision, ...]): The choices, in the order of the output.
    passes (int): The number of forward passes that the task took part in.
    fed (int): The number of tokens that the model ran for the task, without padding.
    """

    ids: tuple[int, ...]
    spans: tuple[ScoredSpan, ...]
    decisions: tuple[Decision, ...]
    passes: int
    fed: int


def scored_spans(
    grammar: Grammar, spans: Sequence[MarkedSpan], decisions: Sequence[Decision]
) -> tuple[ScoredSpan, ...]:
    """Score the spans of an output.

    The score of a span is the product of the probabilities of the choices in its own
    markup: P(open) × P(label) × P(close), or in the JSON formats those of its entry.
    Forced tokens count as certain.

    grammar (Grammar): The grammar.
    spans (Sequence[MarkedSpan]): The spans of the complete output.
    decisions (Sequence[Decision]): The choices of the output.
    RETURNS (tuple[ScoredSpan, ...]): The spans with their scores.
    """
    logps = {decision.step: decision.logp for decision in decisions}
    doubtful = set(grammar.ambiguous(spans))
    return tuple(
        ScoredSpan(
            span.start,
            span.end,
            span.label,
            math.exp(min(0.0, sum(logps.get(step, 0.0) for step in span.steps))),
            span in doubtful,
        )
        for span in spans
    )


@dataclass
class ActiveSequence:
    """A task that is being decoded.

    task (DecodingTask): The task.
    draft (Draft | None): Drafts the output; None to decode token by token.
    drafts_with_head (bool): Whether the draft head proposes spans for the draft once
        the prompt has run.
    weighs_head (bool): Whether the draft head's scores are added to the choices.

    odds (SpanOdds | None): The draft head's view of the choices, if it is weighed and
        the prompt has run.
    state (State): The state of the grammar after the accepted output.
    output (list[int]): The accepted output.
    decisions (list[Decision]): The choices in the accepted output.
    pending (list[int]): The ids that are accepted and not yet run, at first the prompt.
    start (int): The position behind the prefix of the first pending token.
    draft_ids (list[int]): The drafted tokens.
    draft_states (list[State]): The state before each drafted token, and that after the
        last one if the output does not end with the draft.
    draft_limit (int): The maximum number of drafted tokens.
    passes (int): The number of forward passes so far.
    fed (int): The number of tokens that the model ran so far.
    """

    task: DecodingTask
    draft: Draft | None = None
    drafts_with_head: bool = False
    weighs_head: bool = False
    odds: SpanOdds | None = field(default=None, init=False)
    state: State = field(init=False)
    output: list[int] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    pending: list[int] = field(init=False)
    start: int = 0
    draft_ids: list[int] = field(default_factory=list)
    draft_states: list[State] = field(default_factory=list)
    draft_limit: int = sys.maxsize
    passes: int = 0
    fed: int = 0

    def __post_init__(self) -> None:
        self.state = self.task.grammar.start()
        if self.draft is not None and self.task.expected is not None:
            self.draft.expect(self.task.expected)
        self.pending = list(self.task.prompt)

    @property
    def finished(self) -> bool:
        """RETURNS (bool): Whether the output is complete."""
        return self.state.finished

    @property
    def length(self) -> int:
        """RETURNS (int): The number of tokens of the prompt and the accepted output."""
        return self.start + len(self.pending)

    @property
    def new_ids(self) -> list[int]:
        """RETURNS (list[int]): The ids that the next pass runs. The last token of a
        draft that completes the output is left out: no choice follows it."""
        return [*self.pending, *self.draft_ids[: len(self.draft_states) - 1]]

    def write_draft(self, pass_cost: float) -> None:
        """Draft the rest of the output, possibly only a part of it or nothing.

        pass_cost (float): The cost of one more pass, in tokens.
        """
        self.draft_ids, self.draft_states = [], [self.state]
        # The head proposes spans only after the prompt has run.
        awaits_head = self.drafts_with_head and self.task.expected is None
        if self.draft is not None and not awaits_head:
            ids, states = self.draft.write(self.state, pass_cost)
            self.draft_ids = ids[: self.draft_limit]
            self.draft_states = states[: self.draft_limit + 1]
        self.passes += 1

    def use_head(self, engine: "Engine", hidden: "Tensor") -> None:
        """Let the draft head score the spans, in the pass that runs the prompt.

        engine (Engine): The model with the draft head.
        hidden (Tensor): The hidden states of the sequence's new tokens, shape (tokens,
            width).
        """
        if not (self.drafts_with_head or self.weighs_head):
            return
        proposer = engine.span_proposer(hidden[list(self.task.word_ends)])
        if self.weighs_head:
            self.odds = SpanOdds(proposer)
        if self.drafts_with_head and self.draft is not None:
            self.draft.use_proposer(proposer)
            if self.task.expected is None:
                self.draft.expect(proposer.likely_spans())
                self.draft.trust(*proposer.certainty())
        self.drafts_with_head = self.weighs_head = False

    def choice_points(self) -> list[tuple[int, State]]:
        """RETURNS (list[tuple[int, State]]): The indices of the draft at which several
        tokens are legal, with the states there."""
        return [
            (index, state)
            for index, state in enumerate(self.draft_states)
            if len(state.choices) > 1
        ]

    def accept(self, chosen: dict[int, tuple[int, float, float]]) -> None:
        """Accept the draft up to the first token that differs from the model's choice,
        and that choice.

        chosen (dict[int, tuple[int, float, float]]): The id, log-probability and margin
            of the model's choice at each choice point.
        """
        self.fed += len(self.new_ids)
        self.start += len(self.pending)
        for index, state in enumerate(self.draft_states):
            drafted = self.draft_ids[index] if index < len(self.draft_ids) else None
            id_ = self._accept_token(index, state.choices[0], drafted, chosen)
            if id_ == drafted:
                continue
            self.start += index
            self.pending = [id_]
            if drafted is not None:
                self.draft_limit = max(MIN_DRAFT_LIMIT, DRAFT_GROWTH * index)
            if self.draft is not None:
                preferred = {place: choice[0] for place, choice in chosen.items()}
                certainty = {place: math.exp(c[1]) for place, c in chosen.items()}
                self.draft.learn(index, preferred, certainty)
            return
        # The draft completed the output.
        self.pending, self.draft_ids, self.draft_states = [], [], []
        self.draft = None

    def _accept_token(
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
        spans = scored_spans(self.task.grammar, self.state.spans, self.decisions)
        return DecodingResult(
            tuple(self.output), spans, tuple(self.decisions), self.passes, self.fed
        )


class ContinuousBatcher:
    """Decodes sequences in a batch that is refilled between forward passes.

    engine (Engine): The model behind the prefix that the sequences share.
    batch_tokens (int): The maximum number of tokens (prompts and copies) of a batch.
    opening_bias (float): Added to the logit of opening a span.
    """

    def __init__(self, engine: "Engine", batch_tokens: int, opening_bias: float = 0.0):
        self.engine = engine
        self.batch_tokens = batch_tokens
        self.opening_bias = opening_bias
        # The sequence at index i occupies row i of the cache.
        self._sequences: list[ActiveSequence] = []
        self._cache: BatchCache | None = None
        self._row_count = 0

    def run(self, waiting: deque[ActiveSequence]) -> None:
        """Decode sequences to their ends.

        waiting (deque[ActiveSequence]): The sequences, in descending order of length.
            The deque is emptied.
        """
        while waiting or self._sequences:
            self._admit(waiting)
            cost = self.engine.pass_cost(len(self._sequences))
            for sequence in self._sequences:
                sequence.write_draft(cost)
            hidden = self._forward()
            for sequence, states in zip(self._sequences, hidden, strict=True):
                sequence.use_head(self.engine, states)
            self._verify(hidden)
            self._replace_finished(waiting)

    @property
    def _max_length(self) -> int:
        """An upper bound for the length of the sequences that wait."""
        return max(len(sequence.task) for sequence in self._sequences)

    @property
    def _has_room(self) -> bool:
        count = len(self._sequences)
        return not count or count < self._most_rows()

    def _most_rows(self) -> int:
        """The number of rows that the cache may have while these sequences run."""
        rows = self.batch_tokens // self._max_length
        if self.engine.shares_prefix:
            # Rows without the prefix take half of the memory, and short drafts need
            # more of them to fill a pass.
            rows = max(2 * rows, min(MIN_ROWS, self.batch_tokens // MIN_ROW_TOKENS))
        return rows

    def _admit(self, waiting: deque[ActiveSequence]) -> None:
        while waiting and self._has_room:
            self._sequences.append(waiting.popleft())
        if len(self._sequences) > self._row_count:
            self._reserve()

    def _reserve(self) -> None:
        """Make room for the sequences, and for all that can enter while these are the
        longest."""
        self._row_count = max(len(self._sequences), self._most_rows())
        # Room for some markup. The cache grows if a text has more.
        estimate = self._max_length * 5 // 4 + 16
        capacity = max(estimate, *(sequence.length for sequence in self._sequences))
        if self._cache is None:
            self._cache = self.engine.rows(self._row_count, capacity)
        else:
            self._cache.resize(self._row_count, capacity)

    def _forward(self) -> "list[Tensor]":
        """Run the new tokens of each sequence; returns their hidden states."""
        assert self._cache is not None
        ids = [sequence.new_ids for sequence in self._sequences]
        starts = [sequence.start for sequence in self._sequences]
        return self._cache.feed(range(len(self._sequences)), ids, starts)

    def _verify(self, hidden: "list[Tensor]") -> None:
        """Choose a token at every choice point of the batch, and accept the drafts."""
        points = [sequence.choice_points() for sequence in self._sequences]
        states, legal = [], []
        biases: list[list[float]] | None = None
        if self.opening_bias or self.engine.head_weight:
            biases = []
        for sequence, own_points, own_hidden in zip(
            self._sequences, points, hidden, strict=True
        ):
            # The last pending token predicts the first drafted one.
            offset = len(sequence.pending) - 1
            for index, state in own_points:
                states.append(own_hidden[offset + index])
                legal.append(state.choices)
                if biases is not None:
                    biases.append(self._biases(sequence, state))
        choices = iter(zip(*self.engine.choose(states, legal, biases), strict=True))
        for sequence, own_points in zip(self._sequences, points, strict=True):
            sequence.accept({index: next(choices) for index, _ in own_points})

    def _biases(self, sequence: ActiveSequence, state: "State") -> list[float]:
        """The value to add to the logit of each legal id."""
        biases = [0.0] * len(state.choices)
        if not isinstance(state, InlineState):
            return biases
        if sequence.odds is not None:
            weight = self.engine.head_weight
            biases = [weight * odds for odds in sequence.odds.of_choices(state)]
        if self.opening_bias:
            opening_ids = state.opening_ids
            for index, id_ in enumerate(state.choices):
                biases[index] += self.opening_bias * (id_ in opening_ids)
        return biases

    def _replace_finished(self, waiting: deque[ActiveSequence]) -> None:
        """Give the rows of finished sequences to those that wait."""
        assert self._cache is not None
        row = 0
        while row < len(self._sequences):
            if not self._sequences[row].finished:
                row += 1
            elif waiting:
                # It is no longer than the one that has finished.
                self._sequences[row] = waiting.popleft()
            else:
                last = self._sequences.pop()
                if row < len(self._sequences):
                    self._sequences[row] = last
                    self._cache.move(len(self._sequences), row)
