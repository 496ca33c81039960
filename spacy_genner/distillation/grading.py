"""Which documents are good enough to be learnt from, and what asks for a look."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from spacy.tokens import Doc, Span, SpanGroup

from ..outcomes import FAILED, OK, REPAIRED, WINDOWED
from .journal import Entry

# Of best to worst.
KEEP = (OK, WINDOWED, REPAIRED)
DOUBTFUL = ("document", "span")


@dataclass(frozen=True)
class Rules:
    """What is good enough.

    keep (str): The worst status that is: "ok", "windowed" or "repaired".
    min_score (float): The probability below which a span is doubtful.
    doubtful (str): What a doubtful span takes out of the corpus: its "document", or
        the "span" alone, which is then learnt as text without an entity.
    """

    keep: str = REPAIRED
    min_score: float = 0.0
    doubtful: str = "document"


@dataclass
class Graded:
    """A document, and what the rules say of it.

    number (int): Which of the input's documents it is, from 1.
    doc (Doc): The document. Its group is as it goes into the corpus.
    status (str): The status that the teacher gave it.
    issues (List[Dict[str, Any]]): What was repaired or went wrong.
    spans (List[Span]): The spans that are taken as they are.
    scores (List[Optional[float]]): Their scores.
    doubtful (List[Span]): The spans that were taken out of the group.
    doubts (List[Optional[float]]): Their scores.
    why (List[str]): What asks for a look, the gravest first.
    usable (bool): Whether the document goes into the corpus.
    """

    number: int
    doc: Doc
    status: str
    issues: list[dict[str, Any]]
    spans: list[Span]
    scores: list[float | None]
    doubtful: list[Span]
    doubts: list[float | None]
    why: list[str]
    usable: bool

    @property
    def least(self) -> float:
        """RETURNS (float): The lowest score of a span; 1.0 without any."""
        scores = [*self.scores, *self.doubts]
        return min((score for score in scores if score is not None), default=1.0)


def grade(entry: Entry, key: str, rules: Rules) -> Graded:
    """Say whether a document goes into the corpus, and how.

    entry (Entry): The document. With doubtful = "span" its group loses the spans.
    key (str): The group of `doc.spans`.
    rules (Rules): What is good enough.
    RETURNS (Graded): The document, graded.
    """
    doc = entry.doc
    group = doc.spans[key]
    spans, scores = list(group), _scores(group)
    status = FAILED if entry.error is not None else group.attrs.get("status", OK)
    issues = [dict(issue) for issue in group.attrs.get("issues", ())]
    under = [score is not None and score < rules.min_score for score in scores]
    why = []
    if status == FAILED:
        why.append(f"{FAILED}: {entry.error}")
    elif status == REPAIRED:
        why.append(f"repaired: {_codes(issues)}")
    elif status == WINDOWED and rules.keep == OK:
        why.append("windowed: it was read in parts")
    why += [
        f"{span.text!r} ({span.label_}) has the score {score:.2f}"
        for span, score, doubted in zip(spans, scores, under, strict=True)
        if doubted
    ]
    good = status in KEEP[: KEEP.index(rules.keep) + 1]
    graded = Graded(
        number=entry.number,
        doc=doc,
        status=status,
        issues=issues,
        spans=spans,
        scores=scores,
        doubtful=[],
        doubts=[],
        why=why,
        usable=good and not (any(under) and rules.doubtful == "document"),
    )
    if any(under) and graded.usable:
        _part(graded, under)
        _replace_group(graded, key)
    return graded


def _scores(group: SpanGroup) -> list[float | None]:
    scores = group.attrs.get("scores")
    if scores is None or len(scores) != len(group):
        return [None] * len(group)
    return [float(score) for score in scores]


def _codes(issues: Sequence[dict[str, Any]]) -> str:
    counts = Counter(str(issue.get("code")) for issue in issues)
    return ", ".join(
        code if count == 1 else f"{code} ({count})" for code, count in counts.items()
    )


def _part(graded: Graded, under: Sequence[bool]) -> None:
    """Take the doubtful spans from the others."""
    parts = list(zip(graded.spans, graded.scores, under, strict=True))
    graded.spans = [span for span, _, doubted in parts if not doubted]
    graded.scores = [score for _, score, doubted in parts if not doubted]
    graded.doubtful = [span for span, _, doubted in parts if doubted]
    graded.doubts = [score for _, score, doubted in parts if doubted]


def _replace_group(graded: Graded, key: str) -> None:
    doc = graded.doc
    attrs = dict(doc.spans[key].attrs)
    attrs["scores"] = numpy.asarray(graded.scores, dtype="float32")
    doc.spans[key] = SpanGroup(doc, name=key, spans=graded.spans, attrs=attrs)
