"""Filter the annotations of a teacher: which documents and spans enter the training
corpus, and which a person should review first."""

import json
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy
from spacy.tokens import Doc, Span, SpanGroup

from ..io import replaced_file
from ..pipeline.results import FAILED, OK, REPAIRED, WINDOWED
from ..pipeline.texts import group_scores, span_records
from .progress_log import Entry

# From best to worst.
KEEP_CHOICES = (OK, WINDOWED, REPAIRED)
DOUBTFUL_CHOICES = ("document", "span")


@dataclass(frozen=True)
class FilterRules:
    """The rules for the training corpus.

    keep (str): The worst status of a document in the corpus: "ok", "windowed" or
        "repaired".
    min_score (float): A span with a lower score is doubtful.
    doubtful (str): What a doubtful span removes from the corpus: its "document", or
        only the "span". In the latter case the model learns the text of the span as
        text without an entity.
    """

    keep: str = REPAIRED
    min_score: float = 0.0
    doubtful: str = "document"


@dataclass
class FilterResult:
    """A document after filtering.

    number (int): The number of the document in the input, from 1.
    doc (Doc): The document, with the span group as the corpus contains it.
    status (str): The status from the teacher.
    issues (list[dict[str, Any]]): The issues from the teacher.
    spans (list[Span]): The spans of the group.
    scores (list[float | None]): The scores of the spans.
    doubtful (list[Span]): The spans that were removed from the group.
    doubtful_scores (list[float | None]): The scores of the removed spans.
    reasons (list[str]): Why the document needs a review, most severe first.
    accepted (bool): Whether the document enters the corpus.
    """

    number: int
    doc: Doc
    status: str
    issues: list[dict[str, Any]]
    spans: list[Span]
    scores: list[float | None]
    doubtful: list[Span]
    doubtful_scores: list[float | None]
    reasons: list[str]
    accepted: bool

    @property
    def lowest_score(self) -> float:
        """RETURNS (float): The lowest score of all spans; 1.0 without any score."""
        scores = [*self.scores, *self.doubtful_scores]
        return min((score for score in scores if score is not None), default=1.0)


def filter_entry(entry: Entry, key: str, rules: FilterRules) -> FilterResult:
    """Apply the rules to a document.

    entry (Entry): The document. With `rules.doubtful` = "span", its doubtful spans are
        removed from the group in place.
    key (str): The key of the span group.
    rules (FilterRules): The rules.
    RETURNS (FilterResult): The result.
    """
    doc = entry.doc
    group = doc.spans[key]
    spans, scores = list(group), group_scores(group)
    status = FAILED if entry.error is not None else group.attrs.get("status", OK)
    issues = [dict(issue) for issue in group.attrs.get("issues", ())]
    is_doubtful = [score is not None and score < rules.min_score for score in scores]
    reasons = []
    if status == FAILED:
        reasons.append(f"{FAILED}: {entry.error}")
    elif status == REPAIRED:
        reasons.append(f"repaired: {_count_codes(issues)}")
    elif status == WINDOWED and rules.keep == OK:
        reasons.append("windowed: it was read in parts")
    reasons += [
        f"{span.text!r} ({span.label_}) has the score {score:.2f}"
        for span, score, doubtful in zip(spans, scores, is_doubtful, strict=True)
        if doubtful
    ]
    kept = status in KEEP_CHOICES[: KEEP_CHOICES.index(rules.keep) + 1]
    result = FilterResult(
        number=entry.number,
        doc=doc,
        status=status,
        issues=issues,
        spans=spans,
        scores=scores,
        doubtful=[],
        doubtful_scores=[],
        reasons=reasons,
        accepted=kept and not (any(is_doubtful) and rules.doubtful == "document"),
    )
    if any(is_doubtful) and result.accepted:
        _remove_doubtful(result, is_doubtful, key)
    return result


def _count_codes(issues: Sequence[dict[str, Any]]) -> str:
    counts = Counter(str(issue.get("code")) for issue in issues)
    return ", ".join(
        code if count == 1 else f"{code} ({count})" for code, count in counts.items()
    )


def _remove_doubtful(
    result: FilterResult, is_doubtful: Sequence[bool], key: str
) -> None:
    scored = list(zip(result.spans, result.scores, is_doubtful, strict=True))
    result.spans = [span for span, _, doubtful in scored if not doubtful]
    result.scores = [score for _, score, doubtful in scored if not doubtful]
    result.doubtful = [span for span, _, doubtful in scored if doubtful]
    result.doubtful_scores = [score for _, score, doubtful in scored if doubtful]
    doc = result.doc
    attrs = dict(doc.spans[key].attrs)
    attrs["scores"] = numpy.asarray(result.scores, dtype="float32")
    doc.spans[key] = SpanGroup(doc, name=key, spans=result.spans, attrs=attrs)


@dataclass
class FilterCounts:
    """Counts over the documents of a run.

    total (int): Documents of the input, including blank ones.
    annotated (int): Documents that are not blank.
    accepted (int): Documents in the corpus.
    failed (int): Documents that failed.
    with_issues (int): Documents with an issue, including failed ones.
    spans (int): Spans in the corpus.
    scored (int): Spans of all documents with a score other than 1.
    removed (int): Doubtful spans removed from documents in the corpus.
    labels (Counter[str]): Spans in the corpus by label.
    statuses (Counter[str]): Documents by status.
    first_failure (str): Why the first failed document failed.
    """

    total: int
    annotated: int = 0
    accepted: int = 0
    failed: int = 0
    with_issues: int = 0
    spans: int = 0
    scored: int = 0
    removed: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    first_failure: str = ""

    @property
    def blank(self) -> int:
        """RETURNS (int): Documents without text."""
        return self.total - self.annotated

    @property
    def left_out(self) -> int:
        """RETURNS (int): Documents that did not fail and are not in the corpus."""
        return self.annotated - self.failed - self.accepted

    def add(self, result: FilterResult) -> None:
        """Count a document.

        result (FilterResult): The document.
        """
        self.annotated += 1
        self.statuses[result.status] += 1
        self.with_issues += bool(result.issues)
        scores = [*result.scores, *result.doubtful_scores]
        self.scored += sum(score not in (None, 1.0) for score in scores)
        if result.status == FAILED:
            self.failed += 1
            reason = result.reasons[0].removeprefix(f"{FAILED}: ")
            self.first_failure = self.first_failure or reason
        if result.accepted:
            self.accepted += 1
            self.spans += len(result.spans)
            self.removed += len(result.doubtful)
            self.labels.update(span.label_ for span in result.spans)


class ReviewWriter:
    """Writes the review file: one JSON line for each document, sorted by urgency.

    Failed documents come first, then repaired ones, then all others, each by the lowest
    score, then by descending number of issues, then in the order in which they were
    added. Until all documents are added, the lines are in an unnamed temporary file,
    and 17 bytes of each document are in memory.

    folder (Path): The folder of the temporary file. Created if it does not exist.
    key (str): The key of the span group.
    """

    _FIRST = (FAILED, REPAIRED)

    def __init__(self, folder: Path, key: str):
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = TemporaryFile(dir=folder)
        self._key = key
        self._ranks = array("b")
        self._scores = array("f")
        self._issues = array("i")
        self._offsets = array("Q")

    def __enter__(self) -> "ReviewWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.close()

    def add(self, result: FilterResult) -> None:
        """Add a document.

        result (FilterResult): The document.
        """
        first, status = self._FIRST, result.status
        self._ranks.append(first.index(status) if status in first else len(first))
        self._scores.append(result.lowest_score)
        self._issues.append(-len(result.issues))
        self._offsets.append(self._lines.tell())
        line = json.dumps(review_record(result, self._key), ensure_ascii=False)
        self._lines.write(line.encode("utf-8") + b"\n")

    def write(self, path: Path) -> None:
        """Write the review file, all or nothing.

        path (Path): The file.
        """
        # lexsort sorts by the last key first.
        keys = (self._offsets, self._issues, self._scores, self._ranks)
        order = numpy.lexsort([numpy.asarray(key) for key in keys])
        with replaced_file(path) as fresh, fresh.open("wb") as file:
            for index in order:
                self._lines.seek(self._offsets[index])
                file.write(self._lines.readline())


def review_record(result: FilterResult, key: str) -> dict[str, Any]:
    """Create the JSON object of a document in the review file.

    `convert --from jsonl` reads an unchanged review file as the content of the corpus:
    a document that is not in the corpus has the `answer` "ignore", as in Prodigy's
    files.

    result (FilterResult): The document.
    key (str): The key of the span group.
    RETURNS (dict[str, Any]): The keys of the input record, with `text`, `spans`,
        `status`, `issues`, `why`, `answer`, `doc_id` and `meta`; `doubtful` if spans
        were removed; and `raw`, the answer of the model, if it was kept.
    """
    doc = result.doc
    fields = dict(doc.user_data.get("record", {}))
    meta = fields.get("meta")
    record: dict[str, Any] = {
        **fields,
        "text": doc.text,
        "spans": span_records(result.spans, result.scores),
        "status": result.status,
        "issues": result.issues,
        "why": "; ".join(result.reasons),
        "answer": "accept" if result.accepted else "ignore",
        "doc_id": doc.user_data["doc_id"],
        "meta": {**(meta if isinstance(meta, dict) else {}), "index": result.number},
    }
    if result.doubtful:
        record["doubtful"] = span_records(result.doubtful, result.doubtful_scores)
    raw = doc.spans[key].attrs.get("answer")
    if raw:
        record["raw"] = raw
    return record
