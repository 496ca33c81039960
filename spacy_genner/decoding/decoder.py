"""Greedy decoding of many tasks at once, one token or one draft a pass.

The decoders are registered as they stand, and every pipeline with the component makes
one when it is built: importing this module loads neither torch nor transformers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..grammar import OutputState
from ..settings import check_count
from .drafters import Drafter, make_drafter
from .tasks import Decision, Decoded, Task, scored_spans

if TYPE_CHECKING:
    from torch import Tensor

    from .rows import Engine, Rows


class StepDecoder:
    """The reference: one token a pass, the most probable of the legal ones. Registered
    as `spacy-genner.StepDecoder.v1`.

    batch_tokens (int): The most tokens (prompts and copies) of one batch.
    """

    drafting = False

    def __init__(self, batch_tokens: int = 2048):
        self.batch_tokens = check_count("decoder.batch_tokens", batch_tokens)

    def decode(self, engine: "Engine", tasks: Sequence[Task]) -> list[Decoded]:
        """Decode some tasks.

        engine (Engine): The model behind the prefix that the tasks share.
        tasks (Sequence[Task]): The tasks, of any lengths.
        RETURNS (List[Decoded]): One result for each task, in their order.
        """
        results: list[Decoded | None] = [None] * len(tasks)
        for batch in self._batches(tasks):
            decoded = self._decode_batch(engine, [tasks[index] for index in batch])
            for index, result in zip(batch, decoded, strict=True):
                results[index] = result
        return [result for result in results if result is not None]

    def _batches(self, tasks: Sequence[Task]) -> Iterator[list[int]]:
        """Indices of the tasks, long ones together with long ones."""
        batch: list[int] = []
        order = sorted(range(len(tasks)), key=lambda index: -len(tasks[index]))
        for index in order:
            if batch and len(tasks[batch[0]]) * (len(batch) + 1) > self.batch_tokens:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _decode_batch(self, engine: "Engine", tasks: list[Task]) -> list[Decoded]:
        rows = [_Row(task, self.drafting) for task in tasks]
        open_rows = [index for index, row in enumerate(rows) if not row.state.finished]
        # Room for some marks; the rows grow where a text has more.
        kept = engine.rows(len(rows), max(map(len, tasks)) * 5 // 4 + 16)
        while open_rows:
            for index in open_rows:
                rows[index].guess()
            hidden = _feed(kept, rows, open_rows)
            _decide(engine, rows, hidden)
            open_rows = [index for index in open_rows if not rows[index].state.finished]
        return [row.result() for row in rows]


class DraftDecoder(StepDecoder):
    """The same outputs in a few passes: guess the rest, check it in one, go on.
    Registered as `spacy-genner.DraftDecoder.v1`.

    Each pass accepts a draft up to the first place where the model prefers another
    token, and takes that token. What is drafted depends on the format: the source with
    the marks guessed, or what stands around the strings of a list. Greedy decoding with
    drafts from the input: Sun et al., "Instantaneous Grammatical Error Correction with
    Shallow Aggressive Decoding", 2021.

    batch_tokens (int): The most tokens (prompts and copies) of one batch.
    """

    drafting = True


@dataclass
class _Row:
    """One task on its way."""

    task: Task
    drafting: bool
    state: OutputState = field(init=False)
    drafter: Drafter | None = field(init=False)
    output: list[int] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    # What is accepted and not yet run, and at which place of the row it starts.
    pending: list[int] = field(init=False)
    start: int = 0
    # The draft, and the states in which its tokens, and one more, are decided on.
    ids: list[int] = field(default_factory=list)
    states: list[OutputState] = field(default_factory=list)
    passes: int = 0
    fed: int = 0

    def __post_init__(self) -> None:
        self.state = self.task.grammar.start()
        self.drafter = make_drafter(self.task.grammar) if self.drafting else None
        self.pending = list(self.task.prompt)

    def guess(self) -> None:
        """Draft how the output goes on, or nothing."""
        self.ids, self.states = [], [self.state]
        if self.drafter is not None:
            self.ids, self.states = self.drafter.draft(self.state)
        self.passes += 1

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
            if self.drafter is not None:
                rest = {
                    place - index - 1: choice[0]
                    for place, choice in chosen.items()
                    if place > index
                }
                after = index + 1
                self.drafter.learn(self.states[after:], self.ids[after:], rest)
            return
        self.pending = []

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
        grammar = self.task.grammar
        spans = scored_spans(grammar, self.state.marked, self.decisions)
        return Decoded(
            tuple(self.output), spans, tuple(self.decisions), self.passes, self.fed
        )


def _feed(kept: "Rows", rows: list[_Row], indices: list[int]) -> "dict[int, Tensor]":
    """Run each row's tokens."""
    feeding = [rows[index].feeding for index in indices]
    starts = [rows[index].start for index in indices]
    return dict(zip(indices, kept.feed(indices, feeding, starts), strict=True))


def _decide(engine: "Engine", rows: list[_Row], hidden: dict[int, "Tensor"]) -> None:
    """Choose wherever a draft has a choice, all rows at once, and take over."""
    asked = {index: rows[index].asked() for index in hidden}
    states, legal = [], []
    for index, places in asked.items():
        before = len(rows[index].pending) - 1
        for place, state in places:
            states.append(hidden[index][before + place])
            legal.append(state.choices)
    answers = iter(zip(*engine.choose(states, legal), strict=True))
    for index, places in asked.items():
        rows[index].accept({place: next(answers) for place, _ in places})
