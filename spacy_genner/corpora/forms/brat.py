"""BRAT standoff: a `.txt` file with a `.ann` file, or `.a1` and `.a2`, beside it."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from spacy.tokens import Doc

from ...errors import Errors, Warnings, warn
from ...formats import CharSpan
from ...formats.base import sort_spans
from ...io import backup_of, numbered_lines, read_text, replaced_folder
from ..docbin import all_spans
from ..documents import (
    Annotated,
    ConversionCounts,
    ConvertOptions,
    WriteOptions,
    describe_offsets,
    doc_id_of,
    is_chosen,
    refuse_splitting,
)
from .files import files_below, name_below

_ENTITY_FILES = (".ann", ".a1")
_EVENT_FILE = ".a2"
# 15 digits suffice for any text, and Python refuses numbers of thousands of digits.
_PART = r"\d{1,15} \d{1,15}"
_SPAN = re.compile(
    rf"(?P<id>T\S*)\t(?P<label>\S+) (?P<parts>{_PART}(?:;{_PART})*)\t(?P<surface>.*)"
)
_EVENT = re.compile(r"E\S*\t[^\s:]+:(?P<trigger>\S+)")
_OTHER = re.compile(r"(?:[A-SU-Z#]\S*|\*)\t")
_BOM = "\ufeff"

_WRITTEN = (".txt", ".ann")
# File systems limit names to 255 bytes. The rest leaves room for a number.
_MAX_NAME = 200
_UNSAFE = re.compile(r"[^\w.\-]+")
# Windows reserves these names for devices, with any suffix.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class _TextBound(NamedTuple):
    """A text-bound annotation (a T line), with its file and line."""

    path: Path
    line: int
    name: str
    label: str
    parts: list[tuple[int, int]]
    surface: str


class _DoesNotFitError(ValueError):
    """An annotated text differs from the text at its offsets."""


def read_brat(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read BRAT standoff.

    path (Path): A .txt file, or a folder. In a folder and its subfolders, all .txt
        files with annotation are read, in sorted order.
    options (ConvertOptions): The treatment of discontinuous spans, and whether to read
        triggers.
    YIELDS (Annotated): The documents. Their IDs are the names of the files without the
        suffix.
    RAISES (ValueError): A line is malformed, its offsets do not fit the text, a refused
        discontinuous span occurs, or a file is missing.
    """
    refuse_splitting(path, options, "brat")
    left_out = 0
    for text_path, doc_id in _texts(path):
        if not is_chosen(doc_id, options):
            continue
        entities, triggers = _annotations(text_path)
        chosen = entities + triggers if options.triggers else entities
        left_out += len(entities) + len(triggers) - len(chosen)
        text, spans = _place(text_path, chosen, options.discontinuous)
        yield Annotated(text, spans, doc_id, None)
    if left_out:
        warn(Warnings.W516.format(path=path, count=left_out))


def _texts(path: Path) -> Iterator[tuple[Path, str]]:
    # `stat` raises an error that names a missing path.
    path.stat()
    if not path.is_dir():
        if path.suffix in (*_ENTITY_FILES, _EVENT_FILE):
            path = path.with_suffix(".txt")
        if not _entity_files(path):
            raise _missing(path, ".ann or .a1")
        yield path, path.name.removesuffix(".txt")
        return
    endings = (".txt", *_ENTITY_FILES)
    files = files_below(path, lambda name: name.endswith(endings), "X.txt and X.ann")
    texts = [file for file in files if file.suffix == ".txt"]
    for file in files:
        if file.suffix != ".txt" and not file.with_suffix(".txt").is_file():
            raise _missing(file, ".txt")
    bare = [file for file in texts if not _entity_files(file)]
    if len(bare) == len(texts):
        raise _missing(bare[0], ".ann or .a1")
    if bare:
        warn(Warnings.W515.format(path=path, count=len(bare), first=bare[0]))
    left_out = set(bare)
    for file in texts:
        if file not in left_out:
            yield file, name_below(file, path, ".txt")


def _entity_files(text_path: Path) -> list[Path]:
    beside = [text_path.with_suffix(ending) for ending in _ENTITY_FILES]
    return [path for path in beside if path.is_file()]


def _missing(path: Path, expected: str) -> ValueError:
    return ValueError(Errors.G546.format(expected=expected, path=path))


def _annotations(text_path: Path) -> tuple[list[_TextBound], list[_TextBound]]:
    """Return the entities, and the triggers with all other spans of the .a2 file."""
    found: list[_TextBound] = []
    triggers: set[str] = set()
    for path in _entity_files(text_path):
        found.extend(_read_lines(path, triggers))
    of_events: list[_TextBound] = []
    events = text_path.with_suffix(_EVENT_FILE)
    if events.is_file():
        of_events.extend(_read_lines(events, triggers))
    of_events.extend(each for each in found if each.name in triggers)
    return [each for each in found if each.name not in triggers], of_events


def _read_lines(path: Path, triggers: set[str]) -> Iterator[_TextBound]:
    """Yield the T lines, and add the names of triggers to the set."""
    for number, line in numbered_lines(path):
        event = _EVENT.match(line)
        span = _SPAN.fullmatch(line)
        if event:
            triggers.add(event["trigger"])
        elif span:
            ends = [part.split(" ") for part in span["parts"].split(";")]
            parts = [(int(start), int(end)) for start, end in ends]
            yield _TextBound(
                path, number, span["id"], span["label"], parts, span["surface"]
            )
        elif line.strip() and not _OTHER.match(line):
            reason = f"the line is {line[:80]!r}"
            raise ValueError(Errors.G544.format(path=path, line=number, reason=reason))


def _place(
    text_path: Path, annotations: list[_TextBound], discontinuous: str
) -> tuple[str, list[CharSpan]]:
    """Return the text and its spans, in the first variant of the text that fits every
    annotation."""
    first_error: ValueError | None = None
    for text, shift in _text_variants(read_text(text_path)):
        try:
            spans: list[CharSpan] = []
            for annotation in annotations:
                parts = _checked_parts(annotation, text, shift, text_path)
                spans.extend(_spans(annotation, parts, discontinuous))
            return text, spans
        except _DoesNotFitError as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


def _text_variants(raw: str) -> Iterator[tuple[str, int]]:
    """Yield variants of a text, with the shift to subtract from each offset. A Windows
    line end counts as one character if it was inserted after the annotation, and a byte
    order mark counts as one if it was present before."""
    body = raw.removeprefix(_BOM)
    texts = [body]
    if "\r\n" in body:
        texts.append(body.replace("\r\n", "\n"))
    for shift in (0, 1) if raw.startswith(_BOM) else (0,):
        for text in texts:
            yield text, shift


def _checked_parts(
    annotation: _TextBound, text: str, shift: int, text_path: Path
) -> list[tuple[int, int]]:
    parts = [(start - shift, end - shift) for start, end in annotation.parts]
    found = " ".join(text[max(start, 0) : max(end, 0)] for start, end in parts)
    fits = all(0 <= start < end <= len(text) for start, end in parts)
    # BRAT writes a space for a line break.
    if not fits or found.split() != annotation.surface.split():
        raise _DoesNotFitError(
            Errors.G542.format(
                path=annotation.path,
                line=annotation.line,
                said=annotation.surface,
                start=annotation.parts[0][0],
                end=annotation.parts[-1][1],
                found=found,
                text_path=text_path,
                unit=describe_offsets(
                    text, parts[0][0], parts[-1][1], annotation.surface
                ),
            )
        )
    return _joined_lines(parts, text)


def _joined_lines(parts: list[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Join parts that only a line break separates: BRAT can't annotate across one."""
    joined = parts[:1]
    for start, end in parts[1:]:
        between = text[joined[-1][1] : start]
        if between.isspace() and "\n" in between:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _spans(
    annotation: _TextBound, parts: list[tuple[int, int]], discontinuous: str
) -> list[CharSpan]:
    if len(parts) > 1 and discontinuous == "refuse":
        name, label = annotation.name, annotation.label
        found = f"{name} {label} {annotation.parts}: {annotation.surface}"
        raise ValueError(
            Errors.G545.format(path=annotation.path, line=annotation.line, found=found)
        )
    if discontinuous == "join":
        first = min(start for start, _ in parts)
        parts = [(first, max(end for _, end in parts))]
    return [CharSpan(start, end, annotation.label) for start, end in parts]


def write_brat(
    docs: Iterable[Doc], path: Path, options: WriteOptions, counts: ConversionCounts
) -> None:
    """Write `NAME.txt` and `NAME.ann` for each document. NAME is the `doc_id`, with an
    underscore for characters other than letters, digits, `.`, `-` and `_`, and with a
    number if the name is taken. All spans are kept. The folder is written atomically.

    docs (Iterable[Doc]): The documents.
    path (Path): The folder: a new one, an empty one, or one that contains only such
        pairs of files, which are replaced.
    options (WriteOptions): The group of the spans.
    counts (ConversionCounts): Unused: nothing is left out.
    RAISES (ValueError): The folder contains other files, or the format can't represent
        a label.
    """
    check_replaceable(path)
    names = SafeNames()
    with replaced_folder(path) as folder:
        for doc in docs:
            name = names.make(doc_id_of(doc))
            notes = "".join(_notes(doc, options.spans_key))
            for suffix, content in zip(_WRITTEN, (doc.text, notes), strict=True):
                file = folder / (name + suffix)
                with file.open("w", encoding="utf-8", newline="") as opened:
                    opened.write(content)


def _notes(doc: Doc, key: str) -> Iterable[str]:
    text = doc.text
    for number, span in enumerate(sort_spans(all_spans(doc, key)), 1):
        if len(span.label.split()) != 1 or span.label != span.label.strip():
            raise ValueError(Errors.G551.format(label=span.label, form="brat"))
        parts = _line_parts(text, span)
        offsets = ";".join(f"{start} {end}" for start, end in parts)
        surface = " ".join(text[start:end] for start, end in parts)
        # The surface text is the last column of a single line.
        surface = re.sub(r"[\r\n\t]", " ", surface)
        yield f"T{number}\t{span.label} {offsets}\t{surface}\n"


def _line_parts(text: str, span: CharSpan) -> list[tuple[int, int]]:
    """Split a span at line breaks: BRAT can't annotate across one."""
    surface = text[span.start : span.end]
    if surface != surface.strip():
        return [(span.start, span.end)]
    return [
        (span.start + part.start(), span.start + part.end())
        for part in re.finditer(r"\S(?:[^\n]*\S)?", surface)
    ]


def check_replaceable(path: Path) -> None:
    """Check that replacing a folder loses no other files.

    path (Path): The folder.
    RAISES (ValueError): The path is not a folder, the folder contains other files than
        pairs of a text and its annotation, or its backup exists.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(Errors.G556.format(path=path))
    if backup_of(path).exists():
        raise ValueError(Errors.G555.format(path=path, backup=backup_of(path)))
    files = sorted(path.iterdir()) if path.is_dir() else []
    names = {file.name for file in files}
    for file in files:
        pair = {file.stem + suffix for suffix in _WRITTEN}
        if not file.is_file() or file.name not in pair or not pair <= names:
            raise ValueError(Errors.G554.format(path=path, found=file.name))


class SafeNames:
    """Creates unique file names from document IDs."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        # The next number to try for a name. A document with thousands of sentences
        # would otherwise try each number again.
        self._next: dict[str, int] = {}

    def make(self, doc_id: str) -> str:
        """Create a name.

        doc_id (str): The ID of the document.
        RETURNS (str): A file name without suffix.
        """
        stem = _UNSAFE.sub("_", doc_id).strip(".") or "document"
        if _DEVICES.fullmatch(stem):
            stem = f"_{stem}"
        stem = stem.encode()[:_MAX_NAME].decode(errors="ignore")
        name = stem
        # Some file systems are case-insensitive.
        number = self._next.get(stem.casefold(), 2)
        while name.casefold() in self._taken:
            name = f"{stem}-{number}"
            number += 1
        self._next[stem.casefold()] = number
        self._taken.add(name.casefold())
        return name
