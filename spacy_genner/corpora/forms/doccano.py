"""JSON Lines for doccano: a text with its spans as lists of start, end and label.

The reader is that of `jsonl`, which recognizes the exports of doccano by their keys.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spacy.tokens import Doc

from ...io import replaced_file
from ..docbin import all_spans, sentence_starts
from ..documents import ConversionCounts, WriteOptions, doc_id_of


def write_doccano(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write an object for each document, with `text`, `label`, `doc_id` and, if they
    are known, `sentence_starts`. doccano keeps the last two as metadata. Nothing is
    left out.

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
    spans = sorted(all_spans(doc, key), key=lambda s: (s.start, -s.end, s.label))
    record: dict[str, Any] = {
        "text": doc.text,
        "label": [[span.start, span.end, span.label] for span in spans],
        "doc_id": doc_id_of(doc),
    }
    starts = sentence_starts(doc)
    if starts is not None:
        record["sentence_starts"] = starts
    return record
