"""Outputs that are no exact copy: what they say all the same, and what is wrong."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import NamedTuple

from .base import CharSpan, Issue

_PIECE = re.compile(r"\w+|[^\w\s]")
# Beyond this many pieces difflib's own rule of thumb, which leaves very frequent
# pieces out of the search, keeps the time short.
_LONG = 1500
# What follows the text itself is another copy if it has so much of its pieces.
_LEAST_COPIED = 0.5


class Mark(NamedTuple):
    """A stretch of an output that looks like a mark.

    start (int): Where it starts in the output.
    end (int): Where it ends, exclusive.
    opens (bool): Whether it opens a span.
    label (Optional[str]): The label it names, if any.
    """

    start: int
    end: int
    opens: bool
    label: str | None


class Piece(NamedTuple):
    """A word or a sign, with its place."""

    start: int
    end: int
    text: str


@dataclass
class Repaired:
    """What was read.

    spans (List[Tuple[CharSpan, Mark]]): Spans of the source with their closing marks.
    issues (List[Issue]): What was wrong.
    """

    spans: list[tuple[CharSpan, Mark]] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)


def repaired(output: str, text: str, marks: Sequence[Mark]) -> Repaired:
    """Read an output that differs from a copy with marks.

    Word by word the output is aligned with the source. What looks like a mark and is
    not aligned is one; what the source has too is copied. Then the rest is aligned
    again without the marks, and each pair of marks marks what its inside is aligned
    with. Where the output has the text as it is before its copy with marks, that one
    counts.

    output (str): The output.
    text (str): The source.
    marks (Sequence[Mark]): What looks like a mark in it, in order.
    RETURNS (Repaired): Spans and issues.
    """
    result = Repaired()
    source = _pieces(text)
    written = _pieces(output)
    marks = _real_marks(written, source, marks)
    pairs = _pairs(output, marks, result.issues)
    inside = {place for mark in marks for place in range(mark.start, mark.end)}
    written = [piece for piece in written if piece.start not in inside]
    echo = _echo(output, text, pairs)
    copy = [piece for piece in written if piece.start >= echo]
    if echo and len(copy) >= _LEAST_COPIED * len(source):
        message = "the text stands there without marks before its copy"
        result.issues.append(Issue("extra_text", message, 0, echo))
        written = copy
    aligned = _align(written, source)
    result.issues += _differences(written, source, len(output))
    for opening, closing in pairs:
        found = [
            source[place]
            for piece, places in zip(written, aligned, strict=True)
            if opening.end <= piece.start and piece.end <= closing.start
            for place in places
        ]
        if found:
            label = closing.label or ""
            span = CharSpan(found[0].start, found[-1].end, label)
            result.spans.append((span, closing))
        else:
            shown = output[opening.end : closing.start]
            message = f"{shown!r} ({closing.label}) is not in the text"
            issue = Issue("not_in_text", message, opening.start, closing.end)
            result.issues.append(issue)
    return result


def _pieces(text: str) -> list[Piece]:
    return [Piece(m.start(), m.end(), m.group()) for m in _PIECE.finditer(text)]


def _matcher(written: list[Piece], source: list[Piece]) -> SequenceMatcher[str]:
    long = len(written) + len(source) > 2 * _LONG
    first = [piece.text for piece in written]
    second = [piece.text for piece in source]
    return SequenceMatcher(None, first, second, autojunk=long)


def _real_marks(
    written: list[Piece], source: list[Piece], marks: Sequence[Mark]
) -> list[Mark]:
    """The marks of which the source has no copy at that place."""
    copied: set[int] = set()
    for block in _matcher(written, source).get_matching_blocks():
        copied.update(range(block.a, block.a + block.size))
    starts = [piece.start for piece in written]
    real = []
    for mark in marks:
        inside = range(bisect_left(starts, mark.start), bisect_left(starts, mark.end))
        # A word of a mark may be aligned by chance; all of it is not.
        if not copied.issuperset(inside):
            real.append(mark)
    return real


def _pairs(
    output: str, marks: Sequence[Mark], issues: list[Issue]
) -> list[tuple[Mark, Mark]]:
    """Marks that belong together. In XML the labels have to agree."""
    stack: list[Mark] = []
    pairs: list[tuple[Mark, Mark]] = []
    for mark in marks:
        if mark.opens:
            stack.append(mark)
            continue
        place = len(stack) - 1
        while place >= 0 and stack[place].label not in (None, mark.label):
            place -= 1
        shown = output[mark.start : mark.end]
        if place < 0:
            message = f"{shown!r} closes nothing"
            issues.append(Issue("unbalanced", message, mark.start, mark.end))
            continue
        if place < len(stack) - 1:
            message = f"{shown!r} closes a span around one that is still open"
            issues.append(Issue("crossing", message, mark.start, mark.end))
        pairs.append((stack.pop(place), mark))
    for mark in stack:
        message = f"{output[mark.start : mark.end]!r} is never closed"
        issues.append(Issue("unbalanced", message, mark.start, mark.end))
    return pairs


def _echo(output: str, text: str, pairs: Sequence[tuple[Mark, Mark]]) -> int:
    """Where the text ends that stands before all marks, 0 where it does not."""
    first = min((opening.start for opening, _ in pairs), default=0)
    plain = text.strip()
    begin = output.rfind(plain, 0, first) if plain else -1
    return 0 if begin < 0 else begin + len(plain)


def _align(written: list[Piece], source: list[Piece]) -> list[range]:
    """The source's pieces that each piece of an output stands for."""
    places = [range(0)] * len(written)
    for tag, a1, a2, b1, b2 in _matcher(written, source).get_opcodes():
        if tag == "equal" or (tag == "replace" and a2 - a1 == b2 - b1):
            for shift in range(a2 - a1):
                places[a1 + shift] = range(b1 + shift, b1 + shift + 1)
        elif tag == "replace" and 0 < a1 and a2 < len(written):
            # Words that were written otherwise, between words that were copied.
            places[a1] = places[a2 - 1] = range(b1, b2)
    return places


def _differences(written: list[Piece], source: list[Piece], size: int) -> list[Issue]:
    issues = []
    opcodes = _matcher(written, source).get_opcodes()
    for tag, a1, a2, b1, b2 in opcodes:
        if tag == "equal":
            continue
        start = written[a1].start if a1 < len(written) else size
        end = written[a2 - 1].end if a2 > a1 else start
        wrote = " ".join(piece.text for piece in written[a1:a2])[:80]
        missed = " ".join(piece.text for piece in source[b1:b2])[:80]
        at_end = a2 == len(written)
        if at_end and b2 > b1 and a2 - a1 <= 1:
            message = f"the output ends before {missed!r}"
            issues.append(Issue("truncated", message, start, size))
        elif tag == "delete" and (a1 == 0 or at_end):
            message = f"{wrote!r} is no part of the text"
            issues.append(Issue("extra_text", message, start, end))
        else:
            message = f"{wrote!r} stands for {missed!r}"
            issues.append(Issue("copy_differs", message, start, end))
    return issues
