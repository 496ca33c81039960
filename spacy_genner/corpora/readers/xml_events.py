"""XML as a stream of events with line numbers.

Nothing outside the file is read, and no entity but XML's own: what a file or its DTD
declares can name other files, or grow without bounds.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, NamedTuple, NoReturn
from xml.parsers import expat

from ...errors import Errors

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
