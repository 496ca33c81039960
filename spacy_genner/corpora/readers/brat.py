"""Corpora in BRAT's standoff format, also as the BioNLP shared tasks have it.

`X.txt` holds the text, and lines such as `T1<tab>GPE 3 7<tab>Oslo` the spans: in
`X.ann`, or in `X.a1` for entities and `X.a2` for events. The T lines that an event's
line names as its trigger, and all of an .a2 file, mark no entities: they are read only
where the options say so. Relations, attributes, notes and the like are no spans.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...errors import Errors, Warnings, warn
from ...formats import CharSpan
from ...storage.lines import numbered_lines, read_text
from ..annotated import Annotated, ConvertOptions, refuse_splitting
from ..documents import is_chosen
from .source_files import files_below, name_below

_ENTITY_FILES = (".ann", ".a1")
_EVENT_FILE = ".a2"
# No text is longer, and Python reads no number of thousands of digits.
_PART = r"\d{1,15} \d{1,15}"
_SPAN = re.compile(
    rf"(?P<id>T\S*)\t(?P<label>\S+) (?P<parts>{_PART}(?:;{_PART})*)\t(?P<said>.*)"
)
_EVENT = re.compile(r"E\S*\t[^\s:]+:(?P<trigger>\S+)")
_OTHER = re.compile(r"(?:[A-SU-Z#]\S*|\*)\t")
_BOM = "\ufeff"


class _Mark(NamedTuple):
    """One T line: the file and line it is from, and what it says."""

    path: Path
    line: int
    name: str
    label: str
    parts: list[tuple[int, int]]
    said: str


def read_brat(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read BRAT's standoff.

    path (Path): A .txt file; or a folder, of which all .txt files with annotation are
        read, in sorted order, and those of all folders below it.
    options (ConvertOptions): Says what becomes of spans in several parts, and whether
        triggers are read.
    YIELDS (Annotated): The documents, named by their files without the ending.
    RAISES (ValueError): A line is not of this form, its offsets don't fit the text, a
        span is in several parts and that is refused, or a file is missing.
    """
    refuse_splitting(path, options, "brat")
    left_out = 0
    for text_path, doc_id in _texts(path):
        if not is_chosen(doc_id, options):
            continue
        marks, triggers = _marks(text_path)
        chosen = marks + triggers if options.triggers else marks
        left_out += len(marks) + len(triggers) - len(chosen)
        text, spans = _place(text_path, chosen, options.discontinuous)
        yield Annotated(text, spans, doc_id, None)
    if left_out:
        warn(Warnings.W516.format(path=path, count=left_out))


def _texts(path: Path) -> Iterator[tuple[Path, str]]:
    # Raises an error that names the path where there is nothing.
    path.stat()
    if not path.is_dir():
        if path.suffix in (*_ENTITY_FILES, _EVENT_FILE):
            path = path.with_suffix(".txt")
        if not _annotation(path):
            raise _missing(path, ".ann or .a1")
        yield path, path.name.removesuffix(".txt")
        return
    endings = (".txt", *_ENTITY_FILES)
    files = files_below(path, lambda name: name.endswith(endings), "X.txt and X.ann")
    texts = [file for file in files if file.suffix == ".txt"]
    for file in files:
        if file.suffix != ".txt" and not file.with_suffix(".txt").is_file():
            raise _missing(file, ".txt")
    bare = [file for file in texts if not _annotation(file)]
    if len(bare) == len(texts):
        raise _missing(bare[0], ".ann or .a1")
    if bare:
        warn(Warnings.W515.format(path=path, count=len(bare), first=bare[0]))
    left_out = set(bare)
    for file in texts:
        if file not in left_out:
            yield file, name_below(file, path, ".txt")


def _annotation(text_path: Path) -> list[Path]:
    beside = [text_path.with_suffix(ending) for ending in _ENTITY_FILES]
    return [path for path in beside if path.is_file()]


def _missing(path: Path, expected: str) -> ValueError:
    return ValueError(Errors.G546.format(expected=expected, path=path))


def _marks(text_path: Path) -> tuple[list[_Mark], list[_Mark]]:
    """The entities, and the triggers with all else of the .a2 file."""
    marks: list[_Mark] = []
    named: set[str] = set()
    for path in _annotation(text_path):
        marks.extend(_read_lines(path, named))
    of_events: list[_Mark] = []
    events = text_path.with_suffix(_EVENT_FILE)
    if events.is_file():
        of_events.extend(_read_lines(events, named))
    of_events.extend(mark for mark in marks if mark.name in named)
    return [mark for mark in marks if mark.name not in named], of_events


def _read_lines(path: Path, triggers: set[str]) -> Iterator[_Mark]:
    """The T lines; names of triggers are added to the set."""
    for number, line in numbered_lines(path):
        event = _EVENT.match(line)
        span = _SPAN.fullmatch(line)
        if event:
            triggers.add(event["trigger"])
        elif span:
            ends = [part.split(" ") for part in span["parts"].split(";")]
            parts = [(int(start), int(end)) for start, end in ends]
            yield _Mark(path, number, span["id"], span["label"], parts, span["said"])
        elif line.strip() and not _OTHER.match(line):
            reason = f"the line is {line[:80]!r}"
            raise ValueError(Errors.G544.format(path=path, line=number, reason=reason))


def _place(
    text_path: Path, marks: list[_Mark], discontinuous: str
) -> tuple[str, list[CharSpan]]:
    """The text and its spans, by the first way of counting that fits every mark."""
    first_error: ValueError | None = None
    for text, shift in _countings(read_text(text_path)):
        try:
            spans: list[CharSpan] = []
            for mark in marks:
                parts = _checked(mark, text, shift, text_path)
                spans.extend(_spans(mark, parts, discontinuous))
            return text, spans
        except _DoesNotFitError as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


class _DoesNotFitError(ValueError):
    """A text that an annotation says is not at its offsets."""


def _countings(raw: str) -> Iterator[tuple[str, int]]:
    """Texts of a file, with what to take off each offset: Windows line ends count as
    one character where they came in after the annotation, and a byte order mark as one
    where it was there before."""
    body = raw.removeprefix(_BOM)
    texts = [body]
    if "\r\n" in body:
        texts.append(body.replace("\r\n", "\n"))
    for shift in (0, 1) if raw.startswith(_BOM) else (0,):
        for text in texts:
            yield text, shift


def _checked(
    mark: _Mark, text: str, shift: int, text_path: Path
) -> list[tuple[int, int]]:
    parts = [(start - shift, end - shift) for start, end in mark.parts]
    found = " ".join(text[max(start, 0) : max(end, 0)] for start, end in parts)
    fits = all(0 <= start < end <= len(text) for start, end in parts)
    # BRAT writes a space for a line break.
    if not fits or found.split() != mark.said.split():
        raise _DoesNotFitError(
            Errors.G542.format(
                path=mark.path,
                line=mark.line,
                said=mark.said,
                start=mark.parts[0][0],
                end=mark.parts[-1][1],
                found=found,
                text_path=text_path,
            )
        )
    return _whole_lines(parts, text)


def _whole_lines(parts: list[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Join parts that only a line break parts: BRAT can't mark across one."""
    joined = parts[:1]
    for start, end in parts[1:]:
        between = text[joined[-1][1] : start]
        if between.isspace() and "\n" in between:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _spans(
    mark: _Mark, parts: list[tuple[int, int]], discontinuous: str
) -> list[CharSpan]:
    if len(parts) > 1 and discontinuous == "refuse":
        found = f"{mark.name} {mark.label} {mark.parts}: {mark.said}"
        raise ValueError(
            Errors.G545.format(path=mark.path, line=mark.line, found=found)
        )
    if discontinuous == "join":
        first = min(start for start, _ in parts)
        parts = [(first, max(end for _, end in parts))]
    return [CharSpan(start, end, mark.label) for start, end in parts]
