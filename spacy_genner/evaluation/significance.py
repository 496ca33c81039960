"""Bootstrap intervals, paired significance tests, and the comparison of two runs.

All tests resample documents, so they only need the counts of each document.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy

from ..errors import Errors
from .records import (
    SPANS_SUFFIX,
    Annotation,
    read_annotations,
    read_result,
    refuse_damaged,
)
from .scores import NO_SPANS, Counts, document_counts, prf

# The number of draws computed together, which bounds the memory for a large corpus.
DRAWS_PER_BATCH = 100
# F1 values that differ by less are equal except for rounding.
F1_TOLERANCE = 1e-12
# Distinguishes the JSON file of a comparison from that of an evaluation.
COMPARISON = "comparison"
# The length to which texts are cut in messages.
_EXCERPT = 60


def bootstrap_interval(
    counts: Sequence[Counts], samples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Compute a percentile bootstrap interval of micro-F1 (Efron, "Bootstrap Methods:
    Another Look at the Jackknife", 1979). Each draw samples documents with replacement.

    counts (Sequence[Counts]): The counts of each document.
    samples (int): The number of draws.
    seed (int): The random seed.
    level (float): The share of draws within the interval.
    RETURNS (tuple[float, float]): The ends of the interval, from 0 to 1.
    """
    values = _f1(_resample(_as_array(counts), samples, seed))
    tail = (1 - level) / 2
    low, high = numpy.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def paired_bootstrap(
    first: Sequence[Counts],
    second: Sequence[Counts],
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """Test whether one system is better than another on the same documents
    (Berg-Kirkpatrick et al., "An Empirical Investigation of Statistical Significance in
    NLP", 2012).

    first (Sequence[Counts]): The counts of each document for the first system.
    second (Sequence[Counts]): The counts for the second system.
    samples (int): The number of draws.
    seed (int): The random seed.
    RETURNS (dict[str, float]): `difference`, the micro-F1 of the first system minus
        that of the second; `low` and `high`, its 95 % interval; and `p`, the share of
        draws that exceed the observed difference by at least its size in its direction
        (one-sided). The observation counts as one draw, so that `p` is never 0.
    RAISES (ValueError): The numbers of documents differ.
    """
    one, two = _as_pair(first, second)
    totals = _resample(numpy.concatenate([one, two], axis=1), samples, seed)
    drawn = _f1(totals[:, :3]) - _f1(totals[:, 3:])
    observed = _observed_difference(one, two)
    beyond = (drawn - observed) * (1 if observed >= 0 else -1) >= abs(observed)
    low, high = numpy.quantile(drawn, [0.025, 0.975])
    return {
        "difference": observed,
        "low": float(low),
        "high": float(high),
        "p": float((beyond.sum() + 1) / (samples + 1)),
    }


def approximate_randomisation(
    first: Sequence[Counts],
    second: Sequence[Counts],
    samples: int = 1000,
    seed: int = 0,
) -> float:
    """Test whether the difference between two systems may be due to chance, by swapping
    the systems in randomly chosen documents (Noreen, "Computer-Intensive Methods for
    Testing Hypotheses", 1989; Yeh, "More accurate tests for the statistical
    significance of result differences", 2000).

    first (Sequence[Counts]): The counts of each document for the first system.
    second (Sequence[Counts]): The counts for the second system.
    samples (int): The number of draws.
    seed (int): The random seed.
    RETURNS (float): The share of draws in which the micro-F1 values differ by at least
        the observed difference, in either direction (two-sided). The observation counts
        as one draw.
    RAISES (ValueError): The numbers of documents differ.
    """
    one, two = _as_pair(first, second)
    observed = abs(_observed_difference(one, two))
    random = numpy.random.default_rng(seed)
    differences = (one - two).astype("float64")
    # Swapping the systems has no effect in documents with equal counts.
    differences = differences[differences.any(axis=1)]
    beyond = 0
    for size in _batch_sizes(samples):
        swaps = random.integers(0, 2, (size, len(differences)), dtype="uint8")
        moved = swaps @ differences
        drawn = _f1(one.sum(0) - moved) - _f1(two.sum(0) + moved)
        beyond += int((numpy.abs(drawn) >= observed - F1_TOLERANCE).sum())
    return (beyond + 1) / (samples + 1)


def _as_array(counts: Sequence[Counts]) -> numpy.ndarray:
    """RETURNS (ndarray): An array of shape (documents, 3)."""
    return numpy.asarray(counts, dtype="int64").reshape(-1, 3)


def _as_pair(
    first: Sequence[Counts], second: Sequence[Counts]
) -> tuple[numpy.ndarray, numpy.ndarray]:
    if len(first) != len(second):
        raise ValueError(Errors.G601.format(gold=len(first), found=len(second)))
    return _as_array(first), _as_array(second)


def _batch_sizes(samples: int) -> Iterator[int]:
    for start in range(0, samples, DRAWS_PER_BATCH):
        yield min(DRAWS_PER_BATCH, samples - start)


def _resample(table: numpy.ndarray, samples: int, seed: int) -> numpy.ndarray:
    """Sum the columns of a table over rows drawn with replacement.

    table (ndarray): Counts of shape (documents, columns).
    RETURNS (ndarray): The sums, of shape (samples, columns): integers as float64.
    """
    count = len(table)
    if not count:
        return numpy.zeros((samples, table.shape[1]))
    random = numpy.random.default_rng(seed)
    totals = []
    for size in _batch_sizes(samples):
        drawn = random.integers(0, count, (size, count))
        # One bincount for all draws of the batch: offset the documents of each draw.
        drawn += numpy.arange(size)[:, None] * count
        times = numpy.bincount(drawn.ravel(), minlength=size * count)
        totals.append(times.reshape(size, count).astype("float64") @ table)
    return numpy.concatenate(totals)


def _observed_difference(one: numpy.ndarray, two: numpy.ndarray) -> float:
    return float(_f1(one.sum(0)) - _f1(two.sum(0)))


def _f1(totals: numpy.ndarray) -> numpy.ndarray:
    """F1 of totals whose last axis holds the numbers of gold, predicted and correct
    spans."""
    gold, predicted, correct = numpy.moveaxis(totals, -1, 0)
    return 2 * correct / numpy.maximum(1, gold + predicted)


def compare_files(
    first: Path, second: Path, samples: int = 10000, seed: int = 0
) -> dict[str, Any]:
    """Compare two evaluations of the same documents.

    first (Path): The JSON file of the first evaluation. Its documents are read from
        the file beside it.
    second (Path): The JSON file of the second evaluation.
    samples (int): The number of draws of each test.
    seed (int): The random seed.
    RETURNS (dict[str, Any]): `kind`, `documents` and `gold`; `first` and `second`, each
        with `name`, `micro_p`, `micro_r`, `micro_f`, `predicted` and `correct`; the
        result of `paired_bootstrap`; `p_randomisation`, the result of
        `approximate_randomisation`; `both_correct`, `only_first_correct` and
        `only_second_correct`, the numbers of gold spans found by both or one; and
        `samples` and `seed`.
    RAISES (ValueError): A file is damaged, or the evaluations are of other documents.
    """
    one, two = _read_documents(first), _read_documents(second)
    _check_same_documents(one, two, first, second)
    counts = (_all_counts(one), _all_counts(two))
    names = (first.stem, second.stem)
    if names[0] == names[1]:
        names = (str(first), str(second))
    both = only_first = only_second = 0
    for left, right in zip(one, two, strict=True):
        gold = set(left.gold)
        found, found_right = gold & set(left.predicted), gold & set(right.predicted)
        both += len(found & found_right)
        only_first += len(found - found_right)
        only_second += len(found_right - found)
    return {
        "kind": COMPARISON,
        "documents": len(one),
        "gold": _total(counts[0]).gold,
        "first": _summary(names[0], counts[0]),
        "second": _summary(names[1], counts[1]),
        **paired_bootstrap(*counts, samples=samples, seed=seed),
        "p_randomisation": approximate_randomisation(
            *counts, samples=samples, seed=seed
        ),
        "both_correct": both,
        "only_first_correct": only_first,
        "only_second_correct": only_second,
        "samples": samples,
        "seed": seed,
    }


def is_comparison(result: Any) -> bool:
    """Check whether the content of a JSON file is a comparison.

    result (Any): The content.
    RETURNS (bool): Whether it is a result of `compare_files`.
    """
    return isinstance(result, dict) and result.get("kind") == COMPARISON


def _read_documents(path: Path) -> list[Annotation]:
    """Read the documents of an evaluation and check them against its counts."""
    result = read_result(path)
    if is_comparison(result):
        raise ValueError(Errors.G618.format(path=path))
    with refuse_damaged(path):
        stated = {key: result[key] for key in Counts._fields}
    spans_file = path.with_suffix(SPANS_SUFFIX)
    if not spans_file.is_file():
        raise ValueError(Errors.G611.format(path=path, spans=spans_file))
    annotations = list(read_annotations(spans_file))
    found = _total(_all_counts(annotations))._asdict()
    if found != stated:
        raise ValueError(
            Errors.G612.format(path=path, spans=spans_file, stated=stated, found=found)
        )
    if not annotations:
        raise ValueError(Errors.G616.format(path=spans_file))
    return annotations


def _check_same_documents(
    one: list[Annotation], two: list[Annotation], first: Path, second: Path
) -> None:
    files = {"first": first, "second": second}
    if len(one) != len(two):
        reason = f"there are {len(one)} documents and {len(two)}"
        raise ValueError(Errors.G610.format(**files, reason=reason))
    for number, (left, right) in enumerate(zip(one, two, strict=True), 1):
        if left.text != right.text:
            texts = f"{left.text[:_EXCERPT]!r} and {right.text[:_EXCERPT]!r}"
            reason = f"document {number} is {texts}"
            raise ValueError(Errors.G610.format(**files, reason=reason))
        unlike = sorted(set(left.gold) ^ set(right.gold))
        if unlike:
            spans = f"{tuple(unlike[0])} is a reference span on one side only"
            reason = f"in document {number}, {left.text[:_EXCERPT]!r}, {spans}"
            raise ValueError(Errors.G610.format(**files, reason=reason))


def _all_counts(annotations: list[Annotation]) -> list[Counts]:
    return [document_counts(each.gold, each.predicted) for each in annotations]


def _total(counts: list[Counts]) -> Counts:
    return Counts(*(sum(column) for column in zip(NO_SPANS, *counts, strict=True)))


def _summary(name: str, counts: list[Counts]) -> dict[str, Any]:
    total = _total(counts)
    scores = {f"micro_{key}": value for key, value in prf(total).items()}
    return {
        "name": name,
        **scores,
        "predicted": total.predicted,
        "correct": total.correct,
    }
