"""The draft head's opinion of the choices in an inline output.

The language model chooses tag by tag, and the draft head scores whole spans. `SpanOdds`
expresses the head's scores as log-odds of opening, closing and labeling a span. They
are added, with a weight, to the logits of the language model: a product of experts
(Hinton, "Training Products of Experts by Minimizing Contrastive Divergence", 2002). The
two see a text differently: the head judges each span for itself, so spans inside others
do not compete with them.

To the head, spans are independent. Whether it expects another span to start at a word,
or one of those that are open to end at a boundary, depends on the number of spans with
the same first word, `k`. Among sets of `k` independent spans, each set has the weight
of the product of its odds. The sum over all of them is the elementary symmetric
polynomial of degree `k` of the odds.

In this module a word is a spaCy token. The end of a span is the word after its last.
"""

from collections.abc import Collection
from math import log
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..grammar.inline import CLOSE, COPY, InlineState, OpenSpan, Position, TrieNode

if TYPE_CHECKING:
    from ..models.draft_head import HeadSpanProposer

# Log-odds of spans are cut off at this value.
LIMIT = 9.0


class SpanOdds:
    """Log-odds of the choices in the output of one text.

    proposer (HeadSpanProposer): The draft head with the hidden states of the text.
    """

    def __init__(self, proposer: "HeadSpanProposer"):
        log_odds = proposer.log_odds().float().cpu().numpy().astype(np.float64)
        # Shape (words, lengths, labels): 0 for a span that ends behind the text.
        self._odds = np.exp(log_odds.clip(-np.inf, LIMIT))
        # The logarithm of the sum over all sets of spans with a start and a label, that
        # is, of the product of 1 + odds. Shape (words, labels).
        self._any_number = np.log1p(self._odds).sum(1)
        self._labels = tuple(range(self._odds.shape[2]))
        self._sums: dict[tuple[int, tuple[int, ...], int], list[NDArray]] = {}

    def of_choices(self, state: InlineState) -> list[float]:
        """Compute the log-odds of each choice against copying on.

        state (InlineState): The state of the grammar.
        RETURNS (list[float]): One number for each of the state's `choices`: 0 for
            copying, and wherever the output, or the output with that choice, has
            several readings. Inside a tag, only differences between choices count.
        """
        if not state.has_one_reading:
            return [0.0] * len(state.choices)
        return [
            0.0 if state.is_ambiguous(id_) else self._of_choice(state, id_)
            for id_ in state.choices
        ]

    def _of_choice(self, state: InlineState, id_: int) -> float:
        kind, position, marks = state.kind_of(id_), state.position, state.grammar.marks
        if kind == COPY:
            return 0.0
        root: TrieNode = marks.closing if kind == CLOSE else marks.opening
        below = (position.node or root).children[id_].below
        if kind == CLOSE:
            return self._closing(position, below)
        return self._opening(position, below if marks.open_names_label else None)

    def _opening(self, position: Position, named: Collection[int] | None) -> float:
        """The log-odds that another span starts here, with one of the labels if the tag
        names them."""
        labels = self._labels if named is None else tuple(sorted(named))
        word = position.word
        opened = _count(position.stack, word, labels)
        fewer = [float(sums[0]) for sums in self._sums_of(word, labels, opened)]
        any_number = self._any_number[word, labels].sum()
        more = float(np.expm1(any_number)) - sum(fewer[1:])
        return _log_odds(more, fewer[-1])

    def _closing(self, position: Position, below: Collection[int]) -> float:
        """The log-odds that the innermost span ends here with one of the labels, and
        not later."""
        top, word = position.stack[-1], position.word
        labels = self._labels if top.label < 0 else (top.label,)
        length, count = word - top.start, len(labels)
        opened = _count(position.stack, top.start, labels)
        sums = self._sums_of(top.start, labels, opened)
        first, last = (length - 1) * count, length * count
        if last >= len(sums[0]):
            # Longer than any span that the head knows.
            return 0.0
        inner = -1
        if position.last is not None and position.last[0] == top.start:
            # The labels of spans with the same range increase.
            inner = position.last[1]
        odds = self._odds[top.start, length - 1]
        here = sum(
            odds[label] * sums[opened - 1][first + index + 1]
            for index, label in enumerate(labels)
            if label in below and label > inner
        )
        # Inside a tag the span ends here in any case.
        later = 1.0 if position.node is not None else float(sums[opened][last])
        return _log_odds(float(here), later)

    def _sums_of(
        self, start: int, labels: tuple[int, ...], degree: int
    ) -> list[NDArray]:
        """The elementary symmetric polynomials of the odds of spans with a start.

        start (int): The first word.
        labels (tuple[int, ...]): The labels of the spans.
        degree (int): The highest degree.
        RETURNS (list[NDArray]): For each degree from 0 its polynomial over the spans
            from each index on, shape (spans + 1,). The spans are in order of their ends
            and, with the same end, of their labels.
        """
        key = (start, labels, degree)
        if key not in self._sums:
            odds = self._odds[start][:, labels].ravel()
            sums = [np.ones(len(odds) + 1)]
            for _ in range(degree):
                terms = odds * sums[-1][1:]
                sums.append(np.append(terms[::-1].cumsum()[::-1], 0.0))
            self._sums[key] = sums
        return self._sums[key]


def _count(stack: tuple[OpenSpan, ...], start: int, labels: Collection[int]) -> int:
    """The number of open spans with a first word and an unknown label or one of
    these."""
    return sum(
        span.start == start and (span.label < 0 or span.label in labels)
        for span in stack
    )


def _log_odds(first: float, second: float) -> float:
    if first <= 0.0:
        return -LIMIT if second > 0.0 else 0.0
    if second <= 0.0:
        return LIMIT
    return min(max(log(first) - log(second), -LIMIT), LIMIT)
