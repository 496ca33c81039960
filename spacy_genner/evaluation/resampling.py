"""How sure a score or a difference is: documents drawn anew, or systems swapped."""

from collections.abc import Iterator, Sequence

import numpy

from ..errors import Errors

Counts = Sequence[tuple[int, int, int]]

# Documents are drawn in parts, so that a large corpus does not fill the memory.
PART = 100
# Differences of shares of whole numbers that are equal but for rounding.
ROUNDING = 1e-12


def bootstrap_interval(
    counts: Counts, samples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """A percentile interval of micro-F1 (Efron, 1979), documents drawn anew.

    counts (Sequence[Tuple[int, int, int]]): Of each document, as `document_counts`.
    samples (int): How many draws.
    seed (int): Fixes them.
    level (float): The share of draws within the interval.
    RETURNS (Tuple[float, float]): Its ends, from 0 to 1.
    """
    values = _f(_drawn(_table(counts), samples, seed))
    tail = (1 - level) / 2
    low, high = numpy.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def paired_bootstrap(
    first: Counts, second: Counts, samples: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Whether one system is better than another on the same documents (Berg-
    Kirkpatrick et al., "An Empirical Investigation of Statistical Significance in
    NLP", 2012).

    first (Sequence[Tuple[int, int, int]]): Counts of one system.
    second (Sequence[Tuple[int, int, int]]): Counts of the other.
    samples (int): How many draws.
    seed (int): Fixes them.
    RETURNS (Dict[str, float]): `difference` of micro-F1 (first less second), its 95 %
        interval `low` and `high`, and `p`: how often a draw differs from the observed
        difference by as much or more in its direction (one-sided), what was observed
        counted as one draw, so that `p` is never 0.
    RAISES (ValueError): The numbers of documents differ.
    """
    one, two = _pair(first, second)
    totals = _drawn(numpy.concatenate([one, two], axis=1), samples, seed)
    drawn = _f(totals[:, :3]) - _f(totals[:, 3:])
    observed = _observed(one, two)
    beyond = (drawn - observed) * (1 if observed >= 0 else -1) >= abs(observed)
    low, high = numpy.quantile(drawn, [0.025, 0.975])
    return {
        "difference": observed,
        "low": float(low),
        "high": float(high),
        "p": float((beyond.sum() + 1) / (samples + 1)),
    }


def approximate_randomisation(
    first: Counts, second: Counts, samples: int = 1000, seed: int = 0
) -> float:
    """Whether the difference of two systems could be chance: the systems change
    places in documents drawn by lot (Noreen, "Computer-Intensive Methods for Testing
    Hypotheses", 1989; Yeh, "More accurate tests for the statistical significance of
    result differences", 2000).

    first (Sequence[Tuple[int, int, int]]): Counts of one system.
    second (Sequence[Tuple[int, int, int]]): Counts of the other.
    samples (int): How many draws.
    seed (int): Fixes them.
    RETURNS (float): How often micro-F1 differs by as much or more, in either
        direction (two-sided), what was observed counted as one draw.
    RAISES (ValueError): The numbers of documents differ.
    """
    one, two = _pair(first, second)
    observed = abs(_observed(one, two))
    random = numpy.random.default_rng(seed)
    more = (one - two).astype("float64")
    # Where the systems are as good, it does not matter which is which.
    more = more[more.any(axis=1)]
    beyond = 0
    for size in _parts(samples):
        swapped = random.integers(0, 2, (size, len(more)), dtype="uint8") @ more
        drawn = _f(one.sum(0) - swapped) - _f(two.sum(0) + swapped)
        beyond += int((numpy.abs(drawn) >= observed - ROUNDING).sum())
    return (beyond + 1) / (samples + 1)


def _table(counts: Counts) -> numpy.ndarray:
    return numpy.asarray(counts, dtype="int64").reshape(-1, 3)


def _pair(first: Counts, second: Counts) -> tuple[numpy.ndarray, numpy.ndarray]:
    if len(first) != len(second):
        raise ValueError(Errors.G601.format(gold=len(first), found=len(second)))
    return _table(first), _table(second)


def _parts(samples: int) -> Iterator[int]:
    for start in range(0, samples, PART):
        yield min(PART, samples - start)


def _drawn(table: numpy.ndarray, samples: int, seed: int) -> numpy.ndarray:
    """The columns' totals over documents drawn with replacement.

    table (ndarray): One row a document, of shape (documents, columns).
    RETURNS (ndarray): Of shape (samples, columns); whole numbers as float64.
    """
    count = len(table)
    if not count:
        return numpy.zeros((samples, table.shape[1]))
    random = numpy.random.default_rng(seed)
    totals = []
    for size in _parts(samples):
        drawn = random.integers(0, count, (size, count))
        # How often each document was drawn, of every draw at once.
        drawn += numpy.arange(size)[:, None] * count
        times = numpy.bincount(drawn.ravel(), minlength=size * count)
        totals.append(times.reshape(size, count).astype("float64") @ table)
    return numpy.concatenate(totals)


def _observed(one: numpy.ndarray, two: numpy.ndarray) -> float:
    return float(_f(one.sum(0)) - _f(two.sum(0)))


def _f(totals: numpy.ndarray) -> numpy.ndarray:
    """F1 of totals whose last axis is reference, prediction, both."""
    gold, predicted, correct = numpy.moveaxis(totals, -1, 0)
    return 2 * correct / numpy.maximum(1, gold + predicted)
