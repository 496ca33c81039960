"""Filter a teacher's annotations into a training corpus and a file for review."""

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
from .progress_log import Entry

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


@dataclass
class FilterCounts:
    """Counts over the documents of a run.

    total (int): Documents of the input, blank ones too.
    graded (int): Those that are not blank.
    usable (int): Those in the corpus.
    failed (int): Those that failed.
    with_issues (int): Those with an issue, failed ones too.
    spans (int): Spans in the corpus.
    scored (int): Those of all spans whose score is not 1.
    taken_out (int): Doubtful spans that were taken out of documents in the corpus.
    labels (Counter[str]): Spans in the corpus, by label.
    statuses (Counter[str]): Documents, by status.
    first_failure (str): Why the first failed.
    """

    total: int
    graded: int = 0
    usable: int = 0
    failed: int = 0
    with_issues: int = 0
    spans: int = 0
    scored: int = 0
    taken_out: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    first_failure: str = ""

    @property
    def blank(self) -> int:
        """RETURNS (int): Documents without text."""
        return self.total - self.graded

    @property
    def left_out(self) -> int:
        """RETURNS (int): Documents that did not fail, and are not in the corpus."""
        return self.graded - self.failed - self.usable

    def add(self, graded: Graded) -> None:
        """Count a document.

        graded (Graded): The document.
        """
        self.graded += 1
        self.statuses[graded.status] += 1
        self.with_issues += bool(graded.issues)
        scores = [*graded.scores, *graded.doubts]
        self.scored += sum(score not in (None, 1.0) for score in scores)
        if graded.status == FAILED:
            self.failed += 1
            reason = graded.why[0].removeprefix(f"{FAILED}: ")
            self.first_failure = self.first_failure or reason
        if graded.usable:
            self.usable += 1
            self.spans += len(graded.spans)
            self.taken_out += len(graded.doubtful)
            self.labels.update(span.label_ for span in graded.spans)


# What a person looks at first.
_FIRST = (FAILED, REPAIRED)


class Review:
    """A review in the making: its lines lie in a file without a name until all are
    there and can be put in order. In memory are 17 bytes for each.

    Failed documents come first, then repaired ones, then all others: of these the ones
    with the least sure span first, of equals those with more issues, then in the order
    in which they were added.

    folder (Path): Where the lines lie meanwhile; made where it is missing.
    key (str): The group of `doc.spans`.
    """

    def __init__(self, folder: Path, key: str):
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = TemporaryFile(dir=folder)
        self._key = key
        self._ranks = array("b")
        self._scores = array("f")
        self._issues = array("i")
        self._places = array("Q")

    def __enter__(self) -> "Review":
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.close()

    def add(self, graded: Graded) -> None:
        """Take a document.

        graded (Graded): The document.
        """
        status = graded.status
        rank = _FIRST.index(status) if status in _FIRST else len(_FIRST)
        self._ranks.append(rank)
        self._scores.append(graded.least)
        self._issues.append(-len(graded.issues))
        self._places.append(self._lines.tell())
        line = json.dumps(review_record(graded, self._key), ensure_ascii=False)
        self._lines.write(line.encode("utf-8") + b"\n")

    def write(self, path: Path) -> None:
        """Write the review, all or nothing.

        path (Path): The file.
        """
        # The last key counts most.
        keys = (self._places, self._issues, self._scores, self._ranks)
        order = numpy.lexsort([numpy.asarray(key) for key in keys])
        with replaced_file(path) as fresh, fresh.open("wb") as file:
            for index in order:
                self._lines.seek(self._places[index])
                file.write(self._lines.readline())


def review_record(graded: Graded, key: str) -> dict[str, Any]:
    """Make the JSON object of a document.

    Read as it is by `convert --from jsonl`, it gives what the corpus has: a document
    that is not in the corpus has the `answer` "ignore", as in Prodigy's files.

    graded (Graded): The document.
    key (str): The group of `doc.spans`.
    RETURNS (Dict[str, Any]): The input's keys, with `text`, `spans`, `status`,
        `issues`, `why`, `answer`, `doc_id` and `meta`; `doubtful` where spans were
        taken out, and `raw`, the model's answer, where it was kept.
    """
    doc = graded.doc
    fields = dict(doc.user_data.get("record", {}))
    meta = fields.get("meta")
    record: dict[str, Any] = {
        **fields,
        "text": doc.text,
        "spans": _listed(graded.spans, graded.scores),
        "status": graded.status,
        "issues": graded.issues,
        "why": "; ".join(graded.why),
        "answer": "accept" if graded.usable else "ignore",
        "doc_id": doc.user_data["doc_id"],
        "meta": {**(meta if isinstance(meta, dict) else {}), "index": graded.number},
    }
    if graded.doubtful:
        record["doubtful"] = _listed(graded.doubtful, graded.doubts)
    raw = doc.spans[key].attrs.get("answer")
    if raw:
        record["raw"] = raw
    return record


def _listed(
    spans: Sequence[Span], scores: Sequence[float | None]
) -> list[dict[str, Any]]:
    return [
        {
            "start": span.start_char,
            "end": span.end_char,
            "label": span.label_,
            "score": None if score is None else round(score, 6),
        }
        for span, score in zip(spans, scores, strict=True)
    ]
