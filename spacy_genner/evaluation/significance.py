"""Bootstrap intervals and paired significance tests."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy

from ..errors import Errors
from ..io import parse_json
from .records import SUFFIX, Annotation, read_annotations
from .scores import document_counts, prf

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


# How a report tells a comparison from an evaluation.
KIND = "comparison"
SHOWN = 60

CompareCounts = tuple[int, int, int]


def compare_files(
    first: Path, second: Path, samples: int = 10000, seed: int = 0
) -> dict[str, Any]:
    """Compare two evaluations of the same documents.

    first (Path): The JSON file of one; its documents are read from beside it.
    second (Path): That of the other.
    samples (int): How many draws each test makes.
    seed (int): Fixes them.
    RETURNS (Dict[str, Any]): `kind`, `documents`, `gold`; of `first` and `second`
        `name`, `micro_p`, `micro_r`, `micro_f`, `predicted` and `correct`; what
        `paired_bootstrap` gives; `p_randomisation`, as `approximate_randomisation`;
        `both_correct`, `only_first_correct` and `only_second_correct`, spans of the
        reference; `samples` and `seed`.
    RAISES (ValueError): A file is damaged or the two do not belong together.
    """
    one, two = _documents(first), _documents(second)
    _check_same(one, two, first, second)
    counts = (_counts(one), _counts(two))
    names = (first.stem, second.stem)
    if names[0] == names[1]:
        names = (str(first), str(second))
    both = alone = other = 0
    for here, there in zip(one, two, strict=True):
        wanted = set(here.gold)
        found, found_there = wanted & set(here.predicted), wanted & set(there.predicted)
        both += len(found & found_there)
        alone += len(found - found_there)
        other += len(found_there - found)
    return {
        "kind": KIND,
        "documents": len(one),
        "gold": sum(row[0] for row in counts[0]),
        "first": _summary(names[0], counts[0]),
        "second": _summary(names[1], counts[1]),
        **paired_bootstrap(*counts, samples=samples, seed=seed),
        "p_randomisation": approximate_randomisation(
            *counts, samples=samples, seed=seed
        ),
        "both_correct": both,
        "only_first_correct": alone,
        "only_second_correct": other,
        "samples": samples,
        "seed": seed,
    }


def format_comparison(result: dict[str, Any]) -> str:
    """Lay a comparison out for the terminal.

    result (Dict[str, Any]): What `compare_files` gave.
    RETURNS (str): Some lines: F1 of both, the difference with its interval, and p.
    """
    systems = (result["first"], result["second"])
    width = max(len(system["name"]) for system in systems)
    lines = [
        f"{system['name']:{width}}  F1 {100 * system['micro_f']:.2f}  "
        f"(P {100 * system['micro_p']:.2f}, R {100 * system['micro_r']:.2f}; "
        f"{system['correct']} of {result['gold']} spans found, "
        f"{system['predicted']} predicted)"
        for system in systems
    ]
    lines.append(
        f"difference {100 * result['difference']:+.2f} "
        f"(95 % interval {100 * result['low']:+.2f} to {100 * result['high']:+.2f})"
    )
    lines.append(
        f"p {shown_p(result['p'], result['samples'])} (paired bootstrap, one-sided), "
        f"p {shown_p(result['p_randomisation'], result['samples'])} (approximate "
        f"randomisation, two-sided); {result['samples']} draws over "
        f"{result['documents']} documents"
    )
    lines.append(
        f"found by both {result['both_correct']}, by the first alone "
        f"{result['only_first_correct']}, by the second alone "
        f"{result['only_second_correct']}"
    )
    return "\n".join(lines)


def is_comparison(result: Any) -> bool:
    """Whether a JSON file's content is a comparison.

    result (Any): The content.
    RETURNS (bool): Whether `compare_files` gave it.
    """
    return isinstance(result, dict) and result.get("kind") == KIND


def shown_p(p: float, samples: int) -> str:
    """Write a p value, with no more digits than the draws carry.

    p (float): The value.
    samples (int): How many draws it is made of.
    RETURNS (str): The value; "< 0.001" or the like where no draw was as far off.
    """
    digits = max(2, len(str(samples)) - 1)
    least = 10.0**-digits
    return f"< {least:.{digits}f}" if p < least else f"{p:.{digits}f}"


def _documents(path: Path) -> list[Annotation]:
    """The documents of an evaluation, which have to give its counts."""
    try:
        result = parse_json(path.read_text(encoding="utf8"))
        keys = () if is_comparison(result) else ("gold", "predicted", "correct")
        counts = {key: result[key] for key in keys}
    except (KeyError, TypeError, ValueError) as err:
        raise ValueError(Errors.G605.format(path=path, reason=repr(err))) from err
    if is_comparison(result):
        raise ValueError(Errors.G618.format(path=path))
    spans_file = path.with_suffix(SUFFIX)
    if not spans_file.is_file():
        raise ValueError(Errors.G611.format(path=path, spans=spans_file))
    rows = list(read_annotations(spans_file))
    totals = [sum(column) for column in zip(*_counts(rows), strict=True)] or [0] * 3
    if totals != list(counts.values()):
        found = dict(zip(counts, totals, strict=True))
        raise ValueError(
            Errors.G612.format(path=path, spans=spans_file, stated=counts, found=found)
        )
    if not rows:
        raise ValueError(Errors.G616.format(path=spans_file))
    return rows


def _check_same(
    one: list[Annotation], two: list[Annotation], first: Path, second: Path
) -> None:
    files = {"first": first, "second": second}
    if len(one) != len(two):
        reason = f"there are {len(one)} documents and {len(two)}"
        raise ValueError(Errors.G610.format(**files, reason=reason))
    for number, (here, there) in enumerate(zip(one, two, strict=True), 1):
        if here.text != there.text:
            texts = f"{here.text[:SHOWN]!r} and {there.text[:SHOWN]!r}"
            reason = f"document {number} is {texts}"
            raise ValueError(Errors.G610.format(**files, reason=reason))
        unlike = sorted(set(here.gold) ^ set(there.gold))
        if unlike:
            spans = f"{tuple(unlike[0])} is a reference span on one side only"
            reason = f"in document {number}, {here.text[:SHOWN]!r}, {spans}"
            raise ValueError(Errors.G610.format(**files, reason=reason))


def _counts(rows: list[Annotation]) -> list[CompareCounts]:
    return [document_counts(row.gold, row.predicted) for row in rows]


def _summary(name: str, counts: list[CompareCounts]) -> dict[str, Any]:
    gold, predicted, correct = (sum(column) for column in zip(*counts, strict=True))
    scores = {f"micro_{k}": v for k, v in prf((gold, predicted, correct)).items()}
    return {"name": name, **scores, "predicted": predicted, "correct": correct}
