"""Objects of a JSON list, read one by one."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import Errors
from ...storage.json_values import parse_json_at
from .jsonl import json_objects

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
