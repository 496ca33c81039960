"""What comes of a document: its spans, and how it went."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from spacy.tokens import Doc, Span

from .errors import Errors

OK, WINDOWED, REPAIRED, FAILED = "ok", "windowed", "repaired", "failed"


class TokenSpan(NamedTuple):
    """A span of spaCy tokens (end exclusive) with its label and probability."""

    start: int
    end: int
    label: str
    score: float


@dataclass
class Outcome:
    """What was found in one document.

    spans (List[TokenSpan]): The spans, in the order of the contract: by start, then
        the longer first, then the label's place.
    status (str): "ok", "windowed", "repaired" or "failed".
    issues (List[Dict[str, Any]]): What was repaired or went wrong.
    error (Optional[Exception]): Why the document failed.
    answers (Sequence[str]): What the model wrote, where that is to be kept.
    weighed (bool): Whether scores are probabilities, and not 1.0 for want of any.
    """

    spans: list[TokenSpan] = field(default_factory=list)
    status: str = OK
    issues: list[dict[str, Any]] = field(default_factory=list)
    error: Exception | None = None
    answers: Sequence[str] = ()
    weighed: bool = True


def failed(doc: Doc | Span, error: Exception) -> Outcome:
    """What a document gets that could not be annotated.

    doc (Union[Doc, Span]): The document, or a part of it.
    error (Exception): Why.
    RETURNS (Outcome): No spans, and one issue over all of it.
    """
    if isinstance(error, KeyError):
        # spaCy takes a KeyError for a component that is not initialized.
        cause = error
        error = ValueError(Errors.G424.format(text=doc.text[:40], reason=repr(cause)))
        error.__cause__ = cause
    return Outcome([], FAILED, [failure(doc, str(error))], error)


def failure(doc: Doc | Span, reason: str) -> dict[str, Any]:
    """The issue of a document that could not be annotated.

    doc (Union[Doc, Span]): The document.
    reason (str): Why.
    RETURNS (Dict[str, Any]): The issue, over all of its tokens.
    """
    place = {"start": 0, "end": len(doc), "within": "tokens"}
    return {"code": FAILED, "message": reason, **place}


def uncross(outcome: Outcome) -> None:
    """Take out spans that cross one from a neighbouring window and are less sure, of
    equals the later.

    outcome (Outcome): Changed in place.
    """
    kept: list[TokenSpan] = []
    for span in sorted(outcome.spans, key=lambda s: -s.score):
        crossed = next((other for other in kept if _cross(span, other)), None)
        if crossed is None:
            kept.append(span)
            continue
        outcome.status = REPAIRED
        outcome.issues.append(
            {
                "code": "crossing",
                "message": (
                    f"{span.label} over tokens {span.start} to {span.end} crosses "
                    f"{crossed.label} over {crossed.start} to {crossed.end}, which "
                    f"another window found with a higher score"
                ),
                "start": span.start,
                "end": span.end,
                "within": "tokens",
            }
        )
    outcome.spans = [span for span in outcome.spans if span in kept]


def _cross(one: TokenSpan, other: TokenSpan) -> bool:
    first, second = sorted((one, other), key=lambda span: (span.start, -span.end))
    return first.start < second.start < first.end < second.end
