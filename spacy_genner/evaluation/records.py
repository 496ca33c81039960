"""The files of an evaluation: `NAME.json` with the scores, and beside it
`NAME.spans.jsonl` with the gold and predicted spans of every document."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import Errors
from ..formats import CharSpan
from ..io import json_text, numbered_lines, parse_json, replaced_file

SPANS_SUFFIX = ".spans.jsonl"


@dataclass
class Annotation:
    """A document with its gold and predicted spans.

    text (str): The text.
    gold (list[CharSpan]): The reference spans.
    predicted (list[CharSpan]): The predicted spans.
    scores (list[float]): The score of each predicted span; 1 if it has none.
    status (str): The status of the document.
    issues (list[dict[str, Any]]): The issues of the document.
    unaligned (int): The number of gold spans that fit no token boundary of the
        predicted document.
    lengths (dict[tuple[int, int], int] | None): For the character range of each span,
        its number of predicted tokens; None if it is unknown.
    sentences (list[int]): The start of each sentence, in characters; empty if unknown.
    scored (bool): Whether the pipeline provided the scores.
    uncalibrated (list[float] | None): The scores before calibration, if the pipeline
        calibrates them.
    written (bool): Whether the pipeline wrote the group of the predicted spans.
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
    uncalibrated: list[float] | None = None
    written: bool = True

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The JSON object of a line of `.spans.jsonl`."""
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
        """Create an annotation from the result of `to_json`.

        row (Any): The JSON value.
        RETURNS (Annotation): The annotation.
        RAISES (ValueError): The value has another structure; the message names the
            fault.
        """
        if not isinstance(row, dict):
            raise ValueError(f"expected an object, found {type(row).__name__}")
        text = _get_typed(row, "text", str)
        predicted = _get_typed(row, "predicted", list)
        for item in predicted:
            if not isinstance(item, list) or not _is_number(item[-1:]):
                raise ValueError(f"the prediction {item!r} has no score at its end")
        issues = _get_typed(row, "issues", list)
        if not all(isinstance(issue, dict) for issue in issues):
            raise ValueError("an issue is not an object")
        return cls(
            text=text,
            gold=[_parse_span(item, text) for item in _get_typed(row, "gold", list)],
            predicted=[_parse_span(item[:-1], text) for item in predicted],
            scores=[float(item[-1]) for item in predicted],
            status=_get_typed(row, "status", str),
            issues=issues,
        )


def _get_typed(row: dict[str, Any], key: str, expected: type) -> Any:
    if not isinstance(row.get(key), expected):
        found = repr(row.get(key))[:80]
        raise ValueError(f"{key!r} is {found}, expected a {expected.__name__}")
    return row[key]


def _is_number(found: list[Any]) -> bool:
    # `bool` is a subclass of `int`.
    return len(found) == 1 and type(found[0]) in (int, float)


def _parse_span(item: Any, text: str) -> CharSpan:
    if not isinstance(item, list) or [type(part) for part in item] != [int, int, str]:
        raise ValueError(f"the span {item!r} is not a start, an end and a label")
    span = CharSpan(*item)
    if not 0 <= span.start <= span.end <= len(text):
        raise ValueError(f"{item!r} lies outside the text of {len(text)} characters")
    return span


def write_evaluation(
    result: dict[str, Any], annotations: Iterable[Annotation], scores_file: Path
) -> Path:
    """Write the two files of an evaluation, both or neither.

    result (dict[str, Any]): The evaluation.
    annotations (Iterable[Annotation]): The documents.
    scores_file (Path): `NAME.json`; the documents are written to `NAME.spans.jsonl`.
    RETURNS (Path): The file of the documents.
    """
    spans_file = scores_file.with_suffix(SPANS_SUFFIX)
    with replaced_file(scores_file) as fresh_scores:
        fresh_scores.write_text(json_text(result), encoding="utf8")
        with replaced_file(spans_file) as fresh_spans:
            with fresh_spans.open("w", encoding="utf8") as out:
                for annotation in annotations:
                    line = json.dumps(annotation.to_json(), ensure_ascii=False)
                    out.write(f"{line}\n")
    return spans_file


def read_annotations(path: Path) -> Iterator[Annotation]:
    """Read the documents of an evaluation.

    path (Path): A `.spans.jsonl` file.
    YIELDS (Annotation): The documents, in order.
    RAISES (ValueError): A line was not written by `write_evaluation`.
    """
    for number, line in numbered_lines(path):
        try:
            yield Annotation.from_json(parse_json(line))
        except ValueError as err:
            reason = f"line {number}: {err}"
            raise ValueError(Errors.G605.format(path=path, reason=reason)) from err


def read_result(path: Path) -> Any:
    """Read the JSON file of an evaluation or a comparison.

    path (Path): The file.
    RETURNS (Any): Its content.
    RAISES (ValueError): It is not JSON.
    """
    with refuse_damaged(path):
        return parse_json(path.read_text(encoding="utf8"))


@contextmanager
def refuse_damaged(path: Path) -> Iterator[None]:
    """Turn the errors of a block that uses the content of an evaluation's JSON file
    into one that names the file.

    path (Path): The file.
    RAISES (ValueError): The block failed because a value is missing or malformed.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise ValueError(Errors.G605.format(path=path, reason=repr(err))) from err
