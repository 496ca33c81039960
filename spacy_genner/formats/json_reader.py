"""Read JSON values out of imperfect model output."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .base import Issue

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<single>'(?:[^'\\]|\\.)*'(?=\s*[,:\]}]))
    | (?P<cut>"(?:[^"\\]|\\.)*\\?\Z)
    | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<sign>[\[\]{}:,])
    | (?P<word>[^\s\[\]{}:,"']+|['"])
    )""",
    re.VERBOSE | re.DOTALL,
)
_START = re.compile(r"[\[{]")
_PARTNER = {"]": "list", "}": "object"}
# Deeper nesting is noise: the formats have two levels, and a wrapper or two are
# forgiven.
_MOST_LEVELS = 8
# How often reading starts anew after something that holds no entry.
_MOST_STARTS = 50


@dataclass
class Value:
    """A value of an output.

    kind (str): "object", "list", "string", "number" or "word" (true, false, null and
        whatever stands there without quotes).
    start (int): Where it starts in the output.
    end (int): Where it ends, exclusive.
    content (Any): The string, the number (None for one out of any range), or the word.
    items (List[Tuple[Optional[Value], Value]]): Of a list or an object: keys (None in
        a list) and values.
    closed (bool): Whether its end is in the output.
    """

    kind: str
    start: int
    end: int
    content: Any = None
    items: "list[tuple[Value | None, Value]]" = field(default_factory=list)
    closed: bool = True

    def walk(self) -> "Iterator[Value]":
        """YIELDS (Value): The value and all within it, in the output's order."""
        waiting = [self]
        while waiting:
            value = waiting.pop()
            yield value
            waiting += [item for _, item in reversed(value.items)]

    def get(self, key: str) -> "Value | None":
        """RETURNS (Optional[Value]): An object's value under a key."""
        for name, value in self.items:
            if name is not None and name.content == key:
                return value
        return None


def read_values(output: str) -> tuple[list[Value], list[Issue]]:
    """Read the lists and objects of an output, and report what stands around them and
    what is wrong with them.

    output (str): The output.
    RETURNS (Tuple[List[Value], List[Issue]]): The outermost values that hold some
        string, or else the first one, and the issues.
    """
    values: list[Value] = []
    empty: tuple[Value, list[Issue]] | None = None
    issues: list[Issue] = []
    at, around, starts = 0, 0, 0
    while starts < _MOST_STARTS:
        found = _START.search(output, at)
        if found is None:
            break
        starts += 1
        faults: list[Issue] = []
        value = _read(output, found.start(), faults)
        at = value.end
        if _holds_a_string(value):
            if not values:
                starts = 0
            values.append(value)
            issues += [*_extra(output, around, value.start), *faults]
            around = value.end
        elif empty is None or (empty[0].items and not value.items):
            empty = (value, faults)
    if not values and empty is not None:
        value, faults = empty
        values, around = [value], value.end
        issues += [*_extra(output, 0, value.start), *faults]
    if values:
        issues += _extra(output, around, len(output))
    elif output.strip():
        issues.append(Issue("bad_json", "there is no JSON in it", 0, len(output)))
    else:
        issues.append(Issue("truncated", "the output is empty", 0, len(output)))
    return values, issues


def _holds_a_string(value: Value) -> bool:
    return any(found.kind == "string" for found in value.walk())


def _extra(output: str, start: int, end: int) -> list[Issue]:
    """An issue for a stretch of an output that is no part of the answer."""
    stretch = output[start:end]
    said = stretch.strip()
    if not said:
        return []
    start += len(stretch) - len(stretch.lstrip())
    message = f"{said[:80]!r} is no part of the answer"
    return [Issue("extra_text", message, start, start + len(said))]


def _read(output: str, at: int, issues: list[Issue]) -> Value:
    """Read one list or object, whatever its faults."""
    root: Value | None = None
    stack: list[Value] = []
    # Of each open object, the key that waits for its value.
    keys: list[Value | None] = []

    def fault(message: str, start: int, end: int) -> None:
        issues.append(Issue("bad_json", message, start, end))

    def add(value: Value, separated: bool) -> None:
        top = stack[-1]
        if top.kind == "list":
            top.items.append((None, value))
        elif keys[-1] is not None:
            top.items.append((keys[-1], value))
            keys[-1] = None
        elif value.kind in ("string", "word") and not separated:
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
        said = match.group(kind)
        if said in ("[", "{"):
            if len(stack) == _MOST_LEVELS:
                fault("it is nested too deep", start, end)
                continue
            value = Value("list" if said == "[" else "object", start, end, closed=False)
            if root is None:
                root = value
            else:
                add(value, True)
            stack.append(value)
            keys.append(None)
        elif said in ("]", "}"):
            open_kinds = [value.kind for value in stack]
            if _PARTNER[said] not in open_kinds:
                fault(f"{said!r} closes nothing", start, end)
                continue
            while stack:
                value = stack.pop()
                value.end = end
                key = keys.pop()
                if key is not None:
                    fault(f"the key {key.content!r} has no value", key.start, key.end)
                if value.kind == _PARTNER[said]:
                    value.closed = True
                    break
                fault(f"a {value.kind} is not closed", value.start, end)
            if not stack:
                break
        elif said == ":":
            if stack[-1].kind == "list" or keys[-1] is None:
                fault("a colon without a key", start, end)
        elif said != ",":
            add(_scalar(kind, said, start, end, issues), False)
    assert root is not None
    if stack:
        root.end = len(output)
        for value in stack:
            value.end = len(output)
        message = f"the output ends inside a {stack[-1].kind}"
        issues.append(Issue("truncated", message, stack[-1].start, len(output)))
    return root


def _scalar(kind: str, said: str, start: int, end: int, issues: list[Issue]) -> Value:
    if kind == "string":
        try:
            return Value("string", start, end, json.loads(said))
        except ValueError:
            content = _unescaped(said[1:-1])
            message = f"the string {said[:80]} has a character that is to be escaped"
            issues.append(Issue("bad_json", message, start, end))
            return Value("string", start, end, content)
    if kind == "single":
        message = f"the string {said[:80]} has single quotes"
        issues.append(Issue("bad_json", message, start, end))
        return Value("string", start, end, _unescaped(said[1:-1]))
    if kind == "cut":
        # That the output ends there is reported with the list that is open.
        return Value("string", start, end, _unescaped(said[1:]), closed=False)
    if kind == "number":
        return Value("number", start, end, _number(said))
    return Value("word", start, end, said)


def _number(said: str) -> int | None:
    try:
        number = float(said)
        return int(number) if number.is_integer() and abs(number) < 2**53 else None
    except (ValueError, OverflowError):
        return None


_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def _unescaped(said: str) -> str:
    """A string that JSON does not know, read all the same."""

    def read(match: re.Match[str]) -> str:
        code = match.group(1)
        if len(code) > 1:
            return chr(int(code[1:], 16))
        return _ESCAPED.get(code, code)

    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", read, said, flags=re.DOTALL)
