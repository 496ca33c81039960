"""The answers of annotators in the JSON Lines of Prodigy.

In the manual interfaces, an accepted example has all spans of its text. In the binary
ones, an answer accepts or rejects one suggested span and says nothing about the rest of
the text, so that it is no gold annotation. Older versions of Prodigy do not store the
interface. Binary answers are then recognized by what only they contain.
"""

from pathlib import Path
from typing import Any, NamedTuple

from ...errors import Errors
from ..documents import Annotated

ACCEPT, REJECT = "accept", "reject"
_HASHES = ("_input_hash", "_task_hash")
_KEYS = ("answer", "_view_id", "_is_binary", *_HASHES)
_BINARY_VIEWS = ("ner", "spans")
_MANUAL_VIEWS = (None, "ner_manual", "spans_manual", "relations")
# The recipe that shows several annotations of one example, and the key of their
# interface in its examples.
_REVIEW, _REVIEWED = "review", "view_id"
# What the recipes with binary answers add to the example and to its span.
_SUGGESTED_META = ("score", "pattern")
_SUGGESTED_SPAN = ("score", "pattern", "rank", "priority", "input_hash")
# Answers about whole texts.
_OTHER_ANSWERS = ("label", "options", "accept")


class _Answer(NamedTuple):
    """An answer that was read.

    line (int): The line of the example.
    content (Any): What was answered.
    """

    line: int
    content: Any


class Answers:
    """Checks the answers of a file.

    path (Path): The file, for messages.
    """

    def __init__(self, path: Path):
        self.path = path
        self._accepted: dict[Any, _Answer] = {}
        # Answers with one span, of an unknown interface, by input.
        self._single: dict[Any, _Answer] = {}
        self._others = False
        self._rejected = 0

    def check(self, record: dict[str, Any], line: int) -> None:
        """Check that an example is not a binary answer.

        record (dict[str, Any]): The example.
        line (int): Its line.
        RAISES (ValueError): It is a binary answer.
        """
        if not any(key in record for key in _KEYS):
            return
        spans = record.get("spans")
        name = "_view_id"
        if record.get(name) == _REVIEW:
            name = _REVIEWED
        view = record.get(name)
        if view in _BINARY_VIEWS:
            raise self._binary(line, f"{name!r} is {view!r}")
        if record.get("_is_binary") and "spans" in record:
            raise self._binary(line, "'_is_binary' is true")
        if view is not None or record.get("_is_binary") is False:
            return
        is_answer = record.get("answer") in (ACCEPT, REJECT)
        if not isinstance(spans, list) or len(spans) != 1:
            self._others = self._others or is_answer
            return
        self._check_suggestion(record, spans[0], line)
        content = spans[0]
        if isinstance(content, dict):
            content = [content.get(name) for name in ("start", "end", "label")]
        key = str(record.get("_input_hash", record.get("text")))
        before = self._single.setdefault(key, _Answer(line, content))
        if before.content != content:
            raise self._binary(
                line, f"line {before.line} has another span of the same text"
            )
        if record.get("answer") == REJECT and any(key in record for key in _HASHES):
            self._rejected = self._rejected or line

    def _check_suggestion(self, record: dict[str, Any], span: Any, line: int) -> None:
        meta = record.get("meta")
        for key in _SUGGESTED_META:
            if isinstance(meta, dict) and key in meta:
                raise self._binary(line, f"'meta' has a {key!r}")
        if isinstance(span, dict) and any(key in record for key in _HASHES):
            for key in _SUGGESTED_SPAN:
                if key in span:
                    raise self._binary(line, f"its span has a {key!r}")

    def is_repeated(self, record: dict[str, Any], text: Annotated, line: int) -> bool:
        """Compare an accepted example with the others of the same input.

        record (dict[str, Any]): The example.
        text (Annotated): Its text with spans.
        line (int): Its line.
        RETURNS (bool): Whether an example with the same annotation was read before.
        RAISES (ValueError): An example of the same input has other spans.
        """
        if record.get("_input_hash") is None:
            return False
        key = (str(record["_input_hash"]), text.text, record.get("doc_id"))
        spans = frozenset(text.spans)
        if key not in self._accepted:
            self._accepted[key] = _Answer(line, spans)
            return False
        before = self._accepted[key]
        if before.content != spans:
            raise ValueError(
                Errors.G576.format(path=self.path, line=line, first=before.line)
            )
        return True

    def finish(self) -> None:
        """Check the file as a whole, after its last example.

        RAISES (ValueError): Each answer, accepted or rejected, is about one span.
        """
        if self._rejected and not self._others:
            raise self._binary(
                self._rejected, "a rejected one, and each answer has exactly one span"
            )

    def _binary(self, line: int, reason: str) -> ValueError:
        return ValueError(Errors.G567.format(path=self.path, line=line, reason=reason))


def accepted_without_spans(record: dict[str, Any]) -> bool:
    """Return whether the annotator accepted a text in which there is no span.

    record (dict[str, Any]): The example.
    RETURNS (bool): Whether the example was accepted in a manual interface.
    """
    view = record.get("_view_id")
    if view == _REVIEW:
        view = record.get(_REVIEWED, _REVIEW)
    return (
        record.get("answer") == ACCEPT
        and view in _MANUAL_VIEWS
        and not record.get("_is_binary")
        and record.get("spans") is None
        and not any(key in record for key in _OTHER_ANSWERS)
    )
