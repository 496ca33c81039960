"""Documents with their missed and wrongly predicted spans, as nested boxes."""

import html
from collections.abc import Sequence
from typing import NamedTuple

from ..formats import CharSpan, drop_crossing
from .annotation import Annotation
from .mistakes import INVENTED, MISSED, MISTAKES, find_mistakes

FOUND = "found"
AROUND = 60

TITLES = {
    "label": "Label errors: the right range, another label",
    "boundary": "Boundary errors: the right label, overlapping ranges",
    "boundary_and_label": "Boundary and label errors: overlapping ranges",
    "missed": "Missed: nothing wrong was predicted in its place",
    "invented": "Invented: nothing was missed in its place",
}


class Shown(NamedTuple):
    """A span to be drawn.

    start (int): Where it starts.
    end (int): Where it ends.
    label (str): Its label.
    side (str): "found", "missed" (of the reference) or "invented" (predicted).
    kind (str): Its mistake; "found" of one that is right.
    """

    start: int
    end: int
    label: str
    side: str
    kind: str


class ErrorGroup(NamedTuple):
    """Examples of one kind of mistake.

    kind (str): The kind.
    title (str): What it is.
    documents (int): How many documents have it.
    examples (List[str]): Passages, as HTML.
    """

    kind: str
    title: str
    documents: int
    examples: list[str]


def error_examples(rows: Sequence[Annotation], most: int = 10) -> list[ErrorGroup]:
    """Marked-up passages with mistakes of each kind, spread over the documents.

    rows (Sequence[Annotation]): The documents.
    most (int): How many passages of a kind at the most.
    RETURNS (List[ErrorGroup]): The kinds that occur.
    """
    wrong: dict[str, list[tuple[str, list[Shown]]]] = {kind: [] for kind in MISTAKES}
    for row in rows:
        spans = _shown(row)
        for kind in {span.kind for span in spans} - {FOUND}:
            wrong[kind].append((row.text, spans))
    groups = []
    for kind, documents in wrong.items():
        step = max(1, len(documents) // most)
        examples = [
            _marked(*_passage(text, spans, kind))
            for text, spans in documents[::step][:most]
        ]
        if examples:
            groups.append(ErrorGroup(kind, TITLES[kind], len(documents), examples))
    return groups


def _shown(row: Annotation) -> list[Shown]:
    shown = [Shown(*span, FOUND, FOUND) for span in set(row.gold) & set(row.predicted)]
    for kind, gold, predicted in find_mistakes(row.gold, row.predicted):
        if gold is not None:
            shown.append(Shown(*gold, MISSED, kind))
        if predicted is not None:
            shown.append(Shown(*predicted, INVENTED, kind))
    return shown


def _passage(text: str, spans: list[Shown], kind: str) -> tuple[str, list[Shown]]:
    """The surroundings of the first mistakes of a kind in a long text."""
    if len(text) <= 400:
        return text, spans
    first = min(span.start for span in spans if span.kind == kind)
    start, end = max(0, first - AROUND), min(len(text), first + 340)
    inside = [span for span in spans if start <= span.start and span.end <= end]
    moved = [
        span._replace(start=span.start - start, end=span.end - start) for span in inside
    ]
    return text[start:end], moved


def _marked(text: str, spans: list[Shown]) -> str:
    """A text with nested boxes. Missed and invented spans may cross: then the found
    and the shorter ones are drawn, and the others named below."""
    ranked = sorted(spans, key=lambda s: (s.side != FOUND, s.end - s.start, s))
    drawn: list[Shown] = []
    named: list[Shown] = []
    for span in ranked:
        crosses = any(len(drop_crossing([_char(span), _char(o)])[1]) for o in drawn)
        (named if crosses else drawn).append(span)
    drawn.sort(key=lambda s: (s.start, -s.end, s.side != FOUND))
    body = _nested(text, 0, len(text), drawn)
    for span in named:
        inside = html.escape(text[span.start : span.end])
        body += f'<br><small>{_what(span)}: <b class="{span.side}">{inside}'
        body += f"<i>{html.escape(span.label)}</i></b></small>"
    return body


def _nested(text: str, start: int, end: int, spans: list[Shown]) -> str:
    """The text from start to end, with the spans that lie in it."""
    out, at, index = [], start, 0
    while index < len(spans):
        span = spans[index]
        inner = []
        index += 1
        while index < len(spans) and spans[index].end <= span.end:
            inner.append(spans[index])
            index += 1
        out.append(html.escape(text[at : span.start]))
        body = _nested(text, span.start, span.end, inner)
        label = html.escape(span.label)
        out.append(
            f'<b class="{span.side}" title="{_what(span)}">{body}<i>{label}</i></b>'
        )
        at = span.end
    return "".join([*out, html.escape(text[at:end])])


def _what(span: Shown) -> str:
    if span.kind in (FOUND, MISSED, INVENTED):
        return span.kind
    side = "reference" if span.side == MISSED else "predicted"
    return f"{span.kind.replace('_', ' ')} error: {side}"


def _char(span: Shown) -> CharSpan:
    return CharSpan(*span[:3])
