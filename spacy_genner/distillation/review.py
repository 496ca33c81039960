"""The file for a person: what each document got, what is doubtful first."""

import json
from array import array
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy
from spacy.tokens import Span

from ..outcomes import FAILED, REPAIRED
from ..storage.files import replaced_file
from .grading import Graded

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
