"""Demonstrations and how they are selected."""

import random
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy

from ..config.settings import check_count
from ..errors import Errors


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


Embed = Callable[[Sequence[str]], Any]


class NearestDemonstrations:
    """For each text those whose texts are most like it, the most like it last in the
    prompt. Registered as `spacy-genner.NearestDemonstrations.v1`.

    Liu et al., "What Makes Good In-Context Examples for GPT-3?", 2022. A demonstration
    of the very text is never shown, so that training does not learn to look it up.

    count (int): How many.
    embed (Optional[Callable[[Sequence[str]], Floats2d]]): Makes vectors of texts,
        shape (texts, width); by default TF-IDF of words, Spärck Jones, 1972.
    RAISES (ValueError): `count` is no whole number of at least 1.
    """

    def __init__(self, count: int = 5, embed: Any = None):
        self.count = check_count("demonstrations.count", count)
        self.embed = embed

    def shared(self, pool: Sequence[Demonstration]) -> Sequence[Demonstration]:
        return ()

    def neighbours(self, pool: Sequence[Demonstration]) -> Neighbours | None:
        # A text without a word is like no other.
        pool = [shown for shown in pool if shown.text.strip()]
        return NearestNeighbours(pool, self.count, self.embed) if pool else None


class NearestNeighbours:
    """Finds the demonstrations nearest to a text, by the cosine of their vectors.

    pool (Sequence[Demonstration]): All there are.
    count (int): How many are wanted.
    embed (Optional[Callable[[Sequence[str]], Floats2d]]): Makes vectors of texts; None
        for TF-IDF.
    """

    def __init__(self, pool: Sequence[Demonstration], count: int, embed: Embed | None):
        self.pool = pool
        self.count = count
        self._embed = embed

    def of(self, text: str) -> Sequence[Demonstration]:
        """The demonstrations for a text.

        text (str): The text.
        RETURNS (Sequence[Demonstration]): At most `count`, the nearest first; of
            equals the earlier.
        RAISES (ValueError): scikit-learn is wanted and not there.
        """
        vectors, embed = self._index
        query = _unit(embed([text]))
        cosines = vectors @ query.T
        dense = cosines.toarray() if hasattr(cosines, "toarray") else cosines
        order = numpy.argsort(-numpy.asarray(dense)[:, 0], kind="stable")
        others = (self.pool[i] for i in order if self.pool[i].text.strip() != text)
        return [shown for shown, _ in zip(others, range(self.count), strict=False)]

    @cached_property
    def _index(self) -> tuple[Any, Embed]:
        """The pool's vectors, of length 1, and what makes more of them."""
        texts = [shown.text for shown in self.pool]
        if self._embed is not None:
            return _unit(self._embed(texts)), self._embed
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ImportError as error:
            raise ValueError(Errors.G111) from error
        # Words of any script, and marks that stand alone.
        tfidf = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", sublinear_tf=True)
        return _unit(tfidf.fit_transform(texts)), tfidf.transform


def _unit(vectors: Any) -> Any:
    if hasattr(vectors, "tocsr"):
        # TF-IDF is of length 1 already.
        return vectors.tocsr()
    array = numpy.asarray(vectors, dtype="float32")
    lengths = numpy.linalg.norm(array, axis=1, keepdims=True)
    return array / numpy.maximum(lengths, 1e-12)
