"""What a decoder is given and what it gives back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..grammar import Marked, OutputGrammar


@dataclass(frozen=True)
class Task:
    """One model input.

    grammar (OutputGrammar): The legal outputs, with the source.
    prompt (Tuple[int, ...]): The ids between the shared prefix and the output, at
        least one.
    unit_ends (Tuple[int, ...]): Where the prompt has the last id of each unit, in the
        last reading of the text; empty where that is not known.
    expected (Optional[Tuple[Tuple[int, int, int], ...]]): Spans that the output will
        probably say (first unit, unit after the last, label index); None where nothing
        is known of them.
    """

    grammar: OutputGrammar
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
class Decoded:
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
    grammar: OutputGrammar, marked: Sequence[Marked], decisions: Sequence[Decision]
) -> tuple[ScoredSpan, ...]:
    """The spans of an output with their probabilities.

    A span's score is the product of the probabilities of the choices that its own
    marks took: P(open) × P(label) × P(close), and in the JSON formats those of its
    entry. Forced tokens count as certain.

    grammar (OutputGrammar): The grammar.
    marked (Sequence[Marked]): The spans of the complete output.
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
