"""Corpora with one JSON object a line, also in the form that Prodigy writes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import Errors, Warnings, warn
from ..formats import CharSpan
from .annotated import Annotated, ConvertOptions, Sentence, group_sentences
from .lines import numbered_lines

_SPAN_FIELDS = ("spans", "entities")
_LABEL_FIELDS = ("label", "type")


def read_jsonl(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read objects with `text`, and `spans` or `entities`: objects with `start`,
    `end` and `label` (or `type`), or lists of these three.

    Examples that were rejected or ignored in Prodigy (`answer`) are left out, with a
    warning.

    path (Path): The file.
    options (ConvertOptions): Objects of one `doc_id` in a row are joined only where it
        says so: each is then one sentence.
    YIELDS (Annotated): The documents.
    RAISES (ValueError): A line is not such an object.
    """
    sentences = _sentences(path)
    if options.join_sentences:
        yield from group_sentences(sentences, join=True)
    else:
        for text, spans, doc_id in sentences:
            yield Annotated(text, spans, doc_id, None)


def _sentences(path: Path) -> Iterator[Sentence]:
    left_out = 0
    for number, record in json_objects(path):
        if record.get("answer", "accept") != "accept":
            left_out += 1
            continue
        try:
            text, spans = _read_record(record)
        except ValueError as error:
            raise ValueError(
                Errors.G513.format(path=path, line=number, reason=error)
            ) from error
        yield Sentence(text, spans, str(record.get("doc_id", number)))
    if left_out:
        warn(Warnings.W501.format(path=path, count=left_out))


def json_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the objects of a JSONL file; empty lines are skipped.

    path (Path): The file.
    YIELDS (Tuple[int, Dict[str, Any]]): The line's number from 1, and the object.
    RAISES (ValueError): A line is no JSON object.
    """
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(
                Errors.G512.format(path=path, line=number, found=error)
            ) from error
        if not isinstance(record, dict):
            found = type(record).__name__
            raise ValueError(Errors.G512.format(path=path, line=number, found=found))
        yield number, record


def _read_record(record: dict[str, Any]) -> tuple[str, list[CharSpan]]:
    text = record.get("text")
    if not isinstance(text, str):
        raise ValueError(f"'text' is {text!r}, expected a string")
    for field in _SPAN_FIELDS:
        if isinstance(record.get(field), list):
            return text, [_read_span(item, text) for item in record[field]]
    raise ValueError(
        f"no list under 'spans' or 'entities', found the keys {sorted(record)}"
    )


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
