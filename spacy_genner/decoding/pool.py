"""The outputs that are under way together."""

from collections import deque
from typing import TYPE_CHECKING

from .row import Row

if TYPE_CHECKING:
    from torch import Tensor

    from .rows import Engine, Rows


class Pool:
    """Rows that go through the model together.

    As soon as one is done, one that waits takes its place, so that few passes are run
    for the slowest alone: continuous batching (Yu et al., "Orca: A Distributed Serving
    System for Transformer-Based Generative Models", 2022).

    engine (Engine): The model behind the prefix that the rows share.
    batch_tokens (int): The most tokens (prompts and copies) of all of them.
    """

    def __init__(self, engine: "Engine", batch_tokens: int):
        self.engine = engine
        self.batch_tokens = batch_tokens
        self._rows: list[Row] = []
        self._kept: Rows | None = None
        self._slots = 0

    def run(self, waiting: deque[Row]) -> None:
        """Take rows to their ends.

        waiting (deque[Row]): The rows, long ones first; emptied.
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

    def _admit(self, waiting: deque[Row]) -> None:
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

    def _replace(self, waiting: deque[Row]) -> None:
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
