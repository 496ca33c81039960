"""Find the files of a corpus and stream XML."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal, NamedTuple, NoReturn
from xml.parsers import expat

from ...errors import Errors


def files_below(folder: Path, fits: Callable[[str], bool], expected: str) -> list[Path]:
    """Find the files of a folder and of all below it.

    folder (Path): The folder.
    fits (Callable[[str], bool]): Whether a file with this name belongs to the corpus.
        Names that begin with a dot never do.
    expected (str): What these names are like, for the message.
    RETURNS (List[Path]): The files, sorted by their parts.
    RAISES (ValueError): There are none.
    """
    found = [
        path
        for path in folder.rglob("*")
        if not path.name.startswith(".") and fits(path.name) and path.is_file()
    ]
    if not found:
        raise ValueError(Errors.G534.format(path=folder, expected=expected))
    return sorted(found, key=lambda path: path.parts)


def name_below(path: Path, folder: Path, suffix: str) -> str:
    """The name of a document that is a file of its own.

    path (Path): The file.
    folder (Path): The corpus that it is in.
    suffix (str): The ending that is no part of the name.
    RETURNS (str): The path from the folder, with `/` on every system.
    """
    return path.relative_to(folder).as_posix().removesuffix(suffix)


_CHUNK = 1 << 16


class XmlEvent(NamedTuple):
    """One thing met in an XML file.

    kind (str): "start" or "end" of an element, or "text".
    line (int): The line where it starts, from 1.
    value (str): The element's name, or the text.
    attributes (Dict[str, str]): The attributes of an element that starts.
    """

    kind: Literal["start", "end", "text"]
    line: int
    value: str
    attributes: dict[str, str]


class _EntityError(ValueError):
    """An entity that is not one of XML's own."""


def xml_events(file: IO[bytes], path: Path) -> Iterator[XmlEvent]:
    """Read XML in one go, chunk by chunk.

    file (IO[bytes]): The open file.
    path (Path): Its name, for messages.
    YIELDS (XmlEvent): The events. A text may come in several.
    RAISES (ValueError): The XML is not well formed, has an entity of its own, or
        names an encoding that can't be read.
    """
    waiting: list[XmlEvent] = []
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        line = parser.CurrentLineNumber
        waiting.append(XmlEvent("start", line, name, attributes))

    def end(name: str) -> None:
        waiting.append(XmlEvent("end", parser.CurrentLineNumber, name, {}))

    def text(data: str) -> None:
        waiting.append(XmlEvent("text", parser.CurrentLineNumber, data, {}))

    def declared(name: str, *_: object) -> NoReturn:
        line = parser.CurrentLineNumber
        raise _EntityError(Errors.G536.format(path=path, line=line, name=name))

    def skipped(name: str, *_: object) -> None:
        declared(name)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.EntityDeclHandler = declared
    # Called for an entity that a DTD may declare, which would else be lost.
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
        # What Python says of encodings that it does not have, or not for XML.
        except (LookupError, ValueError) as error:
            line = parser.CurrentLineNumber
            raise ValueError(
                Errors.G548.format(path=path, line=line, reason=error)
            ) from error
        yield from waiting
        waiting.clear()
