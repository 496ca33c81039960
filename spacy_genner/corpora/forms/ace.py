"""ACE 2005 as the LDC distributes it: .sgm texts with .apf.xml annotation.

Offsets count the characters of the .sgm file from 0, without its tags and with each
line end as one character. The end of a mention is its last character. The text of a
document is everything outside tags, including its name and date, so that the offsets of
a Doc are those of the file. The only exception is a character that the file writes as
an entity, such as `&amp;`: offsets count the letters of the entity, but the text
contains the character, and the spans are shifted.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...errors import Errors, Warnings, warn
from ...formats import CharSpan
from ...io import read_text
from ..documents import (
    Annotated,
    ConvertOptions,
    describe_offsets,
    is_chosen,
    refuse_splitting,
    same_text,
)
from .files import XmlEvent, files_below, xml_events

ACE_TYPES = ("PER", "ORG", "GPE", "LOC", "FAC", "VEH", "WEA")
_TEXT, _ANNOTATION = ".sgm", ".apf.xml"
# The folders of the annotation stages, the last stage first. `fp1` and `fp2` are the
# work of two annotators before adjudication.
_STAGES = {"timex2norm": 0, "adj": 1, "fp1": 2, "fp2": 2}
_OTHER_FOLDER = 3
_TAG = re.compile(r"<[^<>]+>")
# 15 digits suffice for any text, and Python refuses numbers of thousands of digits.
_OFFSET = re.compile(r"\d{1,15}")
_ENTITY = re.compile(r"&(amp|lt|gt|quot|apos);")
_CHARACTERS = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_PLACES = {"full": "extent", "head": "head"}


class _Mention(NamedTuple):
    """A mention with its line and its surface text. Its end is exclusive."""

    line: int
    label: str
    start: int
    end: int
    surface: str


def read_ace2005(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read ACE 2005.

    path (Path): A folder, or a file of one pair. In a folder and its subfolders, all
        pairs of .sgm and .apf.xml files are read, in sorted order. Of a document with
        several annotation stages the last stage is read.
    options (ConvertOptions): Whether spans are whole mentions or their heads.
    YIELDS (Annotated): The documents. Their IDs are the names of the files without the
        suffix.
    RAISES (ValueError): The annotation is malformed or does not fit the text, or a file
        of a pair is missing.
    """
    refuse_splitting(path, options, "ace2005")
    for apf in _annotation_files(path):
        doc_id = apf.name.removesuffix(_ANNOTATION)
        if is_chosen(doc_id, options):
            sgm = apf.with_name(doc_id + _TEXT)
            mentions = _MentionReader(apf, _PLACES[options.extent]).read()
            text, spans = _place(sgm, apf, mentions)
            yield Annotated(text, spans, doc_id, None)


def _annotation_files(path: Path) -> list[Path]:
    # `stat` raises an error that names a missing path.
    path.stat()
    if path.is_dir():
        endings = (_TEXT, _ANNOTATION)
        expected = f"X{_TEXT} and X{_ANNOTATION}"
        files = files_below(path, lambda name: name.endswith(endings), expected)
        for file in files:
            _partner(file)
        annotation = [file for file in files if file.name.endswith(_ANNOTATION)]
        return _last_stages(annotation, path)
    partner = _partner(path)
    return [path if path.name.endswith(_ANNOTATION) else partner]


def _partner(path: Path) -> Path:
    if path.name.endswith(_ANNOTATION):
        partner = path.with_name(path.name.removesuffix(_ANNOTATION) + _TEXT)
    else:
        partner = path.with_name(path.name.removesuffix(_TEXT) + _ANNOTATION)
    if path.is_file() and not partner.is_file():
        raise ValueError(Errors.G540.format(path=path, missing=partner.name))
    return partner


def _last_stages(files: list[Path], folder: Path) -> list[Path]:
    kept: dict[str, Path] = {}
    stages: set[str] = set()
    for file in sorted(files, key=_stage):
        first = kept.setdefault(file.name, file)
        if first is file:
            continue
        if _stage(first) == _stage(file):
            name = file.name.removesuffix(_ANNOTATION)
            raise ValueError(Errors.G543.format(name=name, first=first, second=file))
        stages.add(first.parent.name)
    left_out = len(files) - len(kept)
    if left_out:
        names = ", ".join(sorted(stages))
        warn(Warnings.W514.format(path=folder, count=left_out, kept=names))
    chosen = set(kept.values())
    return [file for file in files if file in chosen]


def _stage(path: Path) -> int:
    return _STAGES.get(path.parent.name, _OTHER_FOLDER)


class _MentionReader:
    """Reads the mentions of an annotation file.

    path (Path): The .apf.xml file.
    place (str): The element that contains the words to read: "extent" or "head".
    """

    def __init__(self, path: Path, place: str):
        self.path = path
        self.place = place
        self._inside: list[str] = []
        self._type = ""
        self._words: XmlEvent | None = None
        self._surface = ""
        self._has_place = False
        self._mentions: list[_Mention] = []

    def read(self) -> list[_Mention]:
        """Read the file.

        RETURNS (list[_Mention]): The mentions.
        RAISES (ValueError): The file is malformed.
        """
        with self.path.open("rb") as file:
            for event in xml_events(file, self.path):
                if event.kind == "start":
                    self._inside.append(event.value)
                    self._start(event)
                elif event.kind == "end":
                    self._end(event)
                    self._inside.pop()
                elif self._words is not None:
                    self._surface += event.value
        return self._mentions

    def _start(self, event: XmlEvent) -> None:
        if event.value == "entity":
            self._type = event.attributes.get("TYPE", "")
            if self._type not in ACE_TYPES:
                raise self._error(event.line, f"an entity has the type {self._type!r}")
        elif event.value == "entity_mention":
            self._has_place = False
        elif self._inside[-3:] == ["entity_mention", self.place, "charseq"]:
            self._words, self._surface, self._has_place = event, "", True

    def _end(self, event: XmlEvent) -> None:
        if event.value == "charseq" and self._words is not None:
            start = self._offset("START")
            end = self._offset("END") + 1
            line = self._words.line
            mention = _Mention(line, self._type, start, end, self._surface)
            self._mentions.append(mention)
            self._words = None
        elif event.value == "entity_mention" and not self._has_place:
            raise self._error(event.line, f"a mention has no {self.place!r}")

    def _offset(self, name: str) -> int:
        assert self._words is not None
        value = self._words.attributes.get(name, "")
        if not _OFFSET.fullmatch(value):
            raise self._error(self._words.line, f"{name} is {value[:80]!r}")
        return int(value)

    def _error(self, line: int, reason: str) -> ValueError:
        return ValueError(
            Errors.G541.format(
                path=self.path,
                line=line,
                reason=reason,
                expected=", ".join(ACE_TYPES),
            )
        )


def _place(
    sgm: Path, apf: Path, mentions: list[_Mention]
) -> tuple[str, list[CharSpan]]:
    raw = read_text(sgm).removeprefix("\ufeff").replace("\r\n", "\n")
    text, places = _without_entities(_TAG.sub("", raw))
    spans: list[CharSpan] = []
    for mention in mentions:
        start, end = mention.start, mention.end
        inside = 0 <= start < end < len(places)
        span = CharSpan(places[start], places[end], mention.label) if inside else None
        found = text[span.start : span.end] if span else ""
        if span is None or not same_text(found, mention.surface):
            raise ValueError(
                Errors.G542.format(
                    path=apf,
                    line=mention.line,
                    said=mention.surface,
                    start=start,
                    end=end - 1,
                    found=found,
                    text_path=sgm,
                    unit=describe_offsets(text, start, end, mention.surface),
                )
            )
        spans.append(span)
    return text, spans


def _without_entities(raw: str) -> tuple[str, list[int]]:
    """Replace entities by their characters. Return the text, and the offset in it of
    each character of the file and of the end."""
    text = ""
    places: list[int] = []
    last = 0
    for match in _ENTITY.finditer(raw):
        places.extend(range(len(text), len(text) + match.start() - last))
        text += raw[last : match.start()]
        places.extend([len(text)] * len(match[0]))
        text += _CHARACTERS[match[1]]
        last = match.end()
    places.extend(range(len(text), len(text) + len(raw) - last + 1))
    return text + raw[last:], places
