"""JSON with character offsets: JSON Lines as in Prodigy, and exports of other tools.

Each tool has its own keys for the same content. The reader recognizes an object by its
keys, and turns it into a text with spans. The writer writes JSON Lines for Prodigy.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from spacy.tokens import Doc

from ...errors import Errors, Warnings, warn
from ...formats import CharSpan
from ...io import has_lone_surrogate, json_values, replaced_file
from ..docbin import (
    ENTITIES,
    OTHER_GROUPS,
    aligned_spans,
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
    same_text,
)
from .files import refuse_other_file
from .label_studio import OTHER_RESULTS, Example, MinimalReader, read_task
from .prodigy import Answers, accepted_without_spans

_Item = TypeVar("_Item")
_SPAN_FIELDS = ("spans", "entities")
_LABEL_FIELDS = ("label", "type")


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
        self._answers = Answers(path)
        self._minimal = MinimalReader()
        # The first classified task of Label Studio, and whether one has spans.
        self._classified: tuple[int, str] | None = None
        self._task_spans = False
        # The lines of examples with the same annotation as another of the same input.
        self._repeated: list[int] = []
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
                    found = self._read(item, line, number)
                    if found is None:
                        continue
                    if needs_ids and not found[1]:
                        note = Diagnostic(NO_NAME, f"{self.path}, line {line}")
                        found[0] = found[0]._replace(
                            diagnostics=(*found[0].diagnostics, note)
                        )
                    yield found[0]
            except ValueError as error:
                raise self._error(line, error) from error
        self._answers.finish()
        fault = self._minimal.finish()
        if self._classified and not self._task_spans:
            line, kinds = self._classified
            fault = line, f"no spans in the file, found results of the kind {kinds}"
        if fault is not None:
            raise self._error(*fault)
        if self._others and not self._grouped:
            raise ValueError(
                Errors.G603.format(key=self.key, found=sorted(self._others))
            )
        if self.left_out:
            warn(Warnings.W501.format(path=self.path, count=self.left_out))
        if self._repeated:
            count, first = len(self._repeated), self._repeated[0]
            warn(Warnings.W524.format(path=self.path, count=count, line=first))

    def _error(self, line: int, reason: object) -> ValueError:
        if str(reason).startswith("[G"):
            return ValueError(str(reason))
        return ValueError(Errors.G513.format(path=self.path, line=line, reason=reason))

    def _read(self, item: Any, line: int, number: int) -> list[Any] | None:
        """Return the document and whether it has an ID, or None if it is left out or
        repeats another one."""
        record = None if item is None else _record_of(item)
        example = None
        if record is not None:
            refuse_other(record, "jsonl", self.path, line)
            self._answers.check(record, line)
            if record.get("answer", "accept") == "accept":
                example = self._example(record, line)
        if record is None or example is None:
            self.left_out += 1
            return None
        text = example.text
        if not isinstance(text, str):
            found = "" if text else f", found the keys {sorted(record)}"
            raise ValueError(f"'text' is {text!r}, expected a string{found}")
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
        if example.repeated or self._answers.is_repeated(record, annotated, line):
            self._repeated.append(line)
            return None
        return [annotated, example.doc_id is not None]

    def _example(self, record: dict[str, Any], line: int) -> Example | None:
        if isinstance(record.get("data"), dict):
            task = read_task(record, f"{self.path}, line {line}")
            if task is not None:
                self._task_spans = self._task_spans or bool(task.spans[0])
                kinds = [note for kind, note in task.notes if kind == OTHER_RESULTS]
                if kinds and self._classified is None:
                    self._classified = (line, kinds[0])
            return task
        if not isinstance(record.get("spans"), list) and not _is_list(
            record, "entities"
        ):
            minimal = self._minimal.read(record, line)
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
        if not spans and accepted_without_spans(record):
            spans = [[]]
        if not spans and isinstance(text, str):
            raise ValueError(
                f"no list under 'spans' or 'entities', found the keys {sorted(record)}"
            )
        return Example(text, spans or [[]], doc_id, record, starts, notes)

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
    if isinstance(surface, str) and surface and not same_text(surface, found):
        reason = describe_offsets(text, start, end, surface)
        if "UTF-16" in reason or "bytes" in reason:
            reason += " (see --offsets)"
        raise ValueError(
            f"the span {item!r} has the text {surface!r}, but its offsets give "
            f"{found!r}: {reason}"
        )
    if first is None or last is None or not fits:
        reason = f"empty or outside the text of {len(text)} characters"
        if any(char > "\uffff" for char in text):
            reason += ". If the offsets count UTF-16 units, use --offsets utf-16"
        raise ValueError(f"the span {item!r} is {reason}")
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
