"""A lenient JSON reader for the output of a model.

`json.loads` rejects an output with a single fault. This reader finds the lists and
objects in any string, reads as much of each as possible, keeps the offset of every
value, and reports prose around the values and faults inside them as issues.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .base import Issue

# Single and typographic quotes are accepted as quotes only before a punctuation
# character, because they may also be apostrophes or a part of a text.
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<single_quoted>'(?:[^'\\]|\\.)*'(?=\s*[,:\]}]))
    | (?P<typographic>[“„](?:[^“”„\\]|\\.)*[”“](?=\s*[,:\]}]))
    | (?P<unterminated>"(?:[^"\\]|\\.)*\\?\Z)
    | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<punctuation>[\[\]{}:,])
    | (?P<bare>[^\s\[\]{}:,"']+|['"])
    )""",
    re.VERBOSE | re.DOTALL,
)
_START = re.compile(r"[\[{]")
_KIND_CLOSED_BY = {"]": "list", "}": "object"}
_ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
# The formats have two levels. A few more allow for wrappers; anything deeper is noise.
_MAX_LEVELS = 8
# The number of values without a string after which the reader gives up.
_MAX_STARTS = 50
_MAX_SHOWN = 80


@dataclass
class Value:
    """A JSON value in an output.

    kind (str): "object", "list", "string", "number" or "bare" (true, false, null and
        any other text without quotes).
    start (int): The offset in the output at which it starts (characters).
    end (int): The offset at which it ends, exclusive.
    content (Any): The string, the whole number (None for any other number), or the bare
        text. None for a list or an object.
    items (list[tuple[Value | None, Value]]): The keys and values of an object, or the
        values of a list with None as keys.
    closed (bool): Whether the output contains its end.
    """

    kind: str
    start: int
    end: int
    content: Any = None
    items: "list[tuple[Value | None, Value]]" = field(default_factory=list)
    closed: bool = True

    def walk(self) -> "Iterator[Value]":
        """YIELDS (Value): The value and all values inside it, in document order."""
        waiting = [self]
        while waiting:
            value = waiting.pop()
            yield value
            waiting += [item for _, item in reversed(value.items)]

    def get(self, key: str) -> "Value | None":
        """Get the first value of an object with a key.

        key (str): The key.
        RETURNS (Value | None): The value, or None if there is none.
        """
        for name, value in self.items:
            if name is not None and name.content == key:
                return value
        return None


def read_values(output: str) -> tuple[list[Value], list[Issue]]:
    """Read the lists and objects of an output.

    output (str): The output.
    RETURNS (tuple[list[Value], list[Issue]]): The outermost values that contain a
        string, or the first value if none does; and the issues: faults inside the
        values, and text around them.
    """
    values: list[Value] = []
    empty: tuple[Value, list[Issue]] | None = None
    issues: list[Issue] = []
    at, last_end, starts = 0, 0, 0
    while starts < _MAX_STARTS:
        found = _START.search(output, at)
        if found is None:
            break
        starts += 1
        faults: list[Issue] = []
        value = _read(output, found.start(), faults)
        at = value.end
        if any(inner.kind == "string" for inner in value.walk()):
            if not values:
                starts = 0
            values.append(value)
            issues += [*_extra(output, last_end, value.start), *faults]
            last_end = value.end
        elif empty is None or (empty[0].items and not value.items):
            empty = (value, faults)
    if not values and empty is not None:
        value, faults = empty
        values, last_end = [value], value.end
        issues += [*_extra(output, 0, value.start), *faults]
    if values:
        issues += _extra(output, last_end, len(output))
    elif output.strip():
        issues.append(Issue("bad_json", "the output has no JSON", 0, len(output)))
    else:
        issues.append(Issue("truncated", "the output is empty", 0, len(output)))
    return values, issues


def _extra(output: str, start: int, end: int) -> list[Issue]:
    """Report text that is not part of the answer, without its surrounding spaces."""
    part = output[start:end]
    extra = part.strip()
    if not extra:
        return []
    start += len(part) - len(part.lstrip())
    message = f"{extra[:_MAX_SHOWN]!r} is not part of the answer"
    return [Issue("extra_text", message, start, start + len(extra))]


def _read(output: str, at: int, issues: list[Issue]) -> Value:
    """Read the list or object that starts at an offset, and report its faults."""
    root: Value | None = None
    stack: list[Value] = []
    # For each open list or object, the key that is still without a value.
    keys: list[Value | None] = []

    def fault(message: str, start: int, end: int) -> None:
        issues.append(Issue("bad_json", message, start, end))

    def add(value: Value, may_be_key: bool) -> None:
        top = stack[-1]
        if top.kind == "list":
            top.items.append((None, value))
        elif keys[-1] is not None:
            top.items.append((keys[-1], value))
            keys[-1] = None
        elif may_be_key and value.kind in ("string", "bare"):
            keys[-1] = value
        else:
            fault("a value without a key", value.start, value.end)
            top.items.append((None, value))

    while True:
        match = _TOKEN.match(output, at)
        if match is None:
            break
        at = match.end()
        kind = str(match.lastgroup)
        start, end = match.span(kind)
        token = match.group(kind)
        if token in ("[", "{"):
            if len(stack) == _MAX_LEVELS:
                fault("too many nested lists and objects", start, end)
                continue
            opened = "list" if token == "[" else "object"
            value = Value(opened, start, end, closed=False)
            if root is None:
                root = value
            else:
                add(value, False)
            stack.append(value)
            keys.append(None)
        elif token in ("]", "}"):
            closes = _KIND_CLOSED_BY[token]
            if all(value.kind != closes for value in stack):
                fault(f"unmatched {token!r}", start, end)
                continue
            while stack:
                value = stack.pop()
                value.end = end
                key = keys.pop()
                if key is not None:
                    fault(f"the key {key.content!r} has no value", key.start, key.end)
                if value.kind == closes:
                    value.closed = True
                    break
                fault(f"unclosed {value.kind}", value.start, end)
            if not stack:
                break
        elif token == ":":
            if stack[-1].kind == "list" or keys[-1] is None:
                fault("a colon without a key", start, end)
        elif token != ",":
            add(_scalar(kind, token, start, end, issues), True)
    assert root is not None
    if stack:
        root.end = len(output)
        for value in stack:
            value.end = len(output)
        message = f"the output ends inside an unclosed {stack[-1].kind}"
        issues.append(Issue("truncated", message, stack[-1].start, len(output)))
    return root


def _scalar(kind: str, token: str, start: int, end: int, issues: list[Issue]) -> Value:
    """Make the value of a string, a number or a bare text."""
    if kind == "string":
        try:
            return Value("string", start, end, json.loads(token))
        except ValueError:
            message = f"a character of {token[:_MAX_SHOWN]} is not escaped correctly"
            issues.append(Issue("bad_json", message, start, end))
            return Value("string", start, end, _unescaped(token[1:-1]))
    if kind in ("single_quoted", "typographic"):
        quotes = "single" if kind == "single_quoted" else "typographic"
        message = f"the string {token[:_MAX_SHOWN]} is in {quotes} quotes"
        issues.append(Issue("bad_json", message, start, end))
        return Value("string", start, end, _unescaped(token[1:-1]))
    if kind == "unterminated":
        # The enclosing list or object is reported as truncated.
        return Value("string", start, end, _unescaped(token[1:]), closed=False)
    if kind == "number":
        return Value("number", start, end, _whole_number(token))
    return Value("bare", start, end, token)


def _whole_number(token: str) -> int | None:
    """The number if it is whole and in the range of exact floats, or None."""
    try:
        number = float(token)
        return int(number) if number.is_integer() and abs(number) < 2**53 else None
    except (ValueError, OverflowError):
        return None


def _unescaped(string: str) -> str:
    """Resolve the escape sequences of a string that is not valid JSON."""

    def resolve(match: re.Match[str]) -> str:
        code = match.group(1)
        if len(code) > 1:
            return chr(int(code[1:], 16))
        return _CONTROLS.get(code, code)

    return _ESCAPED.sub(resolve, string)
