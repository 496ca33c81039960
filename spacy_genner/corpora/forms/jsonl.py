"""JSON lines with character offsets."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from spacy.tokens import Doc

from ...errors import Errors, Warnings, warn
from ...formats import CharSpan
from ...io import has_lone_surrogate, json_objects, replaced_file
from ..docbin import aligned_spans, sentence_starts, unaligned_spans
from ..documents import (
    NO_NAME,
    Annotated,
    ConversionCounts,
    ConvertOptions,
    Diagnostic,
    WriteOptions,
    arranged,
    doc_id_of,
)

_SPAN_FIELDS = ("spans", "entities")
_LABEL_FIELDS = ("label", "type")


def read_jsonl(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read objects with `text`, and `spans` or `entities`: objects with `start`,
    `end` and `label` (or `type`), or lists of these three.

    `sentence_starts`, places in characters, say where sentences start. Examples that
    were rejected or ignored in Prodigy (`answer`) are left out, with a warning.

    path (Path): The file.
    options (ConvertOptions): Objects of one `doc_id` in a row are joined only where it
        says so: one that does not say where its sentences start is then a sentence. An
        object that says it is parted into them only where the options say so.
    YIELDS (Annotated): The documents.
    RAISES (ValueError): A line is not such an object.
    """
    yield from arranged(
        _texts(path, bool(options.join_sentences)), options.join_sentences
    )


def _texts(path: Path, named: bool) -> Iterator[Annotated]:
    """The texts; those without a name are remarked on where names count."""
    left_out = 0
    for number, record in json_objects(path):
        if record.get("answer", "accept") != "accept":
            left_out += 1
            continue
        try:
            text, spans = _read_record(record)
            starts = _read_starts(record, text)
            doc_id = read_doc_id(record, number)
        except ValueError as error:
            raise ValueError(
                Errors.G513.format(path=path, line=number, reason=error)
            ) from error
        remarks: tuple[Diagnostic, ...] = ()
        if named and record.get("doc_id") is None:
            remarks = (Diagnostic(NO_NAME, f"{path}, line {number}"),)
        yield Annotated(text, spans, doc_id, starts, remarks)
    if left_out:
        warn(Warnings.W501.format(path=path, count=left_out))


def _read_record(record: dict[str, Any]) -> tuple[str, list[CharSpan]]:
    text = record.get("text")
    if not isinstance(text, str):
        raise ValueError(f"'text' is {text!r}, expected a string")
    if has_lone_surrogate(text):
        raise ValueError("'text' holds half of a character (a lone surrogate)")
    found = [
        [_read_span(item, text) for item in record[field]]
        for field in _SPAN_FIELDS
        if isinstance(record.get(field), list)
    ]
    if not found:
        raise ValueError(
            f"no list under 'spans' or 'entities', found the keys {sorted(record)}"
        )
    if any(set(spans) != set(found[0]) for spans in found):
        raise ValueError("'spans' and 'entities' say different spans: leave one out")
    return text, found[0]


def read_doc_id(record: dict[str, Any], number: int) -> str:
    """Read the name of a document.

    record (Dict[str, Any]): The JSON object.
    number (int): What names a document without `doc_id`.
    RETURNS (str): Its name.
    RAISES (ValueError): What stands under `doc_id` is no name.
    """
    found = record.get("doc_id")
    if found is None:
        return str(number)
    if isinstance(found, (bool, dict, list)):
        raise ValueError(f"'doc_id' is {found!r}, expected a string or a number")
    if has_lone_surrogate(str(found)):
        raise ValueError("'doc_id' holds half of a character (a lone surrogate)")
    return str(found)


def _read_starts(record: dict[str, Any], text: str) -> list[int] | None:
    starts = record.get("sentence_starts")
    if starts is None:
        return None
    if not isinstance(starts, list) or any(type(start) is not int for start in starts):
        raise ValueError(f"'sentence_starts' is {starts!r}, expected whole numbers")
    # A sentence starts where the text does.
    if starts[:1] not in ([], [0]) or starts != sorted(set(starts)):
        raise ValueError(f"'sentence_starts' is {starts!r}, expected 0 and rising")
    if starts and starts[-1] >= max(len(text), 1):
        raise ValueError(f"'sentence_starts' goes beyond the text: {starts[-1]}")
    return starts


def _read_span(item: Any, text: str) -> CharSpan:
    if isinstance(item, list) and len(item) == 3:
        start, end, label = item
    elif isinstance(item, dict):
        start, end = item.get("start"), item.get("end")
        label = next((item[key] for key in _LABEL_FIELDS if key in item), None)
    else:
        raise ValueError(f"the span {item!r} is neither an object nor a list of three")
    # A bool is an int to Python.
    if type(start) is not int or type(end) is not int:
        raise ValueError(f"the span {item!r} has no whole numbers as start and end")
    if not isinstance(label, str) or not label:
        raise ValueError(f"the span {item!r} has no label")
    if has_lone_surrogate(label):
        raise ValueError(f"the label {label!r} holds half of a character")
    if not 0 <= start < end <= len(text):
        raise ValueError(
            f"the span {item!r} is empty or not in the text of {len(text)} characters"
        )
    said = item.get("text") if isinstance(item, dict) else None
    if isinstance(said, str) and said != text[start:end]:
        raise ValueError(
            f"the span {item!r} says {said!r}, and {text[start:end]!r} stands there: "
            "offsets count characters (code points), not bytes"
        )
    return CharSpan(start, end, label)


def write_jsonl(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write one object a document: `text`, `spans`, `tokens`, `doc_id`, and
    `sentence_starts` where they are known. Nothing is left out: a span that no token
    boundary fits has no `token_start` and `token_end`.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): Names the group of the spans.
    counts (ConversionCounts): Gets nothing.
    """
    with replaced_file(path) as fresh:
        with fresh.open("w", encoding="utf-8", newline="\n") as file:
            for doc in docs:
                record = _record(doc, options.spans_key)
                file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _record(doc: Doc, key: str) -> dict[str, Any]:
    spans = [
        {
            "start": span.start_char,
            "end": span.end_char,
            "label": span.label_,
            "token_start": span.start,
            # Prodigy's is the last token, not the one after it.
            "token_end": span.end - 1,
        }
        for span in aligned_spans(doc, key)
    ]
    spans += [span._asdict() for span in unaligned_spans(doc)]
    record: dict[str, Any] = {
        "text": doc.text,
        "spans": sorted(spans, key=lambda s: (s["start"], -s["end"], s["label"])),
        "tokens": [
            {
                "text": token.text,
                "start": token.idx,
                "end": token.idx + len(token),
                "id": token.i,
                "ws": bool(token.whitespace_),
            }
            for token in doc
        ],
        "doc_id": doc_id_of(doc),
    }
    starts = sentence_starts(doc)
    if starts is not None:
        record["sentence_starts"] = starts
    return record
