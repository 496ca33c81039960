"""JSON with character offsets: JSON Lines as in Prodigy, and exports of other tools.

Each tool has its own keys for the same content. The reader recognizes an object by its
keys, and turns it into a text with spans. The writers write JSON Lines for Prodigy, and
tasks for Label Studio.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from spacy.tokens import Doc

from ...errors import Errors, Warnings, warn
from ...formats import CharSpan
from ...io import has_lone_surrogate, json_values, replaced_file
from ..docbin import (
    ENTITIES,
    OTHER_GROUPS,
    aligned_spans,
    all_spans,
    sentence_starts,
    unaligned_spans,
)
from ..documents import (
    NO_NAME,
    Annotated,
    ConversionCounts,
    ConvertOptions,
    Diagnostic,
    OffsetMap,
    WriteOptions,
    arrange_sentences,
    describe_offsets,
    doc_id_of,
)
from .files import refuse_other_file

_Item = TypeVar("_Item")
# The kind of the diagnostic for a part of an annotation that is not a span.
NO_SPAN = "annotation_without_offsets"
_SPAN_FIELDS = ("spans", "entities")
_LABEL_FIELDS = ("label", "type")
_BINARY_VIEWS = ("ner", "spans")
_MANUAL_VIEWS = (None, "ner_manual", "spans_manual", "relations")
# Prodigy's answers about whole texts.
_OTHER_ANSWERS = ("label", "options", "accept")
# Keys of Label Studio's JSON-MIN that don't contain the text or the annotation.
_MINIMAL_KEYS = {
    "id",
    "annotator",
    "annotation_id",
    "created_at",
    "updated_at",
    "lead_time",
}


class _Example(NamedTuple):
    """A text with its annotation, before the spans are checked.

    text (Any): The text.
    spans (list[list[Any]]): The spans, once for each field that contains them.
    doc_id (Any): The ID of the document, or None.
    record (dict[str, Any]): The object, for what is independent of the tool.
    starts (Any): The offsets where sentences start, or None.
    notes (tuple[tuple[str, str], ...]): Kinds and messages of diagnostics.
    """

    text: Any
    spans: list[list[Any]]
    doc_id: Any
    record: dict[str, Any]
    starts: Any = None
    notes: tuple[tuple[str, str], ...] = ()


class _BinaryError(ValueError):
    """A binary answer of Prodigy."""


def read_jsonl(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read objects with `text` and with `spans` or `entities`. A span is an object with
    `start`, `end` and `label` (or `type`), or a list of these three values. The file is
    a JSON list or has one object on each line.

    `sentence_starts` lists the character offsets where sentences start. Examples that
    were rejected or ignored in Prodigy (`answer`) are left out with a warning. An
    accepted example without `spans` has no spans. The exports of doccano, of Label
    Studio (JSON and JSON-MIN) and of spaCy (`Doc.to_json`, pairs of a text and its
    entities) are recognized by their keys.

    path (Path): The file.
    options (ConvertOptions): Whether to join consecutive objects with the same
        `doc_id`, or to split objects with `sentence_starts`. By default objects stay
        unchanged. An object without `sentence_starts` is joined as one sentence. Their
        `spans_key` selects a group of spans, and `offsets` the unit of the offsets.
    YIELDS (Annotated): The documents.
    RAISES (ValueError): A line is not such an object, or the annotation is not
        complete.
    """
    join = options.join_sentences
    texts = _Reader(path, options).read(needs_ids=bool(join))
    yield from arrange_sentences(texts, join)


class _Reader:
    """Reads the examples of a file.

    path (Path): The file.
    options (ConvertOptions): The options.
    """

    def __init__(self, path: Path, options: ConvertOptions):
        self.path = path
        self.key = options.spans_key
        self.offsets = options.offsets
        self.left_out = 0
        # Prodigy's answers by input: the line and the only span.
        self._answers: dict[Any, tuple[int, Any]] = {}
        # The first line of JSON-MIN without spans, and whether another line has some.
        self._plain: tuple[int, list[str]] | None = None
        self._minimal_spans = False
        # The spans of each task of JSON-MIN, as hashes.
        self._tasks: dict[str, int] = {}
        # Groups of spans in texts that lack the chosen group, and whether one has it.
        self._others: set[str] = set()
        self._grouped = False

    def read(self, needs_ids: bool) -> Iterator[Annotated]:
        """Read the file.

        needs_ids (bool): Whether a text without ID has a diagnostic.
        YIELDS (Annotated): The documents.
        RAISES (ValueError): A record is malformed.
        """
        for line, number, value in checked_json(json_values, self.path, "jsonl"):
            if isinstance(value, list) and not _is_pair(value):
                raise ValueError(
                    Errors.G512.format(path=self.path, line=line, found="list")
                )
            try:
                for item in _unpacked(value):
                    found = None if item is None else self._read(item, line, number)
                    if found is None:
                        self.left_out += 1
                        continue
                    if needs_ids and not found[1]:
                        note = Diagnostic(NO_NAME, f"{self.path}, line {line}")
                        found[0] = found[0]._replace(
                            diagnostics=(*found[0].diagnostics, note)
                        )
                    yield found[0]
            except _BinaryError as error:
                raise ValueError(
                    Errors.G567.format(path=self.path, line=line, reason=error)
                ) from error
            except ValueError as error:
                raise self._error(line, error) from error
        if self._plain and not self._minimal_spans:
            line, keys = self._plain
            raise self._error(line, f"no spans in the file, found the keys {keys}")
        if self._others and not self._grouped:
            raise ValueError(
                Errors.G603.format(key=self.key, found=sorted(self._others))
            )
        if self.left_out:
            warn(Warnings.W501.format(path=self.path, count=self.left_out))

    def _error(self, line: int, reason: object) -> ValueError:
        if str(reason).startswith("[G"):
            return ValueError(str(reason))
        return ValueError(Errors.G513.format(path=self.path, line=line, reason=reason))

    def _read(self, item: Any, line: int, number: int) -> list[Any] | None:
        """Return the document and whether it has an ID, or None if it is left out."""
        record = _record_of(item)
        refuse_other(record, "jsonl", self.path, line)
        if "answer" in record or "_view_id" in record:
            self._refuse_binary(record, line)
        if record.get("answer", "accept") != "accept":
            return None
        example = self._example(record, line)
        if example is None:
            return None
        text = example.text
        if not isinstance(text, str):
            raise ValueError(f"'text' is {text!r}, expected a string")
        if has_lone_surrogate(text):
            raise ValueError("'text' contains half of a character (a lone surrogate)")
        offsets = OffsetMap(text, self.offsets)
        fields = [
            [_read_span(span, text, offsets) for span in spans]
            for spans in example.spans
        ]
        if any(set(spans) != set(fields[0]) for spans in fields):
            names = " and ".join(map(repr, _SPAN_FIELDS))
            raise ValueError(f"{names} contain different spans: remove one")
        starts = _read_starts({"sentence_starts": example.starts}, text)
        doc_id = read_doc_id({"doc_id": example.doc_id}, number)
        notes = tuple(Diagnostic(*note) for note in example.notes)
        annotated = Annotated(text, fields[0], doc_id, starts, notes)
        return [annotated, example.doc_id is not None]

    def _example(self, record: dict[str, Any], line: int) -> _Example | None:
        if isinstance(record.get("data"), dict):
            return _label_studio(record, f"{self.path}, line {line}")
        if not isinstance(record.get("spans"), list) and not _is_list(
            record, "entities"
        ):
            minimal = self._minimal(record, line)
            if minimal is not None:
                return minimal
        text = record.get("text")
        spans = [record[name] for name in _SPAN_FIELDS if _is_list(record, name)]
        starts = record.get("sentence_starts")
        notes: tuple[tuple[str, str], ...] = ()
        doc_id = record.get("doc_id")
        if isinstance(record.get("spans"), dict) or (
            not spans and _is_list(record, "ents")
        ):
            spans, notes = self._of_groups(record, str(doc_id or f"in line {line}"))
        if starts is None and _is_list(record, "sents") and _is_list(record, "tokens"):
            starts = [
                sent.get("start") if isinstance(sent, dict) else None
                for sent in record["sents"]
            ]
        for name in ("label", "labels"):
            if not spans and _is_list(record, name):
                # doccano's lists of spans.
                text = record.get("data") if text is None else text
                doc_id = record.get("id") if doc_id is None else doc_id
                if any(isinstance(item, str) for item in record[name]):
                    raise ValueError(
                        f"{name!r} is {record[name]!r}: the file looks like text "
                        "classification, which has no spans"
                    )
                spans.append(record[name])
        if not spans and _accepted_without_spans(record):
            spans = [[]]
        if not spans and isinstance(text, str):
            raise ValueError(
                f"no list under 'spans' or 'entities', found the keys {sorted(record)}"
            )
        return _Example(text, spans or [[]], doc_id, record, starts, notes)

    def _of_groups(
        self, record: dict[str, Any], doc_id: str
    ) -> tuple[list[list[Any]], tuple[tuple[str, str], ...]]:
        """Return the spans of the group, or the entities of a text without it."""
        groups = record["spans"] if isinstance(record.get("spans"), dict) else {}
        entities = next((record[k] for k in ("ents", "entities") if k in record), None)
        if self.key in groups:
            self._grouped = True
            found = groups[self.key]
            if not isinstance(found, list):
                raise ValueError(f"the group {self.key!r} is {found!r}, not a list")
            return [found], ()
        if groups:
            others = f", there are {sorted(groups)}"
        elif entities is None:
            return [], ()
        else:
            others = ""
        message = f"document {doc_id}: no doc.spans[{self.key!r}]{others}"
        if entities:
            self._grouped = True
            if not isinstance(entities, list):
                raise ValueError(f"the entities are {entities!r}, not a list")
            return [entities], ((ENTITIES, message),)
        self._others.update(groups)
        return [[]], ((OTHER_GROUPS, message),) if groups else ()

    def _minimal(self, record: dict[str, Any], line: int) -> _Example | None:
        """Read a record of Label Studio's JSON-MIN, if it is one."""
        fields = [
            value
            for value in record.values()
            if isinstance(value, list)
            and value
            and all(isinstance(i, dict) and "labels" in i for i in value)
        ]
        if not fields and "annotation_id" not in record:
            return None
        text = record.get("text")
        if text is None:
            text = _only_string(record, _MINIMAL_KEYS)
        spans = [span for field in fields for item in field for span in _labelled(item)]
        if record.get("id") is not None:
            keys = hash(tuple(_span_keys(spans)))
            if self._tasks.setdefault(str(record["id"]), keys) != keys:
                raise ValueError(
                    f"the task {record['id']!r} has several annotations that differ: "
                    "keep one"
                )
        if fields:
            self._minimal_spans = True
        elif self._plain is None:
            self._plain = (line, sorted(record))
        return _Example(text, [spans], _own_id(record), record)

    def _refuse_binary(self, record: dict[str, Any], line: int) -> None:
        view = record.get("_view_id")
        if view in _BINARY_VIEWS:
            raise _BinaryError(f"'_view_id' is {view!r}")
        spans = record.get("spans")
        if view is not None or not isinstance(spans, list) or len(spans) != 1:
            return
        meta = record.get("meta")
        if isinstance(meta, dict) and "score" in meta:
            raise _BinaryError("'meta' has a 'score'")
        span = spans[0]
        if isinstance(span, dict):
            span = [span.get(name) for name in ("start", "end", "label")]
        place = str(record.get("_input_hash", record.get("text")))
        before, other = self._answers.setdefault(place, (line, span))
        if other != span:
            raise _BinaryError(f"line {before} has another span of the same text")


def _unpacked(value: Any) -> list[Any]:
    """Return the examples in a value: itself, or those of a file that is one object."""
    if isinstance(value, dict) and "text" not in value:
        if isinstance(value.get("classes"), list) and _is_list(value, "annotations"):
            return list(value["annotations"])
        for key in ("data", "examples"):
            found = value.get(key)
            if isinstance(found, list) and all(isinstance(i, dict) for i in found):
                return found
    return [value]


def _is_pair(item: list[Any]) -> bool:
    return len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], dict)


def _record_of(item: Any) -> dict[str, Any]:
    """Return an object, or the object that means the same as a pair of a text and its
    annotation, in which spaCy's examples were written."""
    if isinstance(item, list) and _is_pair(item):
        return {**item[1], "text": item[0]}
    if not isinstance(item, dict):
        raise ValueError(f"an example is {str(item)[:60]!r}, not an object")
    return item


def _is_list(record: dict[str, Any], name: str) -> bool:
    return isinstance(record.get(name), list)


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


def _accepted_without_spans(record: dict[str, Any]) -> bool:
    """Return whether Prodigy's annotator accepted a text in which there is no span."""
    return (
        record.get("answer") == "accept"
        and record.get("_view_id") in _MANUAL_VIEWS
        and record.get("spans") is None
        and not any(key in record for key in _OTHER_ANSWERS)
    )


def _labelled(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the spans of a region of Label Studio, which may have several labels."""
    labels = item.get("labels") or item.get("hypertextlabels")
    if not isinstance(labels, list) or not labels:
        raise ValueError(f"the span {item!r} has no label")
    return [{**item, "label": label} for label in labels]


def _label_studio(record: dict[str, Any], place: str) -> _Example | None:
    """Read a task of Label Studio, or return None if it is not annotated."""
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
            if isinstance(value, dict) and "start" in value:
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
    doc_id = record["data"].get("doc_id", _own_id(record))
    starts = record["data"].get("sentence_starts")
    return _Example(text, fields[:1], doc_id, record, starts, tuple(notes))


def _task_text(data: dict[str, Any], record: dict[str, Any]) -> Any:
    """Return the text of a task of Label Studio, which may have any key."""
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


def _span_keys(spans: list[Any]) -> list[str]:
    return sorted(repr((s.get("start"), s.get("end"), s["label"])) for s in spans)


def checked_json(
    read: Callable[[Path], Iterator[_Item]], path: Path, corpus_format: str
) -> Iterator[_Item]:
    """Read the items of a JSON file. If the first is not JSON, describe the file.

    read (Callable[[Path], Iterator[_Item]]): Reads the file.
    path (Path): The file.
    corpus_format (str): The corpus format to read.
    YIELDS (_Item): The items.
    RAISES (ValueError): The file is malformed, or has another corpus format.
    """
    items = read(path)
    try:
        first = next(items, None)
    except ValueError as error:
        if "G510" not in str(error)[:6]:
            refuse_other_file(path, corpus_format)
        raise
    if first is not None:
        yield first
        yield from items


def refuse_other(
    record: dict[str, Any], corpus_format: str, path: Path, line: int
) -> None:
    """Refuse an object of another kind of file, and name the corpus format that fits.

    record (dict[str, Any]): The object.
    corpus_format (str): The corpus format to read: "jsonl" or "alpaca".
    path (Path): The file, for the message.
    line (int): The line, for the message.
    RAISES (ValueError): The keys of the object are those of another kind of file.
    """
    keys = set(record)
    if corpus_format == "alpaca":
        usual = "output" in keys
    else:
        usual = "text" in keys and any(_is_list(record, k) for k in _SPAN_FIELDS)
    if usual:
        return
    fits, found = "", ""
    if "text" in keys and keys & {"spans", "entities", "label", "labels", "ents"}:
        fits, found = "jsonl", "texts with spans"
    elif isinstance(record.get("data"), dict):
        fits, found = "jsonl", "tasks of Label Studio"
    elif {"instruction", "output"} <= keys:
        fits, found = "alpaca", "records for instruction tuning"
    elif _is_list(record, "conversations") or _is_list(record, "messages"):
        fits, found = "alpaca", "conversations (sharegpt or messages)"
    elif {"prompt", "completion"} <= keys:
        fits, found = "alpaca", "prompts with completions"
    elif "tokenized_text" in keys or (
        "text" not in keys and (_is_list(record, "tokens") or _is_list(record, "words"))
    ):
        found = "lists of tokens with tags or token numbers"
    if not found or fits == corpus_format:
        return
    remedy = (
        f"Read it with --from {fits}."
        if fits
        else "Write a token and its tag (such as B-GPE) on each line, and read it with "
        "--from conll, or write the texts with character offsets."
    )
    raise ValueError(
        Errors.G566.format(path=path, line=line, found=found, remedy=remedy)
    )


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


def _read_span(item: Any, text: str, offsets: OffsetMap) -> CharSpan:
    if isinstance(item, list) and (
        len(item) == 3 or (len(item) == 4 and isinstance(item[3], str))
    ):
        # The fourth value is the ID of the entity in a knowledge base.
        start, end, label = item[:3]
    elif isinstance(item, dict):
        start = item.get("start", item.get("start_offset"))
        end = item.get("end", item.get("end_offset"))
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
    first, last = offsets(start), offsets(end)
    fits = first is not None and last is not None and first < last
    found = text[first:last] if fits else ""
    surface = item.get("text") if isinstance(item, dict) else None
    if isinstance(surface, str) and surface and surface != found:
        raise ValueError(
            f"the span {item!r} has the text {surface!r}, but its offsets give "
            f"{found!r}: {describe_offsets(text, start, end, surface)} (see --offsets)"
        )
    if first is None or last is None or not fits:
        raise ValueError(
            f"the span {item!r} is empty or outside the text of {len(text)} characters"
        )
    return CharSpan(first, last, label)


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


def write_label_studio(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write a JSON list of tasks for Label Studio, each with one annotation, so that it
    can be corrected there. Nothing is left out: `data` contains `text`, `doc_id` and
    `sentence_starts` (if they are known), which Label Studio keeps in its exports.

    docs (Iterable[Doc]): The documents.
    path (Path): The file.
    options (WriteOptions): The group of the spans.
    counts (ConversionCounts): Unused: nothing is left out.
    """
    with replaced_file(path) as fresh:
        with fresh.open("w", encoding="utf-8", newline="\n") as file:
            file.write("[")
            for number, doc in enumerate(docs):
                task = _task(doc, options.spans_key)
                file.write(",\n" if number else "\n")
                file.write(json.dumps(task, ensure_ascii=False))
            file.write("\n]\n")


def _task(doc: Doc, key: str) -> dict[str, Any]:
    data: dict[str, Any] = {"text": doc.text, "doc_id": doc_id_of(doc)}
    starts = sentence_starts(doc)
    if starts is not None:
        data["sentence_starts"] = starts
    spans = sorted(all_spans(doc, key), key=lambda s: (s.start, -s.end, s.label))
    regions = [
        {
            "id": f"span-{number}",
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "value": {
                "start": span.start,
                "end": span.end,
                "text": doc.text[span.start : span.end],
                "labels": [span.label],
            },
        }
        for number, span in enumerate(spans, 1)
    ]
    return {"data": data, "annotations": [{"result": regions}]}
