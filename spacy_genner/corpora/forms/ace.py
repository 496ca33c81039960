"""ACE 2005 as the LDC delivers it: texts in .sgm, annotation in .apf.xml.

An offset counts the characters of the .sgm file without its tags, from 0, a line end as
one; the last character of a mention belongs to it. The text of a document is all that
is there outside tags, its head with name and date too, so that a Doc's offsets are the
file's. Only where the file writes a character as an entity, such as `&amp;`, which the
offsets count letter by letter, the text has the character, and spans move with it.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...errors import Errors, Warnings, warn
from ...formats import CharSpan
from ...io import read_text
from ..documents import Annotated, ConvertOptions, is_chosen, refuse_splitting
from .files import XmlEvent, files_below, xml_events

ACE_TYPES = ("PER", "ORG", "GPE", "LOC", "FAC", "VEH", "WEA")
_TEXT, _ANNOTATION = ".sgm", ".apf.xml"
# The folders of the stages of annotation, the last first. `fp1` and `fp2` are by two
# annotators, before they were made one.
_STAGES = {"timex2norm": 0, "adj": 1, "fp1": 2, "fp2": 2}
_OTHER_FOLDER = 3
_TAG = re.compile(r"<[^<>]+>")
# No text is longer, and Python reads no number of thousands of digits.
_OFFSET = re.compile(r"\d{1,15}")
_ENTITY = re.compile(r"&(amp|lt|gt|quot|apos);")
_CHARACTERS = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_PLACES = {"full": "extent", "head": "head"}


class _Mention(NamedTuple):
    """A mention: the line that says its offsets, its end exclusive, and its words."""

    line: int
    label: str
    start: int
    end: int
    said: str


def read_ace2005(path: Path, options: ConvertOptions) -> Iterator[Annotated]:
    """Read ACE 2005.

    path (Path): A folder, of which all pairs of .sgm and .apf.xml are read, in sorted
        order, and those of all folders below it; or a file of one pair. Of a document
        that is there in several stages of annotation the last is read.
    options (ConvertOptions): Says whether spans are heads of mentions or all of them.
    YIELDS (Annotated): The documents, named by their files without the ending.
    RAISES (ValueError): The annotation is not of this form, does not fit the text, or
        one file of a pair is missing.
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
    # Raises an error that names the path where there is nothing.
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
    """Reads the mentions of an annotation.

    path (Path): The .apf.xml file.
    place (str): The element that holds the words to take: "extent" or "head".
    """

    def __init__(self, path: Path, place: str):
        self.path = path
        self.place = place
        self._inside: list[str] = []
        self._type = ""
        self._words: XmlEvent | None = None
        self._said = ""
        self._has_place = False
        self._mentions: list[_Mention] = []

    def read(self) -> list[_Mention]:
        """Read the file.

        RETURNS (List[_Mention]): The mentions.
        RAISES (ValueError): It is not of the form.
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
                    self._said += event.value
        return self._mentions

    def _start(self, event: XmlEvent) -> None:
        if event.value == "entity":
            self._type = event.attributes.get("TYPE", "")
            if self._type not in ACE_TYPES:
                raise self._error(event.line, f"an entity has the type {self._type!r}")
        elif event.value == "entity_mention":
            self._has_place = False
        elif self._inside[-3:] == ["entity_mention", self.place, "charseq"]:
            self._words, self._said, self._has_place = event, "", True

    def _end(self, event: XmlEvent) -> None:
        if event.value == "charseq" and self._words is not None:
            start = self._offset("START")
            end = self._offset("END") + 1
            line = self._words.line
            mention = _Mention(line, self._type, start, end, self._said)
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
        # White space is not always the text's own in the annotation.
        if span is None or "".join(found.split()) != "".join(mention.said.split()):
            raise ValueError(
                Errors.G542.format(
                    path=apf,
                    line=mention.line,
                    said=mention.said,
                    start=start,
                    end=end - 1,
                    found=found,
                    text_path=sgm,
                )
            )
        spans.append(span)
    return text, spans


def _without_entities(raw: str) -> tuple[str, list[int]]:
    """The text with characters for entities, and where each character of the file,
    and its end, are in that text."""
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
