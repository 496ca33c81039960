"""Demonstrations in the prompt, and how they are selected."""

import random
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy

from ..config.settings import check_count
from ..errors import Errors

# Returns vectors of texts, of shape (texts, width).
Embed = Callable[[Sequence[str]], Any]


class Demonstration(NamedTuple):
    """An annotated text.

    text (str): The text.
    output (str): The output that the model should write for it.
    """

    text: str
    output: str


class Neighbours(Protocol):
    """Selects demonstrations for one text."""

    def of(self, text: str) -> Sequence[Demonstration]:
        """Select the demonstrations for a text.

        text (str): The text.
        RETURNS (Sequence[Demonstration]): The best first. The text itself is never
            among them.
        """


class Selection(Protocol):
    """A registered way to select demonstrations from a pool."""

    def shared(self, pool: Sequence[Demonstration]) -> Sequence[Demonstration]:
        """Select the demonstrations of all prompts. They are a part of the shared
        prefix, which the model processes once.

        pool (Sequence[Demonstration]): All demonstrations.
        RETURNS (Sequence[Demonstration]): The selected ones.
        """

    def neighbours(self, pool: Sequence[Demonstration]) -> Neighbours | None:
        """Prepare the selection for each text.

        pool (Sequence[Demonstration]): All demonstrations.
        RETURNS (Neighbours | None): The selection. None if all prompts show the same
            demonstrations.
        """


class FirstDemonstrations:
    """The first demonstrations of the pool, the same for all texts. Registered as
    `spacy-genner.FirstDemonstrations.v1`.

    count (int | None): The number of demonstrations. None for all.
    RAISES (ValueError): `count` is not an integer of at least 1.
    """

    def __init__(self, count: int | None = None):
        self.count = (
            None if count is None else check_count("demonstrations.count", count)
        )

    def shared(self, pool: Sequence[Demonstration]) -> Sequence[Demonstration]:
        return pool[: self.count]

    def neighbours(self, pool: Sequence[Demonstration]) -> Neighbours | None:
        return None


class RandomDemonstrations:
    """A random sample of the pool, the same for all texts. Registered as
    `spacy-genner.RandomDemonstrations.v1`.

    count (int): The number of demonstrations.
    seed (int): The random seed.
    RAISES (ValueError): `count` is not an integer of at least 1.
    """

    def __init__(self, count: int = 5, seed: int = 0):
        self.count = check_count("demonstrations.count", count)
        self.seed = int(seed)

    def shared(self, pool: Sequence[Demonstration]) -> Sequence[Demonstration]:
        return random.Random(self.seed).sample(pool, min(self.count, len(pool)))

    def neighbours(self, pool: Sequence[Demonstration]) -> Neighbours | None:
        return None


class NearestDemonstrations:
    """For each text, the demonstrations whose texts are most similar to it. The most
    similar one is the last in the prompt. Registered as
    `spacy-genner.NearestDemonstrations.v1`.

    A demonstration of the text itself is never shown, so that training does not learn
    to copy its answer.

    Source: Liu et al., "What Makes Good In-Context Examples for GPT-3?", 2022.

    count (int): The number of demonstrations.
    embed (Callable[[Sequence[str]], Floats2d] | None): Returns vectors of texts, of
        shape (texts, width). By default TF-IDF of words (Spärck Jones, 1972).
    RAISES (ValueError): `count` is not an integer of at least 1.
    """

    def __init__(self, count: int = 5, embed: Any = None):
        self.count = check_count("demonstrations.count", count)
        self.embed = embed

    def shared(self, pool: Sequence[Demonstration]) -> Sequence[Demonstration]:
        return ()

    def neighbours(self, pool: Sequence[Demonstration]) -> Neighbours | None:
        # A text without words has no neighbours.
        pool = [demonstration for demonstration in pool if demonstration.text.strip()]
        return NearestNeighbours(pool, self.count, self.embed) if pool else None


class NearestNeighbours:
    """Finds the demonstrations nearest to a text, by cosine similarity.

    pool (Sequence[Demonstration]): All demonstrations.
    count (int): The number of demonstrations to select.
    embed (Callable[[Sequence[str]], Floats2d] | None): Returns vectors of texts. None
        for TF-IDF.
    """

    def __init__(self, pool: Sequence[Demonstration], count: int, embed: Embed | None):
        self.pool = pool
        self.count = count
        self._embed = embed

    def of(self, text: str) -> Sequence[Demonstration]:
        """Select the demonstrations for a text.

        text (str): The text.
        RETURNS (Sequence[Demonstration]): At most `count`, the nearest first. Of
            equally near ones the earlier comes first.
        RAISES (ValueError): TF-IDF needs scikit-learn, which is not installed.
        """
        vectors, embed = self._index
        query = _normalize(embed([text]))
        cosines = vectors @ query.T
        dense = cosines.toarray() if hasattr(cosines, "toarray") else cosines
        order = numpy.argsort(-numpy.asarray(dense)[:, 0], kind="stable")
        others = (self.pool[i] for i in order if self.pool[i].text.strip() != text)
        return [shown for shown, _ in zip(others, range(self.count), strict=False)]

    @cached_property
    def _index(self) -> tuple[Any, Embed]:
        """The vectors of the pool, of length 1, and the function that embeds texts."""
        texts = [demonstration.text for demonstration in self.pool]
        if self._embed is not None:
            return _normalize(self._embed(texts)), self._embed
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ImportError as error:
            raise ValueError(Errors.G111) from error
        # Words of any script, and punctuation marks one by one.
        tfidf = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", sublinear_tf=True)
        return _normalize(tfidf.fit_transform(texts)), tfidf.transform


def _normalize(vectors: Any) -> Any:
    if hasattr(vectors, "tocsr"):
        # TF-IDF vectors have length 1 already.
        return vectors.tocsr()
    array = numpy.asarray(vectors, dtype="float32")
    lengths = numpy.linalg.norm(array, axis=1, keepdims=True)
    return array / numpy.maximum(lengths, 1e-12)
