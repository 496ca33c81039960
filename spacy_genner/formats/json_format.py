"""JSON formats: the spans listed beside the text."""

import json
from collections.abc import Sequence
from typing import Any

from .format import Format
from .json_reading import Value, read_values
from .occurrences import Place, loose_occurrences, occurrences
from .spans import CharSpan, Issue, Parsed, ordered


class JsonFormat(Format):
    """A format whose output is `json.dumps(..., ensure_ascii=False)` of the spans.

    Labels may be any string but the empty one, and spans may cross.
    """

    allows_crossing = True
    label_rule = "a string that is not empty"

    def is_legal(self, label: str) -> bool:
        return bool(label)

    def written(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> str:
        return json.dumps(self.content(text, spans, labels), ensure_ascii=False)

    def parse(
        self, output: str, text: str, labels: Sequence[str] | None = None
    ) -> Parsed:
        values, issues = read_values(output)
        reading = Reading(text, labels, issues)
        self.read(values, reading)
        issues.sort(key=lambda issue: (issue.start, issue.end, issue.code))
        spans = ordered(reading.spans, labels)
        if (
            not issues
            and self.render(text, spans, self.order(values, labels)) != output
        ):
            message = "order, keys or spacing are not as they are to be"
            issues.append(Issue("bad_json", message, 0, len(output)))
        return Parsed(spans, issues)

    def content(
        self, text: str, spans: list[CharSpan], labels: Sequence[str] | None
    ) -> Any:
        """RETURNS (Any): What is written for spans that are in order."""
        raise AssertionError("abstract")

    def read(self, values: Sequence[Value], reading: "Reading") -> None:
        """Add the spans of an output's values to a reading."""
        raise AssertionError("abstract")

    def order(
        self, values: Sequence[Value], labels: Sequence[str] | None
    ) -> Sequence[str] | None:
        """RETURNS (Optional[Sequence[str]]): The order of labels that holds an output
        to what `render` gives."""
        return labels


class Reading:
    """The spans of an output as they are found.

    text (str): The source.
    labels (Optional[Sequence[str]]): The labels there are; None for any.
    issues (List[Issue]): What was wrong; grows.
    """

    def __init__(self, text: str, labels: Sequence[str] | None, issues: list[Issue]):
        self.text = text
        self.labels = labels
        self.issues = issues
        # Their order is of no account; a dict finds one at once.
        self.spans: dict[CharSpan, None] = {}
        self._known: dict[str, list[Place]] = {}

    def note(self, code: str, message: str, value: Value) -> None:
        """Report something about a value.

        code (str): The issue's code.
        message (str): What it is.
        value (Value): The value.
        """
        self.issues.append(Issue(code, message, value.start, value.end))

    def add(self, place: Place, label: str, value: Value) -> None:
        """Add a span, or report that it was there already.

        place (Place): Its place.
        label (str): Its label.
        value (Value): The value that says it.
        """
        span = CharSpan(*place, label)
        if span in self.spans:
            said = self.text[place.start : place.end]
            self.note("duplicate", f"{label} over {said!r} again", value)
        else:
            self.spans[span] = None

    def knows(self, label: str, value: Value) -> bool:
        """Whether a label is among those there are; reported where it is not.

        label (str): The label.
        value (Value): The value that says it.
        RETURNS (bool): Whether it is.
        """
        if not label:
            self.note("unknown_label", "a label is empty", value)
        elif self.labels is not None and label not in self.labels:
            self.note("unknown_label", f"{label!r} is not among the labels", value)
        else:
            return True
        return False

    def places(self, string: Any, value: Value) -> list[Place]:
        """Where a string stands in the source; reported where it stands nowhere, or
        otherwise than it is written.

        string (Any): The string.
        value (Value): The value that says it.
        RETURNS (List[Place]): The places, from left to right.
        """
        exact, loose = self._found(string) if isinstance(string, str) else ([], [])
        if not exact and not loose:
            self.note("not_in_text", f"{string!r} is not in the text", value)
        elif not exact:
            first = self.text[loose[0].start : loose[0].end]
            self.note("copy_differs", f"{string!r} stands for {first!r}", value)
        return exact or loose

    def _found(self, string: str) -> tuple[list[Place], list[Place]]:
        stripped = string.strip()
        if not stripped:
            return [], []
        if stripped not in self._known:
            self._known[stripped] = occurrences(self.text, stripped)
        exact = self._known[stripped]
        if stripped == string and exact:
            return exact, []
        return [], exact or loose_occurrences(self.text, stripped)
