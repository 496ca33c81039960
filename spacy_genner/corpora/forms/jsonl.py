"""JSON lines with character offsets."""

import codecs
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from spacy.tokens import Doc

from ...errors import Errors, Warnings, warn
from ...formats import CharSpan
from ...io import numbered_lines, parse_json, parse_json_at, replaced_file
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
            record = parse_json(line)
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
    if is_broken(text):
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
    if is_broken(str(found)):
        raise ValueError("'doc_id' holds half of a character (a lone surrogate)")
    return str(found)


def is_broken(text: str) -> bool:
    """Whether a string of JSON holds a lone surrogate, which no text can.

    text (str): The string.
    RETURNS (bool): Whether it does.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


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
    if is_broken(label):
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


_CHUNK = 1 << 20
_BLANK = " \t\r\n"
# The length of the longest thing that can't be read in part: two escapes, which may
# make one character.
_ESCAPES = len(r"\u0000\u0000")


def json_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the objects of a file that holds one JSON list, or one object a line.

    path (Path): The file, in UTF-8. A list is not held in memory.
    YIELDS (Tuple[int, Dict[str, Any]]): The number of the line where an object starts,
        from 1, and the object.
    RAISES (ValueError): The file is neither.
    """
    text = _Text(path)
    text.skip(_BLANK)
    yield from _items(text) if text.peek() == "[" else json_objects(path)


def _items(text: "_Text") -> Iterator[tuple[int, dict[str, Any]]]:
    path = text.path
    text.take()
    first = True
    while True:
        text.skip(_BLANK)
        if text.peek() == "]":
            break
        if not first:
            if text.peek() != ",":
                raise _broken(path, text.line, f"no ',' or ']' before {text.shown()}")
            text.take()
            text.skip(_BLANK)
        first = False
        if text.peek() != "{":
            raise _broken(path, text.line, f"no object but {text.shown()}")
        yield text.line, text.decode()
    text.take()
    text.skip(_BLANK)
    if text.peek():
        raise _broken(path, text.line, f"{text.shown()} behind the end of the list")


class _Text:
    """A file as text that grows as it is read.

    path (Path): The file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.line = 1
        self._buffer = ""
        self._at = 0
        self._pieces = self._decoded()

    def _decoded(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        with self.path.open("rb") as file:
            line = 1
            while True:
                chunk = file.read(_CHUNK)
                try:
                    yield decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    line += error.object[: error.start].count(b"\n")
                    raise ValueError(
                        Errors.G510.format(
                            path=self.path, line=line, reason=error.reason
                        )
                    ) from error
                if not chunk:
                    return
                line += chunk.count(b"\n")

    def _grow(self) -> bool:
        """Read on, and forget what has been read; whether there was more."""
        for piece in self._pieces:
            self._buffer = self._buffer[self._at :] + piece
            self._at = 0
            return True
        return False

    def peek(self) -> str:
        """The next character, "" at the end of the file."""
        while self._at >= len(self._buffer):
            if not self._grow():
                return ""
        return self._buffer[self._at]

    def take(self, size: int = 1) -> None:
        """Go on by some characters that are there."""
        self.line += self._buffer.count("\n", self._at, self._at + size)
        self._at += size

    def skip(self, chars: str) -> None:
        """Go on to a character that is none of these."""
        while (char := self.peek()) and char in chars:
            self.take()

    def decode(self) -> dict[str, Any]:
        """Take the object that starts here."""
        while True:
            try:
                item, end = parse_json_at(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if _may_go_on(error, len(self._buffer)) and self._grow():
                    continue
                raise _broken(self.path, self.line, error.msg) from error
            except ValueError as error:
                raise _broken(self.path, self.line, error) from error
            self.take(end - self._at)
            return dict(item)

    def shown(self) -> str:
        """What comes next, for a message."""
        rest = self._buffer[self._at : self._at + 20]
        return repr(rest) if rest else "the end of the file"


def _may_go_on(error: json.JSONDecodeError, size: int) -> bool:
    """Whether an object may only be cut off where the text that was read ends."""
    # A string's error names its start, those of literals and escapes their own.
    return error.msg.startswith("Unterminated") or error.pos > size - _ESCAPES


def _broken(path: Path, line: int, reason: object) -> ValueError:
    return ValueError(Errors.G558.format(path=path, line=line, reason=reason))


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
