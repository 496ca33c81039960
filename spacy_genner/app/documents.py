"""The documents of a correction: read from a corpus, and written as JSON Lines.

A corpus is checked as a whole when it is opened. Each document is kept as the line that
it was read from, and parsed again when it is shown.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..corpora.docbin import (
    aligned_spans,
    load_docs,
    sentence_starts,
    unaligned_spans,
)
from ..distillation import group_scores
from ..errors import Errors
from ..io import has_lone_surrogate, json_objects, numbered_lines, write_bytes
from .edits import ACCEPTED, STATES, SUGGESTED, ReviewSpan, Spans, sorted_spans

CORPUS_SUFFIXES = (".jsonl", ".spacy")
OUTPUT_SUFFIX = ".jsonl"
# The state of a document.
OPEN, DONE, SKIPPED = "open", "done", "skipped"
# What `genner convert` and Prodigy read: only accepted examples enter a corpus.
ANSWERS = {OPEN: "ignore", DONE: "accept", SKIPPED: "ignore"}
REVIEW_KEY = "review"
# Keys that this module writes anew, or that would contradict them.
_OWN_KEYS = ("text", "spans", "entities", "ents", "answer", "_view_id", REVIEW_KEY)
# The file of `genner annotate`: the status of a document and its issues.
_STATUS_KEYS = ("status", "issues")


class SourceDocument(NamedTuple):
    """A document of the corpus.

    number (int): Its number in the corpus, from 1.
    text (str): The text.
    spans (Spans | None): The annotation of the corpus. None without one.
    tokens (list[tuple[int, int]] | None): The start and end of each token, in
        characters, if the corpus has tokens.
    status (str): The status that the model gave the document, or "".
    issues (list[dict[str, Any]]): The issues of the model.
    fields (dict[str, Any]): The other keys of the record.
    """

    number: int
    text: str
    spans: Spans | None
    tokens: list[tuple[int, int]] | None
    status: str
    issues: list[dict[str, Any]]
    fields: dict[str, Any]


@dataclass(frozen=True)
class Annotation:
    """The annotation of a document, which is never changed.

    spans (Spans): The spans, including rejected ones.
    state (str): "open", "done" or "skipped".
    """

    spans: Spans = field(default=())
    state: str = OPEN


# Reading a corpus


class Corpus:
    """The documents of a file.

    path (Path): A `.jsonl` file with `text` and, if it is annotated, `spans` in each
        line, such as `genner annotate` writes it, or a `.spacy` file.
    spans_key (str): The group of `doc.spans` in a `.spacy` file.
    vocab (Vocab): The vocabulary for the Docs of a `.spacy` file.
    RAISES (ValueError): The file has another suffix, is malformed, or is empty.
    """

    def __init__(self, path: Path, spans_key: str, vocab: Vocab):
        self.path = path
        if path.suffix not in CORPUS_SUFFIXES:
            expected = ", ".join(CORPUS_SUFFIXES)
            raise ValueError(
                Errors.G525.format(path=path, found=path.suffix, expected=expected)
            )
        # Each document as JSON, and the line of the file that it is from.
        self._lines: list[tuple[int, str]] = []
        records = (
            json_objects(path)
            if path.suffix == ".jsonl"
            else enumerate(_doc_record(d, spans_key) for d in load_docs(path, vocab))
        )
        for line, record in records:
            self._lines.append((line, json.dumps(record, ensure_ascii=False)))
            # Report a malformed record before the work begins.
            self._parse(len(self._lines), line, record)
        if not self._lines:
            raise ValueError(Errors.G896.format(path=path))

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[SourceDocument]:
        return (self[number] for number in range(1, len(self) + 1))

    def __getitem__(self, number: int) -> SourceDocument:
        """Get a document.

        number (int): Its number, from 1.
        RETURNS (SourceDocument): The document.
        """
        line, content = self._lines[number - 1]
        return self._parse(number, line, json.loads(content))

    def _parse(self, number: int, line: int, record: dict[str, Any]) -> SourceDocument:
        try:
            return read_record(record, number)
        except ValueError as error:
            raise ValueError(
                Errors.G881.format(path=self.path, line=line, reason=error)
            ) from error


def read_record(record: Mapping[str, Any], number: int) -> SourceDocument:
    """Read a document from the object of a JSONL file.

    record (Mapping[str, Any]): The object.
    number (int): The number of the document.
    RETURNS (SourceDocument): The document.
    RAISES (ValueError): The object is malformed. The message has no code.
    """
    text = record.get("text")
    if not isinstance(text, str):
        raise ValueError(f"'text' is {text!r:.80}, expected a string")
    if has_lone_surrogate(json.dumps(record, ensure_ascii=False)):
        raise ValueError("it contains half of a character (a lone surrogate)")
    spans = record.get("spans")
    for name in ("entities", "label", "labels"):
        if spans is None and isinstance(record.get(name), list):
            raise ValueError(f"the spans are under {name!r}, expected 'spans'")
    status, issues = (record.get(key) for key in _STATUS_KEYS)
    fields = {
        key: value
        for key, value in record.items()
        if key not in _OWN_KEYS and key not in _STATUS_KEYS
    }
    return SourceDocument(
        number,
        text,
        None if spans is None else _read_spans(spans, text, SUGGESTED),
        _read_tokens(record.get("tokens"), text),
        status if isinstance(status, str) else "",
        [dict(i) for i in issues if isinstance(i, dict)]
        if isinstance(issues, list)
        else [],
        fields,
    )


def _read_spans(items: Any, text: str, state: str) -> Spans:
    if not isinstance(items, list):
        raise ValueError(f"'spans' is a {type(items).__name__}, expected a list")
    found: dict[str, ReviewSpan] = {}
    for item in items:
        if not isinstance(item, dict):
            raise ValueError(f"the span {item!r:.80} is not an object")
        start: Any = item.get("start")
        end: Any = item.get("end")
        label = item.get("label")
        # `isinstance` would accept a bool.
        is_number = type(start) is int and type(end) is int
        if not (is_number and 0 <= start < end <= len(text)):
            raise ValueError(
                f"the span {item!r:.80} is empty or outside the text of {len(text)} "
                "characters"
            )
        if not isinstance(label, str) or not label:
            raise ValueError(f"the span {item!r:.80} has no label")
        score: Any = item.get("score")
        if type(score) not in (int, float) or not 0 <= score <= 1:
            score = None
        known = item.get("state")
        chosen = known if state != SUGGESTED and known in STATES else state
        span = ReviewSpan(start, end, label, score, chosen)
        found.setdefault(span.key, span)
    return sorted_spans(found.values())


def _read_tokens(items: Any, text: str) -> list[tuple[int, int]] | None:
    """The tokens of Prodigy. Anything else is replaced by those of a tokenizer."""
    if not isinstance(items, list) or not items:
        return None
    found: list[tuple[int, int]] = []
    at = 0
    for item in items:
        start, end = (
            (item.get("start"), item.get("end")) if isinstance(item, dict) else (0, 0)
        )
        if type(start) is not int or type(end) is not int:
            return None
        if not at <= start < end <= len(text):
            return None
        found.append((start, end))
        at = end
    return found


def _doc_record(doc: Doc, key: str) -> dict[str, Any]:
    """The record of a Doc. A Doc without annotation has no `spans`."""
    stored = doc.user_data.get("record")
    record: dict[str, Any] = dict(stored) if isinstance(stored, dict) else {}
    record["text"] = doc.text
    if "doc_id" in doc.user_data:
        record["doc_id"] = str(doc.user_data["doc_id"])
    starts = sentence_starts(doc)
    if starts is not None:
        record["sentence_starts"] = starts
    if key in doc.spans or doc.ents:
        aligned = aligned_spans(doc, key)
        scores: list[float | None] = [None] * len(aligned)
        if key in doc.spans:
            scores = group_scores(doc.spans[key])
            attrs = doc.spans[key].attrs
            record |= {name: attrs[name] for name in _STATUS_KEYS if name in attrs}
        record["spans"] = [
            {
                "start": span.start_char,
                "end": span.end_char,
                "label": span.label_,
                "score": score,
            }
            for span, score in zip(aligned, scores, strict=True)
        ]
        record["spans"] += [span._asdict() for span in unaligned_spans(doc)]
    record["tokens"] = [
        {"text": t.text, "start": t.idx, "end": t.idx + len(t), "id": t.i} for t in doc
    ]
    return record


# Reading and writing the output


def to_record(document: SourceDocument, annotation: Annotation) -> dict[str, Any]:
    """Create the object of a corrected document.

    document (SourceDocument): The document.
    annotation (Annotation): Its annotation.
    RETURNS (dict[str, Any]): The other fields of the source, with `text`, `spans`,
        `answer`, `_view_id` (which tells Prodigy and `genner convert` that the spans
        are all spans of the text), and `review` with the number of the document in the
        corpus, its state and the rejected suggestions.
    """
    active = [_span_record(s) for s in annotation.spans if s.is_active]
    return {
        **document.fields,
        "text": document.text,
        "spans": active,
        "answer": ANSWERS[annotation.state],
        "_view_id": "spans_manual",
        REVIEW_KEY: {
            "number": document.number,
            "state": annotation.state,
            "rejected": [_span_record(s) for s in annotation.spans if not s.is_active],
        },
    }


def _span_record(span: ReviewSpan) -> dict[str, Any]:
    record: dict[str, Any] = {
        "start": span.start,
        "end": span.end,
        "label": span.label,
        "state": span.state,
    }
    if span.score is not None:
        record["score"] = round(span.score, 6)
    return record


class Output:
    """The file with the corrected documents: those that somebody has changed or decided
    about, in the order of the corpus. It is replaced atomically at every step.

    path (Path): The `.jsonl` file.
    corpus (Corpus): The corpus that it belongs to.
    RAISES (ValueError): The path is that of the corpus, has another suffix, or exists
        and is not the output of a correction of this corpus.
    """

    def __init__(self, path: Path, corpus: Corpus):
        self.path = path
        self.corpus = corpus
        self._lines: dict[int, bytes] = {}
        if path.suffix != OUTPUT_SUFFIX:
            raise ValueError(
                Errors.G525.format(path=path, found=path.suffix, expected=OUTPUT_SUFFIX)
            )
        if os.path.realpath(path) == os.path.realpath(corpus.path):
            raise ValueError(Errors.G882.format(path=path))

    def read(self) -> dict[int, Annotation]:
        """Read the annotations of an earlier session.

        RETURNS (dict[int, Annotation]): The annotations by the number of the document.
        RAISES (ValueError): The file is not the output of a correction of this corpus.
        """
        found: dict[int, Annotation] = {}
        if not self.path.exists():
            return found
        for line, record in json_objects(self.path):
            try:
                number, annotation = self._read(record)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    Errors.G883.format(
                        path=self.path,
                        corpus=self.corpus.path,
                        line=line,
                        reason=error,
                    )
                ) from error
            found[number] = annotation
            self._lines[number] = _encode(record)
        return found

    def _read(self, record: dict[str, Any]) -> tuple[int, Annotation]:
        review = record.get(REVIEW_KEY)
        if not isinstance(review, dict):
            raise ValueError(f"there is no object under {REVIEW_KEY!r}")
        number, state = review.get("number"), review.get("state")
        if type(number) is not int or state not in ANSWERS:
            raise ValueError(f"{REVIEW_KEY!r} is {review!r:.80}")
        if not 1 <= number <= len(self.corpus):
            raise ValueError(f"the corpus has no document {number}")
        text = self.corpus[number].text
        if record.get("text") != text:
            raise ValueError(f"document {number} of the corpus has another text")
        kept = _read_spans(record.get("spans"), text, ACCEPTED)
        rejected = _read_spans(review.get("rejected", []), text, ACCEPTED)
        return number, Annotation(sorted_spans((*kept, *rejected)), state)

    def write(self, number: int, annotation: Annotation | None) -> None:
        """Replace the record of a document, and the file.

        number (int): The number of the document.
        annotation (Annotation | None): Its annotation. None removes the record.
        RAISES (OSError): The file can't be written. It keeps its old content.
        """
        lines = dict(self._lines)
        if annotation is None:
            lines.pop(number, None)
        else:
            lines[number] = _encode(to_record(self.corpus[number], annotation))
        write_bytes(self.path, b"".join(lines[each] for each in sorted(lines)))
        self._lines = lines


def _encode(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, ensure_ascii=False) + "\n").encode()


# Texts to try


def read_texts(path: Path, vocab: Vocab) -> list[str]:
    """Read the texts of a file, as `genner annotate` does.

    path (Path): A `.txt` file with a text on each line, a `.jsonl` file with `text` in
        each object, or a `.spacy` file.
    vocab (Vocab): The vocabulary for the Docs of a `.spacy` file.
    RETURNS (list[str]): The texts that are not blank.
    RAISES (ValueError): The file has another suffix or is malformed.
    """
    if path.suffix == ".txt":
        texts = [line for _, line in numbered_lines(path)]
    elif path.suffix in CORPUS_SUFFIXES:
        texts = [document.text for document in Corpus(path, "sc", vocab)]
    else:
        expected = ", ".join((".txt", *CORPUS_SUFFIXES))
        raise ValueError(
            Errors.G525.format(path=path.name, found=path.suffix, expected=expected)
        )
    return [text for text in texts if text.strip()]
