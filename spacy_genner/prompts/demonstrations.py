"""Which annotated texts a prompt shows as examples."""

import random
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..settings import check_count


class Demonstration(NamedTuple):
    """An annotated text.

    text (str): The text.
    output (str): What is to be written for it.
    """

    text: str
    output: str


class Neighbours(Protocol):
    """Demonstrations that are chosen for each text."""

    def of(self, text: str) -> Sequence[Demonstration]:
        """The demonstrations for a text.

        text (str): The text.
        RETURNS (Sequence[Demonstration]): The best first. Never the text itself.
        """


class Selection(Protocol):
    """A way to select demonstrations, as the config names it."""

    def shared(self, pool: Sequence[Demonstration]) -> Sequence[Demonstration]:
        """The demonstrations that every text gets, which the model then reads once.

        pool (Sequence[Demonstration]): All there are.
        RETURNS (Sequence[Demonstration]): The chosen.
        """

    def neighbours(self, pool: Sequence[Demonstration]) -> Neighbours | None:
        """What chooses for each text.

        pool (Sequence[Demonstration]): All there are.
        RETURNS (Optional[Neighbours]): It, None where all texts get the same.
        """


class FirstDemonstrations:
    """The first of the file, the same for all texts. Registered as
    `spacy-genner.FirstDemonstrations.v1`.

    count (Optional[int]): How many; None for all.
    RAISES (ValueError): That is no whole number of at least 1.
    """

    def __init__(self, count: int | None = None):
        self.count = _counted(count)

    def shared(self, pool: Sequence[Demonstration]) -> Sequence[Demonstration]:
        return pool[: self.count]

    def neighbours(self, pool: Sequence[Demonstration]) -> Neighbours | None:
        return None


class RandomDemonstrations:
    """Drawn by chance, the same for all texts. Registered as
    `spacy-genner.RandomDemonstrations.v1`.

    count (int): How many.
    seed (int): Of the draw.
    RAISES (ValueError): `count` is no whole number of at least 1.
    """

    def __init__(self, count: int = 5, seed: int = 0):
        self.count = check_count("demonstrations.count", count)
        self.seed = int(seed)

    def shared(self, pool: Sequence[Demonstration]) -> Sequence[Demonstration]:
        return random.Random(self.seed).sample(pool, min(self.count, len(pool)))

    def neighbours(self, pool: Sequence[Demonstration]) -> Neighbours | None:
        return None


def _counted(count: int | None) -> int | None:
    return None if count is None else check_count("demonstrations.count", count)
