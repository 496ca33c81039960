"""Scores and lengths of written answers.

The overlap of words is that of SQuAD (Rajpurkar et al., "SQuAD: 100,000+ Questions for
Machine Comprehension of Text", 2016). It is higher for a terse answer: words that are
not a part of the reference lower the precision. `f1_cut` scores an answer that is cut
to as many words as the reference has, so that its length no longer matters, and
`contains` whether a correct answer occurs in it.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def normalize(text: str) -> list[str]:
    """Split a text into words as SQuAD does: in lower case, without punctuation and
    articles.

    text (str): The text.
    RETURNS (list[str]): The words.
    """
    plain = "".join(c for c in text.casefold() if c not in string.punctuation)
    return _ARTICLES.sub(" ", plain).split()


def overlap(answer: Sequence[str], reference: Sequence[str]) -> float:
    """Compute the F1 of the words of an answer.

    answer (Sequence[str]): The words of the answer.
    reference (Sequence[str]): The words of the reference.
    RETURNS (float): F1, from 0 to 1.
    """
    shared = (Counter(answer) & Counter(reference)).total()
    return 2 * shared / max(1, len(answer) + len(reference))


def extraction_scores(answer: str, references: Sequence[str]) -> dict[str, float]:
    """Score an answer by the reference that fits best.

    answer (str): The answer.
    references (Sequence[str]): The correct answers.
    RETURNS (dict[str, float]): `f1`; `f1_cut`, that of the first words, as many as the
        reference has; `em`, whether the words are the same; and `contains`.
    """
    words = normalize(answer)
    scores = []
    for reference in map(normalize, references):
        cut = words[: len(reference)]
        places = range(len(words) - len(reference) + 1)
        scores.append(
            {
                "f1": overlap(words, reference),
                "f1_cut": overlap(cut, reference),
                "em": float(words == reference),
                "contains": float(
                    any(words[i : i + len(reference)] == reference for i in places)
                ),
            }
        )
    return {key: max(each[key] for each in scores) for key in scores[0]}


def number_score(answer: str, reference: str) -> float:
    """Compare the last number of an answer with that of a reference.

    answer (str): The answer.
    reference (str): The reference.
    RETURNS (float): 1 if the numbers are equal, else 0.
    """
    found, wanted = (_last_number(text) for text in (answer, reference))
    return float(found is not None and found == wanted)


def _last_number(text: str) -> float | None:
    numbers = _NUMBER.findall(text)
    return float(numbers[-1].replace(",", "")) if numbers else None


def mean_interval(
    values: Sequence[float], samples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Compute a percentile bootstrap interval of a mean (Efron, "Bootstrap Methods:
    Another Look at the Jackknife", 1979).

    values (Sequence[float]): The values, at least one.
    samples (int): The number of draws.
    seed (int): The random seed.
    level (float): The share of draws within the interval.
    RETURNS (tuple[float, float]): The ends of the interval.
    """
    array = numpy.asarray(values, dtype="float64")
    random = numpy.random.default_rng(seed)
    means = [random.choice(array, len(array)).mean() for _ in range(samples)]
    tail = (1 - level) / 2
    low, high = numpy.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
