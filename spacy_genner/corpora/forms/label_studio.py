"""The JSON of Label Studio: tasks with annotations, and JSON-MIN.

A task keeps its data and its annotations apart. JSON-MIN has the data and the last
answer of one annotator in one object. The names of the fields are those of the user's
labeling config.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from spacy.tokens import Doc

from ...io import replaced_file
from ..docbin import all_spans, sentence_starts
from ..documents import ConversionCounts, WriteOptions, doc_id_of

# The kind of the diagnostic for a part of an annotation that is not a span.
NO_SPAN = "annotation_without_offsets"
# The kind for a text without spans that is annotated otherwise, such as classified.
OTHER_RESULTS = "text_annotated_without_spans"
# Keys of JSON-MIN that don't contain the text or the annotation.
_MINIMAL_KEYS = {
    "id",
    "annotator",
    "annotation_id",
    "created_at",
    "updated_at",
    "lead_time",
    "doc_id",
}
_LABELS = ("labels", "hypertextlabels")
# Kinds of results about a whole text, or about a region that another result labels.
_OTHER_RESULTS = ("choices", "number", "rating", "taxonomy", "textarea")


class Example(NamedTuple):
    """A text with its annotation, before the spans are checked.

    text (Any): The text.
    spans (list[list[Any]]): The spans, once for each field that contains them.
    doc_id (Any): The ID of the document, or None.
    record (dict[str, Any]): The object, for what is independent of the tool.
    starts (Any): The offsets where sentences start, or None.
    notes (tuple[tuple[str, str], ...]): Kinds and messages of diagnostics.
    repeated (bool): Whether another annotator annotated the text in the same way.
    """

    text: Any
    spans: list[list[Any]]
    doc_id: Any
    record: dict[str, Any]
    starts: Any = None
    notes: tuple[tuple[str, str], ...] = ()
    repeated: bool = False


# Tasks


def read_task(record: dict[str, Any], place: str) -> Example | None:
    """Read a task.

    record (dict[str, Any]): The task, with `data` and `annotations`.
    place (str): The file and the line, for diagnostics.
    RETURNS (Example | None): The text with its spans, or None if nobody annotated it.
    RAISES (ValueError): There are several annotations that differ, or the text is not
        certain.
    """
    text = _task_text(record["data"], record)
    annotations = record.get("annotations", record.get("completions"))
    done = [
        item
        for item in (annotations if isinstance(annotations, list) else [])
        if isinstance(item, dict)
        and isinstance(item.get("result"), list)
        and not item.get("was_cancelled")
        and not item.get("skipped")
    ]
    if len(done) > 1:
        chosen = [item for item in done if item.get("ground_truth")]
        done = chosen if len(chosen) == 1 else done
    if not done:
        return None
    fields: list[list[Any]] = []
    notes: list[tuple[str, str]] = []
    for annotation in done:
        spans: list[Any] = []
        for item in annotation["result"]:
            value = item.get("value") if isinstance(item, dict) else None
            if isinstance(value, dict) and "start" in value and not _is_other(item):
                spans += _labelled(value)
            else:
                kind = item.get("type") if isinstance(item, dict) else item
                notes.append((NO_SPAN, f"{place}: {kind!r}"))
        fields.append(spans)
    if any(_span_keys(spans) != _span_keys(fields[0]) for spans in fields):
        raise ValueError(
            f"the task has {len(fields)} annotations that differ: keep one, or mark "
            "one as ground truth"
        )
    if not fields[0] and any(map(_is_other, done[0]["result"])):
        kinds = sorted({i["type"] for i in done[0]["result"] if _is_other(i)})
        notes.append((OTHER_RESULTS, ", ".join(kinds)))
    doc_id = record["data"].get("doc_id", _own_id(record))
    starts = record["data"].get("sentence_starts")
    return Example(text, fields[:1], doc_id, record, starts, tuple(notes))


def _is_other(item: Any) -> bool:
    """Return whether a result of an annotation is of a kind that has no spans."""
    if not isinstance(item, dict) or item.get("type") not in _OTHER_RESULTS:
        return False
    value = item.get("value")
    return not (isinstance(value, dict) and _is_region(value))


def _task_text(data: dict[str, Any], record: dict[str, Any]) -> Any:
    """Return the text of a task, which may have any key."""
    if isinstance(data.get("text"), str):
        return data["text"]
    regions = [
        item["value"]
        for annotation in record.get("annotations") or record.get("completions") or []
        if isinstance(annotation, dict) and isinstance(annotation.get("result"), list)
        for item in annotation["result"]
        if isinstance(item, dict) and isinstance(item.get("value"), dict)
    ]
    stated = [value for value in regions if isinstance(value.get("text"), str)]
    # Other strings describe the task. The annotated one contains the regions' texts.
    fits = {
        key: value
        for key, value in data.items()
        if isinstance(value, str) and all(v["text"] in value for v in stated)
    }
    return _only_string(fits)


def _labelled(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the spans of a region, which may have several labels."""
    labels = next((item[key] for key in _LABELS if item.get(key)), None)
    if not isinstance(labels, list):
        raise ValueError(f"the span {item!r} has no label")
    whole = item.get("globalOffsets")
    if isinstance(whole, dict) and not isinstance(item.get("start"), int):
        # In a HyperText, `start` and `end` are paths of elements.
        item = {**item, "start": whole.get("start"), "end": whole.get("end")}
    return [{**item, "label": label} for label in labels]


def _span_keys(spans: list[Any]) -> list[str]:
    return sorted(repr((s.get("start"), s.get("end"), s["label"])) for s in spans)


def _own_id(record: dict[str, Any]) -> Any:
    found = record.get("doc_id")
    return record.get("id") if found is None else found


def _only_string(record: dict[str, Any], excluded: Iterable[str] = ()) -> Any:
    """Return the text of a record that has one string, under any key."""
    found = {
        key: value
        for key, value in record.items()
        if isinstance(value, str) and key not in excluded
    }
    if len(found) != 1:
        raise ValueError(f"no 'text', found strings under {sorted(found)}")
    return next(iter(found.values()))


# JSON-MIN


class MinimalReader:
    """Reads the records of a JSON-MIN file."""

    def __init__(self) -> None:
        # The first record without spans: its line and its keys.
        self._plain: tuple[int, list[str]] | None = None
        self._any_spans = False
        # The spans of each task, as hashes.
        self._tasks: dict[str, int] = {}

    def read(self, record: dict[str, Any], line: int) -> Example | None:
        """Read a record, if it is one of JSON-MIN.

        record (dict[str, Any]): The record.
        line (int): Its line.
        RETURNS (Example | None): The text with its spans. None for another record.
        RAISES (ValueError): Another record has a different annotation of the task, or
            the text is not certain.
        """
        fields = [
            value
            for value in record.values()
            if isinstance(value, list)
            and value
            and all(isinstance(i, dict) and _is_region(i) for i in value)
        ]
        if not fields and "annotation_id" not in record:
            return None
        text = record.get("text")
        if text is None:
            text = self._text(record, fields)
        spans = [span for field in fields for item in field for span in _labelled(item)]
        repeated = False
        if record.get("id") is not None:
            keys, task = hash(tuple(_span_keys(spans))), str(record["id"])
            repeated = task in self._tasks
            if self._tasks.setdefault(task, keys) != keys:
                raise ValueError(
                    f"the task {record['id']!r} has several annotations that differ: "
                    "keep one"
                )
        # An empty list of labels belongs to a text without spans.
        if fields or any(value == [] for value in record.values()):
            self._any_spans = True
        elif self._plain is None:
            self._plain = (line, sorted(record))
        starts = record.get("sentence_starts")
        doc_id = _own_id(record)
        return Example(text, [spans], doc_id, record, starts, repeated=repeated)

    @staticmethod
    def _text(record: dict[str, Any], fields: list[list[dict[str, Any]]]) -> Any:
        stated = [item["text"] for field in fields for item in field if "text" in item]
        strings = {
            key: value
            for key, value in record.items()
            if isinstance(value, str) and key not in _MINIMAL_KEYS
        }
        fits = {
            key: value
            for key, value in strings.items()
            if all(isinstance(text, str) and text in value for text in stated)
        }
        return _only_string(fits if stated and fits else strings)

    def finish(self) -> tuple[int, str] | None:
        """Check the file as a whole, after its last record.

        RETURNS (tuple[int, str] | None): The line and the description of a fault, if
            the file has records without spans only.
        """
        if self._plain is None or self._any_spans:
            return None
        line, keys = self._plain
        return line, f"no spans in the file, found the keys {keys}"


def _is_region(item: dict[str, Any]) -> bool:
    return any(key in item for key in _LABELS)


# Writing


def write_label_studio(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write a JSON list of tasks, each with one annotation, so that it can be corrected
    in Label Studio. Nothing is left out: `data` contains `text`, `doc_id` and
    `sentence_starts` (if they are known), which Label Studio keeps in its exports.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): The group of the spans.
    counts (ConversionCounts): Unused: nothing is left out.
    """
    _write_list((_task(doc, options.spans_key) for doc in docs), path)


def write_label_studio_min(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write a JSON list as Label Studio exports it in the form JSON-MIN: the data of
    each task with its spans under `label`. Nothing is left out.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): The group of the spans.
    counts (ConversionCounts): Unused: nothing is left out.
    """
    records = (
        {
            **_data(doc),
            "id": number,
            "label": _regions(doc, options.spans_key),
            # It identifies the form where no text has a span.
            "annotation_id": number,
        }
        for number, doc in enumerate(docs, 1)
    )
    _write_list(records, path)


def _write_list(records: Iterable[dict[str, Any]], path: Path) -> None:
    with replaced_file(path) as fresh:
        with fresh.open("w", encoding="utf-8", newline="\n") as file:
            file.write("[")
            for number, record in enumerate(records):
                file.write(",\n" if number else "\n")
                file.write(json.dumps(record, ensure_ascii=False))
            file.write("\n]\n")


def _data(doc: Doc) -> dict[str, Any]:
    data: dict[str, Any] = {"text": doc.text, "doc_id": doc_id_of(doc)}
    starts = sentence_starts(doc)
    if starts is not None:
        data["sentence_starts"] = starts
    return data


def _regions(doc: Doc, key: str) -> list[dict[str, Any]]:
    spans = sorted(all_spans(doc, key), key=lambda s: (s.start, -s.end, s.label))
    text = doc.text
    return [
        {
            "start": span.start,
            "end": span.end,
            "text": text[span.start : span.end],
            "labels": [span.label],
        }
        for span in spans
    ]


def _task(doc: Doc, key: str) -> dict[str, Any]:
    regions = [
        {
            "id": f"span-{number}",
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "value": value,
        }
        for number, value in enumerate(_regions(doc, key), 1)
    ]
    return {"data": _data(doc), "annotations": [{"result": regions}]}
