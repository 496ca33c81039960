"""Read JSON from untrusted sources: values, objects on lines, and streams."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import Errors
from .text import not_utf8, numbered_lines

# The project reads JSON with a few levels of nesting. Python parses values that are
# nested much deeper, but can't write or print them afterwards.
MAX_DEPTH = 100
_CHUNK = 1 << 20
_JSON_SPACE = " \t\r\n"
# The length of the longest unit that can't be parsed in part: two escapes, which may
# form one character.
_ESCAPES = len(r"\u0000\u0000")
_DECODER = json.JSONDecoder()
# The parts of a line that say how deep the next line is nested. The last alternative is
# a string that does not end on its line, which JSON does not allow.
_JSON_NESTING = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]|"')


def parse_json(text: str, unique: bool = False) -> Any:
    """Parse a JSON value from an untrusted source.

    text (str): The value, with any white space around it.
    unique (bool): Whether to refuse an object that has a key twice. Otherwise the last
        value of the key counts.
    RETURNS (Any): The value.
    RAISES (ValueError): The text is not JSON, is nested too deep, or contains a number
        with thousands of digits.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique if unique else None)
    except RecursionError:
        raise _too_deep() from None
    _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} occurs twice")
    return made


def has_lone_surrogate(text: str) -> bool:
    """Check for a lone surrogate, which JSON escapes can express and UTF-8 can't.

    text (str): A string parsed from JSON.
    RETURNS (bool): Whether the string contains one.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def json_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the objects of a file: one on each line, or indented over several lines, as
    `jq` writes them. Empty lines are skipped.

    path (Path): The file.
    YIELDS (tuple[int, dict[str, Any]]): The number of the line where the object starts,
        from 1, and the object.
    RAISES (ValueError): A value is not a JSON object.
    """
    for number, text in _value_texts(path):
        yield number, json_object(path, number, text)


def _value_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the text of each JSON value, with the number of its first line. A value
    that is cut off at the end of its line continues to the line with its last
    bracket."""
    lines = numbered_lines(path)
    for number, line in lines:
        if not line.strip():
            continue
        depth = _nesting(line)
        if depth <= 0 or not _is_cut_off(line):
            yield number, line
            continue
        parts = [line]
        for _, following in lines:
            parts.append(following)
            depth += _nesting(following)
            if depth <= 0:
                break
        # The message about a line that is cut off, and not about the rest of the file.
        yield number, "\n".join(parts) if depth == 0 else line


def _nesting(line: str) -> int:
    """RETURNS (int): The number of brackets that the line opens and does not close."""
    found = [match[0] for match in _JSON_NESTING.finditer(line)]
    return sum((each in "[{") - (each in "]}") for each in found)


def _is_cut_off(line: str) -> bool:
    text = line.strip()
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text)
    except (ValueError, RecursionError):
        return False
    return False


def json_object(path: Path, number: int, line: str) -> dict[str, Any]:
    """Parse a line of a JSONL file.

    path (Path): The file, for the error message.
    number (int): The number of the line, from 1.
    line (str): The line.
    RETURNS (dict[str, Any]): The object.
    RAISES (ValueError): The line is not a JSON object.
    """
    record: dict[str, Any] = _parse_value(path, number, line, (dict,))
    return record


def _parse_value(path: Path, number: int, text: str, kinds: tuple[type, ...]) -> Any:
    """Parse a value of certain types that starts on a line of a file."""
    try:
        value = parse_json(text)
    except ValueError as error:
        raise ValueError(
            Errors.G512.format(path=path, line=number, found=error)
        ) from error
    if not isinstance(value, kinds):
        found = type(value).__name__
        raise ValueError(Errors.G512.format(path=path, line=number, found=found))
    return value


def json_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the objects of a JSON list, or of a file with one object after another.

    path (Path): The file, in UTF-8. A list is parsed object by object and never held
        in memory as a whole.
    YIELDS (tuple[int, dict[str, Any]]): The number of the line where the object starts,
        from 1, and the object.
    RAISES (ValueError): The file has neither form.
    """
    stream = _JsonStream(path)
    stream.skip(_JSON_SPACE)
    if stream.peek() == "[":
        stream.advance()
        yield from _list_items(stream, "{")
    else:
        yield from json_objects(path)


def json_values(path: Path) -> Iterator[tuple[int, int, Any]]:
    """Read the objects and lists in a JSON list, on the lines of a file, or indented
    over several lines.

    path (Path): The file, in UTF-8. A list is parsed value by value.
    YIELDS (tuple[int, int, Any]): The line where the value starts, its number (in a
        list) or its line (otherwise), both from 1, and the value.
    RAISES (ValueError): The file has none of these forms.
    """
    stream = _JsonStream(path)
    stream.skip(_JSON_SPACE)
    if stream.peek() == "[":
        stream.advance()
        stream.skip(_JSON_SPACE)
        if stream.peek() in ("{", "[", "]", ""):
            for number, (line, value) in enumerate(_list_items(stream, "{["), 1):
                yield line, number, value
            return
    for line, text in _value_texts(path):
        yield line, line, _parse_value(path, line, text, (dict, list))


def _list_items(stream: "_JsonStream", starts: str) -> Iterator[tuple[int, Any]]:
    """Yield the items of a list whose bracket is consumed. Each item starts with one
    of the characters `starts`."""
    first = True
    while True:
        stream.skip(_JSON_SPACE)
        if stream.peek() == "]":
            break
        if not first:
            if stream.peek() != ",":
                raise stream.error(f"no ',' or ']' before {stream.upcoming()}")
            stream.advance()
            stream.skip(_JSON_SPACE)
        first = False
        if not stream.peek() or stream.peek() not in starts:
            raise stream.error(f"expected an object, found {stream.upcoming()}")
        yield stream.line, stream.parse_value()
    stream.advance()
    stream.skip(_JSON_SPACE)
    if stream.peek():
        raise stream.error(f"{stream.upcoming()} after the end of the list")


class _JsonStream:
    """A JSON file that is decoded and parsed chunk by chunk.

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
                    raise not_utf8(self.path, line, error) from error
                if not chunk:
                    return
                line += chunk.count(b"\n")

    def _grow(self) -> bool:
        """Drop the consumed text and append the next piece, if there is one."""
        for piece in self._pieces:
            self._buffer = self._buffer[self._at :] + piece
            self._at = 0
            return True
        return False

    def peek(self) -> str:
        """RETURNS (str): The next character, or "" at the end of the file."""
        while self._at >= len(self._buffer):
            if not self._grow():
                return ""
        return self._buffer[self._at]

    def advance(self, size: int = 1) -> None:
        """Consume characters that are in the buffer."""
        self.line += self._buffer.count("\n", self._at, self._at + size)
        self._at += size

    def skip(self, chars: str) -> None:
        """Consume characters up to the first that is not one of `chars`."""
        while (char := self.peek()) and char in chars:
            self.advance()

    def parse_value(self) -> Any:
        """Consume the object or list that starts at the current position."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
                _check_depth(value)
            except json.JSONDecodeError as error:
                if _may_continue(error, len(self._buffer)) and self._grow():
                    continue
                raise self.error(error.msg) from error
            except RecursionError:
                raise self.error(_too_deep()) from None
            except ValueError as error:
                raise self.error(error) from error
            self.advance(end - self._at)
            return value

    def upcoming(self) -> str:
        """RETURNS (str): The next few characters, for a message."""
        rest = self._buffer[self._at : self._at + 20]
        return repr(rest) if rest else "the end of the file"

    def error(self, reason: object) -> ValueError:
        """RETURNS (ValueError): An error that names the file and the current line."""
        return ValueError(
            Errors.G558.format(path=self.path, line=self.line, reason=reason)
        )


def _may_continue(error: json.JSONDecodeError, size: int) -> bool:
    """Return whether an object may only be cut off at the end of the buffer."""
    # An error in a string names the start of the string. Errors in literals and
    # escapes name their own position.
    return error.msg.startswith("Unterminated") or error.pos > size - _ESCAPES


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
