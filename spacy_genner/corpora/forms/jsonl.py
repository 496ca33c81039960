"""JSON Lines with character offsets, compatible with Prodigy."""

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
    arrange_sentences,
    doc_id_of,
)

_SPAN_FIELDS = ("spans", "entities")
_LABEL_FIELDS = ("label", "type")


def read_jsonl(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read objects with `text` and with `spans` or `entities`. A span is an object with
    `start`, `end` and `label` (or `type`), or a list of these three values.

    `sentence_starts` lists the character offsets where sentences start. Examples that
    were rejected or ignored in Prodigy (`answer`) are left out with a warning.

    path (Path): The file.
    options (ConvertOptions): Whether to join consecutive objects with the same
        `doc_id`, or to split objects with `sentence_starts`. By default objects stay
        unchanged. An object without `sentence_starts` is joined as one sentence.
    YIELDS (Annotated): The documents.
    RAISES (ValueError): A line is not such an object.
    """
    join = options.join_sentences
    yield from arrange_sentences(_texts(path, needs_ids=bool(join)), join)


def _texts(path: Path, needs_ids: bool) -> Iterator[Annotated]:
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
        diagnostics: tuple[Diagnostic, ...] = ()
        if needs_ids and record.get("doc_id") is None:
            diagnostics = (Diagnostic(NO_NAME, f"{path}, line {number}"),)
        yield Annotated(text, spans, doc_id, starts, diagnostics)
    if left_out:
        warn(Warnings.W501.format(path=path, count=left_out))


def _read_record(record: dict[str, Any]) -> tuple[str, list[CharSpan]]:
    text = record.get("text")
    if not isinstance(text, str):
        raise ValueError(f"'text' is {text!r}, expected a string")
    if has_lone_surrogate(text):
        raise ValueError("'text' contains half of a character (a lone surrogate)")
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
        raise ValueError("'spans' and 'entities' contain different spans: remove one")
    return text, found[0]


def read_doc_id(record: dict[str, Any], number: int) -> str:
    """Read the ID of a document.

    record (dict[str, Any]): The JSON object.
    number (int): The ID of a document without `doc_id`.
    RETURNS (str): The ID.
    RAISES (ValueError): The value under `doc_id` is neither a string nor a number.
    """
    found = record.get("doc_id")
    if found is None:
        return str(number)
    if isinstance(found, (bool, dict, list)):
        raise ValueError(f"'doc_id' is {found!r}, expected a string or a number")
    if has_lone_surrogate(str(found)):
        raise ValueError("'doc_id' contains half of a character (a lone surrogate)")
    return str(found)


def _read_starts(record: dict[str, Any], text: str) -> list[int] | None:
    starts = record.get("sentence_starts")
    if starts is None:
        return None
    if not isinstance(starts, list) or any(type(start) is not int for start in starts):
        raise ValueError(f"'sentence_starts' is {starts!r}, expected integers")
    # The first sentence starts at the start of the text.
    if starts[:1] not in ([], [0]) or starts != sorted(set(starts)):
        raise ValueError(f"'sentence_starts' is {starts!r}, expected 0 and ascending")
    if starts and starts[-1] >= max(len(text), 1):
        raise ValueError(f"'sentence_starts' exceeds the text: {starts[-1]}")
    return starts


def _read_span(item: Any, text: str) -> CharSpan:
    if isinstance(item, list) and len(item) == 3:
        start, end, label = item
    elif isinstance(item, dict):
        start, end = item.get("start"), item.get("end")
        label = next((item[key] for key in _LABEL_FIELDS if key in item), None)
    else:
        raise ValueError(f"the span {item!r} is neither an object nor a list of three")
    # `isinstance` would accept a bool.
    if type(start) is not int or type(end) is not int:
        raise ValueError(f"the span {item!r} has no integers as start and end")
    if not isinstance(label, str) or not label:
        raise ValueError(f"the span {item!r} has no label")
    if has_lone_surrogate(label):
        raise ValueError(f"the label {label!r} contains half of a character")
    if not 0 <= start < end <= len(text):
        raise ValueError(
            f"the span {item!r} is empty or outside the text of {len(text)} characters"
        )
    surface = item.get("text") if isinstance(item, dict) else None
    if isinstance(surface, str) and surface != text[start:end]:
        raise ValueError(
            f"the span {item!r} has the text {surface!r}, but its offsets give "
            f"{text[start:end]!r}: offsets count characters (code points), not bytes"
        )
    return CharSpan(start, end, label)


def write_jsonl(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write an object for each document, with `text`, `spans`, `tokens`, `doc_id` and,
    if they are known, `sentence_starts`. Nothing is left out: a span that fits no token
    boundary lacks `token_start` and `token_end`.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): The group of the spans.
    counts (ConversionCounts): Unused: nothing is left out.
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
            # In Prodigy, `token_end` is the index of the last token.
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
