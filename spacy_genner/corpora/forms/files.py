"""Helpers for readers: pipes, finding the files of a corpus, recognizing a file of
another corpus format, and streaming XML."""

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, NamedTuple, NoReturn
from xml.parsers import expat

from ...errors import Errors

_CHUNK = 1 << 16
# The characters at the start of a file that describe its format.
_EXAMINED = 4096
_FORMATS = {
    "genia-xml": (r"<\?xml\b.*?<set>|<set>", "GENIA's XML"),
    "pubtator": (r"[^|\t\n]+\|t\|", "titles and abstracts of PubTator"),
    "conll-2012": (r"#begin document", "CoNLL-2012"),
    "alpaca": (
        r'(?:\[\s*)?\{\s*"(?:instruction|conversations|messages|prompt)"',
        "JSON for instruction tuning",
    ),
    "jsonl": (r"\{|\[\s*[\[{\"]", "JSON"),
    "conll": (
        r"(?:#[^\n]*\n|[ \t\r]*\n)*"
        r"(?:-DOCSTART-|[^\n]*\S[ \t]+(?:O|[BISUMLE]-\S+)[ \t\r]*(?:\n|$))",
        "columns with tags",
    ),
    "bracketed": (r".*?\[[^\[\]|\n]+ \| [^\[\]|\n]+\]", "bracketed text"),
}


class _Copy(type(Path())):  # type: ignore[misc]
    """The path of a copy, which has the name of the original in messages."""

    name_in_messages = ""

    def __str__(self) -> str:
        return self.name_in_messages or super().__str__()

    def __fspath__(self) -> str:
        return super().__str__()


@contextmanager
def rereadable(path: Path) -> Iterator[Path]:
    """Copy the content of a pipe to a temporary file. Readers read a file several
    times, for example to detect its form first, and a pipe can be read only once.

    path (Path): The path of a corpus. `-` is the standard input.
    YIELDS (Path): The path to read: a copy of a pipe, with its name in messages, or the
        unchanged path.
    RAISES (OSError): The pipe can't be read, or the copy can't be written.
    """
    standard = path == Path("-") and not path.exists()
    if not standard and (path.is_file() or path.is_dir() or not path.exists()):
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="genner-") as file:
        if standard:
            shutil.copyfileobj(sys.stdin.buffer, file)
        else:
            with path.open("rb") as source:
                shutil.copyfileobj(source, file)
        file.flush()
        copy = _Copy(file.name)
        copy.name_in_messages = "standard input" if standard else str(path)
        yield copy


def files_below(folder: Path, fits: Callable[[str], bool], expected: str) -> list[Path]:
    """Find the files of a corpus in a folder and its subfolders.

    folder (Path): The folder.
    fits (Callable[[str], bool]): Whether a file name belongs to the corpus. Names that
        start with a dot are always skipped.
    expected (str): A description of the names, for the message.
    RETURNS (list[Path]): The files, sorted by the parts of their paths.
    RAISES (ValueError): There are no such files.
    """
    found = [
        path
        for path in folder.rglob("*")
        if not path.name.startswith(".") and fits(path.name) and path.is_file()
    ]
    if not found:
        raise ValueError(Errors.G534.format(path=folder, expected=expected))
    return sorted(found, key=lambda path: path.parts)


def refuse_other_file(path: Path, corpus_format: str) -> None:
    """Refuse a file that could not be read, if it starts like another corpus format.

    path (Path): The file.
    corpus_format (str): The corpus format to read.
    RAISES (ValueError): The file starts like one of another corpus format. The message
        names it.
    """
    with path.open("rb") as file:
        start = file.read(_EXAMINED).decode("utf-8", errors="replace")
    start = start.removeprefix("\ufeff").lstrip()
    for name, (pattern, found) in _FORMATS.items():
        if re.match(pattern, start, re.DOTALL):
            is_json = {name, corpus_format} <= {"alpaca", "jsonl"}
            if is_json or name == corpus_format.removesuffix("-nested"):
                return
            remedy = f"Read it with --from {name}."
            raise ValueError(
                Errors.G566.format(path=path, line=1, found=found, remedy=remedy)
            )


def name_below(path: Path, folder: Path, suffix: str) -> str:
    """Return the ID of a document that is stored in its own file.

    path (Path): The file.
    folder (Path): The folder of the corpus.
    suffix (str): The suffix to remove.
    RETURNS (str): The path relative to the folder, with `/` on every system.
    """
    return path.relative_to(folder).as_posix().removesuffix(suffix)


class XmlEvent(NamedTuple):
    """An event of an XML parser.

    kind (str): "start" or "end" of an element, or "text".
    line (int): The line where the event starts, from 1.
    value (str): The name of the element, or the text.
    attributes (dict[str, str]): The attributes of an element that starts.
    """

    kind: Literal["start", "end", "text"]
    line: int
    value: str
    attributes: dict[str, str]


class _EntityError(ValueError):
    """An entity that XML does not predefine."""


def xml_events(file: IO[bytes], path: Path) -> Iterator[XmlEvent]:
    """Parse XML chunk by chunk.

    file (IO[bytes]): The open file.
    path (Path): The path of the file, for messages.
    YIELDS (XmlEvent): The events. A text may be split into several events.
    RAISES (ValueError): The XML is not well formed, uses an entity that XML does not
        predefine, or declares an unsupported encoding.
    """
    events: list[XmlEvent] = []
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        line = parser.CurrentLineNumber
        events.append(XmlEvent("start", line, name, attributes))

    def end(name: str) -> None:
        events.append(XmlEvent("end", parser.CurrentLineNumber, name, {}))

    def text(data: str) -> None:
        events.append(XmlEvent("text", parser.CurrentLineNumber, data, {}))

    def declared(name: str, *_: object) -> NoReturn:
        line = parser.CurrentLineNumber
        raise _EntityError(Errors.G536.format(path=path, line=line, name=name))

    def skipped(name: str, *_: object) -> None:
        declared(name)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.EntityDeclHandler = declared
    # Expat calls this handler for an entity that an external DTD may declare. Without
    # the handler, the entity would be dropped silently.
    parser.SkippedEntityHandler = skipped
    last = False
    while not last:
        chunk = file.read(_CHUNK)
        last = not chunk
        try:
            parser.Parse(chunk, last)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise ValueError(
                Errors.G535.format(path=path, line=error.lineno, reason=reason)
            ) from error
        except _EntityError:
            raise
        # Python raises these for encodings that it lacks or does not support in XML.
        except (LookupError, ValueError) as error:
            line = parser.CurrentLineNumber
            raise ValueError(
                Errors.G548.format(path=path, line=line, reason=error)
            ) from error
        yield from events
        events.clear()
