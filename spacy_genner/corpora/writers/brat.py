"""Corpora as brat's standoff: a folder with a text and its annotations a document."""

import re
from collections.abc import Iterable
from pathlib import Path

from spacy.tokens import Doc

from ...errors import Errors
from ...formats import CharSpan
from ...formats.spans import ordered
from ...storage.folders import backup_of, replaced_folder
from ..counts import ConversionCounts
from ..docbin import all_spans
from .options import WriteOptions, doc_id_of

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
