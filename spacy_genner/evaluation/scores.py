"""Exact scores of spans. Pure Python and NumPy; offsets are characters.

A span counts as found where start, end and label all agree. Texts, not tokens, are
compared, so a difference in tokenisation changes nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy

from ..errors import Errors
from ..formats import CharSpan


def nested_among(span: CharSpan, others: Sequence[CharSpan]) -> bool:
    """Whether a span lies in another one or has its range.

    span (CharSpan): The span.
    others (Sequence[CharSpan]): The spans of the text; the span itself may be one.
    RETURNS (bool): Whether it is nested.
    """
    return any(
        other != span and other.start <= span.start and span.end <= other.end
        for other in others
    )


def document_counts(
    gold: Sequence[CharSpan], predicted: Sequence[CharSpan]
) -> tuple[int, int, int]:
    """What bootstrapping draws from.

    gold (Sequence[CharSpan]): The reference.
    predicted (Sequence[CharSpan]): The prediction.
    RETURNS (Tuple[int, int, int]): Spans in the reference, in the prediction, in both.
    """
    wanted, found = set(gold), set(predicted)
    return len(wanted), len(found), len(wanted & found)


def score_documents(
    gold: Sequence[Sequence[CharSpan]], predicted: Sequence[Sequence[CharSpan]]
) -> dict[str, Any]:
    """Micro scores over documents.

    A gold span is nested where another gold span contains it or has its range. A
    predicted span that is right is nested as its gold span is; a wrong one is nested
    where a gold or a predicted span contains it, so that precision over nested spans
    counts false ones made inside any span. The flat scores are those of the rest.

    gold (Sequence[Sequence[CharSpan]]): The reference of each document.
    predicted (Sequence[Sequence[CharSpan]]): The prediction for each.
    RETURNS (Dict[str, Any]): `micro_p`, `micro_r`, `micro_f`, `per_type`,
        `nested_p/r/f`, `flat_p/r/f` (0 to 1), and the counts `gold`, `predicted`,
        `correct`.
    RAISES (ValueError): The numbers of documents differ.
    """
    if len(gold) != len(predicted):
        raise ValueError(Errors.G601.format(gold=len(gold), found=len(predicted)))
    totals: dict[str, list[int]] = {
        "micro": [0] * 3,
        "nested": [0] * 3,
        "flat": [0] * 3,
    }
    types: dict[str, list[int]] = {}
    for wanted_list, found_list in zip(gold, predicted, strict=True):
        wanted, found = set(wanted_list), set(found_list)
        every = [*wanted, *found]
        for span in wanted | found:
            right = span in wanted
            nested = nested_among(span, list(wanted) if right else every)
            added = (right, span in found, right and span in found)
            rows = (
                totals["micro"],
                totals["nested" if nested else "flat"],
                types.setdefault(span.label, [0] * 3),
            )
            for row in rows:
                for place, one in enumerate(added):
                    row[place] += one
    result: dict[str, Any] = {}
    for name, counts in totals.items():
        for key, value in _prf(counts).items():
            result[f"{name}_{key}"] = value
    result["per_type"] = {label: _named(types[label]) for label in sorted(types)}
    result["nested_gold"] = totals["nested"][0]
    result["gold"], result["predicted"], result["correct"] = totals["micro"]
    return result


def bootstrap_interval(
    counts: Sequence[tuple[int, int, int]],
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """A percentile interval of micro-F1 (Efron, 1979), documents drawn anew.

    counts (Sequence[Tuple[int, int, int]]): Of each document, as `document_counts`.
    samples (int): How many draws.
    seed (int): Fixes them.
    level (float): The share of draws within the interval.
    RETURNS (Tuple[float, float]): Its ends, from 0 to 1.
    """
    table = numpy.asarray(counts, dtype="int64").reshape(-1, 3)
    values = _drawn_f(table, samples, seed)
    tail = (1 - level) / 2
    low, high = numpy.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def paired_bootstrap(
    first: Sequence[tuple[int, int, int]],
    second: Sequence[tuple[int, int, int]],
    samples: int = 1000,
    seed: int = 0,
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
        difference by as much or more in its direction.
    RAISES (ValueError): The numbers of documents differ.
    """
    if len(first) != len(second):
        raise ValueError(Errors.G601.format(gold=len(first), found=len(second)))
    one = numpy.asarray(first, dtype="int64").reshape(-1, 3)
    two = numpy.asarray(second, dtype="int64").reshape(-1, 3)
    drawn = _drawn_f(one, samples, seed) - _drawn_f(two, samples, seed)
    observed = float(_f(one.sum(0)) - _f(two.sum(0)))
    beyond = (drawn - observed) * (1 if observed >= 0 else -1) >= abs(observed)
    low, high = numpy.quantile(drawn, [0.025, 0.975])
    return {
        "difference": observed,
        "low": float(low),
        "high": float(high),
        "p": float(beyond.mean()),
    }


def _drawn_f(table: numpy.ndarray, samples: int, seed: int) -> numpy.ndarray:
    if not len(table):
        return numpy.zeros(samples)
    random = numpy.random.default_rng(seed)
    # Documents are drawn in parts, so that a large corpus does not fill the memory.
    values = []
    for start in range(0, samples, 100):
        size = (min(100, samples - start), len(table))
        drawn = table[random.integers(0, len(table), size)].sum(1)
        values.append(_f(drawn.T))
    return numpy.concatenate(values)


def _f(totals: numpy.ndarray) -> numpy.ndarray:
    gold, predicted, correct = totals
    return 2 * correct / numpy.maximum(1, gold + predicted)


def _prf(counts: Sequence[int]) -> dict[str, float]:
    gold, predicted, correct = counts
    return {
        "p": correct / predicted if predicted else 0.0,
        "r": correct / gold if gold else 0.0,
        "f": 2 * correct / (gold + predicted) if gold + predicted else 0.0,
    }


def _named(counts: Sequence[int]) -> dict[str, float]:
    gold, predicted, correct = counts
    return {**_prf(counts), "gold": gold, "predicted": predicted, "correct": correct}
