"""Evaluated documents: reference and prediction, as the `.spans.jsonl` files hold them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import Errors
from ..formats import CharSpan
from ..io import numbered_lines, parse_json

SUFFIX = ".spans.jsonl"


@dataclass
class Annotation:
    """One document with what it holds and what was found.

    text (str): The text.
    gold (List[CharSpan]): The reference.
    predicted (List[CharSpan]): The prediction.
    scores (List[float]): The predicted spans' scores; 1 where there are none.
    status (str): The document's status.
    issues (List[Dict[str, Any]]): Its issues.
    unaligned (int): Reference spans that no boundary of the predicted tokens fits.
    lengths (Optional[Dict[Tuple[int, int], int]]): Range (characters) to number of
        predicted tokens, for every span; None where it is not known.
    sentences (List[int]): Where sentences start (characters); none where it is not
        known.
    scored (bool): Whether the scores are the pipeline's own.
    """

    text: str
    gold: list[CharSpan]
    predicted: list[CharSpan]
    scores: list[float]
    status: str
    issues: list[dict[str, Any]] = field(default_factory=list)
    unaligned: int = 0
    lengths: dict[tuple[int, int], int] | None = None
    sentences: list[int] = field(default_factory=list)
    scored: bool = True

    def to_json(self) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): The row of a `.spans.jsonl` file."""
        return {
            "text": self.text,
            "gold": [list(span) for span in self.gold],
            "predicted": [
                [*span, score]
                for span, score in zip(self.predicted, self.scores, strict=True)
            ],
            "status": self.status,
            "issues": self.issues,
        }

    @classmethod
    def from_json(cls, row: Any) -> "Annotation":
        """Read what `to_json` gave.

        row (Any): The row.
        RETURNS (Annotation): The document.
        RAISES (ValueError): It is no such row; the message says what is wrong.
        """
        if not isinstance(row, dict):
            raise ValueError(f"expected an object, found {type(row).__name__}")
        text = _typed(row, "text", str)
        predicted = _typed(row, "predicted", list)
        for item in predicted:
            if not isinstance(item, list) or not _is_number(item[-1:]):
                raise ValueError(f"the prediction {item!r} has no score at its end")
        issues = _typed(row, "issues", list)
        if not all(isinstance(issue, dict) for issue in issues):
            raise ValueError("an issue is no object")
        return cls(
            text=text,
            gold=[_span(item, text) for item in _typed(row, "gold", list)],
            predicted=[_span(item[:-1], text) for item in predicted],
            scores=[float(item[-1]) for item in predicted],
            status=_typed(row, "status", str),
            issues=issues,
        )


def read_annotations(path: Path) -> Iterator[Annotation]:
    """Read the documents of an evaluation.

    path (Path): A `.spans.jsonl` file.
    YIELDS (Annotation): The documents, in order.
    RAISES (ValueError): A line is not what `evaluate` writes.
    """
    for number, line in numbered_lines(path):
        try:
            yield Annotation.from_json(parse_json(line))
        except ValueError as err:
            reason = f"line {number}: {err}"
            raise ValueError(Errors.G605.format(path=path, reason=reason)) from err


def _typed(row: dict[str, Any], key: str, kind: type) -> Any:
    if not isinstance(row.get(key), kind):
        found = repr(row.get(key))[:80]
        raise ValueError(f"{key!r} is {found}, expected a {kind.__name__}")
    return row[key]


def _is_number(found: list[Any]) -> bool:
    # A bool is an int to Python.
    return len(found) == 1 and type(found[0]) in (int, float)


def _span(item: Any, text: str) -> CharSpan:
    if not isinstance(item, list) or [type(part) for part in item] != [int, int, str]:
        raise ValueError(f"the span {item!r} is not a start, an end and a label")
    span = CharSpan(*item)
    if not 0 <= span.start <= span.end <= len(text):
        raise ValueError(f"{item!r} lies outside the text of {len(text)} characters")
    return span
