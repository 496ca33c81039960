"""BRAT standoff: a `.txt` file with `.ann` or `.a1` files beside it."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from spacy.tokens import Doc

from ...errors import Errors, Warnings, warn
from ...formats import CharSpan
from ...formats.base import ordered
from ...io import backup_of, numbered_lines, read_text, replaced_folder
from ..docbin import all_spans
from ..documents import (
    Annotated,
    ConversionCounts,
    ConvertOptions,
    WriteOptions,
    doc_id_of,
    is_chosen,
    refuse_splitting,
)
from .files import files_below, name_below

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


_SUFFIXES = (".txt", ".ann")
# File systems hold names of 255 bytes; some room is left for a number.
_LONGEST = 200
_UNSAFE = re.compile(r"[^\w.\-]+")
# Names that Windows keeps for devices, whatever comes after a dot.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def write_brat(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write `NAME.txt` and `NAME.ann` for each document, where NAME is its `doc_id`
    with other characters than letters, digits, `.`, `-` and `_` replaced, and a number
    behind it where it is taken. All spans are kept. The folder is there in whole or
    not at all.

    docs (Iterable[Doc]): The documents.
    path (Path): The folder: a new one, an empty one, or one with nothing but such
        pairs, which are replaced.
    options (WriteOptions): Names the group of the spans.
    counts (ConversionCounts): Gets nothing.
    RAISES (ValueError): The folder holds other files, or a label can't stand in the
        form.
    """
    check_replaceable(path)
    names = SafeNames()
    with replaced_folder(path) as folder:
        for doc in docs:
            name = names.make(doc_id_of(doc))
            notes = "".join(_notes(doc, options.spans_key))
            for suffix, content in zip(_SUFFIXES, (doc.text, notes), strict=True):
                file = folder / (name + suffix)
                with file.open("w", encoding="utf-8", newline="") as opened:
                    opened.write(content)


def _notes(doc: Doc, key: str) -> Iterable[str]:
    text = doc.text
    for number, span in enumerate(ordered(all_spans(doc, key)), 1):
        if len(span.label.split()) != 1 or span.label != span.label.strip():
            raise ValueError(Errors.G551.format(label=span.label, form="brat"))
        parts = _parts(text, span)
        places = ";".join(f"{start} {end}" for start, end in parts)
        said = " ".join(text[start:end] for start, end in parts)
        # The text is the last column of one line, whatever it holds.
        said = re.sub(r"[\r\n\t]", " ", said)
        yield f"T{number}\t{span.label} {places}\t{said}\n"


def _parts(text: str, span: CharSpan) -> list[tuple[int, int]]:
    """A span's part on each line: brat can't mark across a line break."""
    said = text[span.start : span.end]
    if said != said.strip():
        return [(span.start, span.end)]
    return [
        (span.start + part.start(), span.start + part.end())
        for part in re.finditer(r"\S(?:[^\n]*\S)?", said)
    ]


def check_replaceable(path: Path) -> None:
    """Check that nothing is lost where a folder is replaced.

    path (Path): The folder.
    RAISES (ValueError): It is no folder, or holds something else than pairs of a text
        and its annotations; or its backup is in the way.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(Errors.G556.format(path=path))
    if backup_of(path).exists():
        raise ValueError(Errors.G555.format(path=path, backup=backup_of(path)))
    held = sorted(path.iterdir()) if path.is_dir() else []
    names = {file.name for file in held}
    for file in held:
        pair = {file.stem + suffix for suffix in _SUFFIXES}
        if not file.is_file() or file.name not in pair or not pair <= names:
            raise ValueError(Errors.G554.format(path=path, found=file.name))


class SafeNames:
    """Makes file names of the names of documents, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        # The next number to try behind a name, so that thousands of sentences of one
        # document are not tried one by one.
        self._next: dict[str, int] = {}

    def make(self, doc_id: str) -> str:
        """Make a name.

        doc_id (str): The document's name.
        RETURNS (str): A file name without its ending.
        """
        stem = _UNSAFE.sub("_", doc_id).strip(".") or "document"
        if _DEVICES.fullmatch(stem):
            stem = f"_{stem}"
        stem = stem.encode()[:_LONGEST].decode(errors="ignore")
        name = stem
        # Some file systems do not tell upper and lower case apart.
        number = self._next.get(stem.casefold(), 2)
        while name.casefold() in self._taken:
            name = f"{stem}-{number}"
            number += 1
        self._next[stem.casefold()] = number
        self._taken.add(name.casefold())
        return name
