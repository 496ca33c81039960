"""Documents with their missed and invented spans, as nested boxes."""

import html
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..formats import CharSpan, drop_crossing

FOUND, MISSED, INVENTED = "found", "missed", "invented"
AROUND = 60


class Shown(NamedTuple):
    """A span to be drawn: where, its label, and what became of it."""

    start: int
    end: int
    label: str
    kind: str


def error_examples(rows: Sequence[dict[str, Any]], most: int = 30) -> list[str]:
    """Marked-up passages with errors, spread over the documents.

    rows (Sequence[Dict[str, Any]]): Rows of a `.spans.jsonl` file.
    most (int): How many at the most.
    RETURNS (List[str]): HTML.
    """
    wrong = []
    for row in rows:
        spans = _shown(row)
        if any(span.kind != FOUND for span in spans):
            wrong.append((row["text"], spans))
    step = max(1, len(wrong) // most)
    return [_marked(*_passage(text, spans)) for text, spans in wrong[::step][:most]]


def _shown(row: dict[str, Any]) -> list[Shown]:
    gold = {CharSpan(*span) for span in row["gold"]}
    found = {CharSpan(*span[:3]) for span in row["predicted"]}
    kinds = ((gold & found, FOUND), (gold - found, MISSED), (found - gold, INVENTED))
    return [Shown(*span, kind) for spans, kind in kinds for span in spans]


def _passage(text: str, spans: list[Shown]) -> tuple[str, list[Shown]]:
    """The surroundings of the first errors of a long text."""
    if len(text) <= 400:
        return text, spans
    first = min(span.start for span in spans if span.kind != FOUND)
    start, end = max(0, first - AROUND), min(len(text), first + 340)
    inside = [span for span in spans if start <= span.start and span.end <= end]
    moved = [
        span._replace(start=span.start - start, end=span.end - start) for span in inside
    ]
    return text[start:end], moved


def _marked(text: str, spans: list[Shown]) -> str:
    """A text with nested boxes. Missed and invented spans may cross: then the found
    and the shorter ones are drawn, and the others named below."""
    ranked = sorted(spans, key=lambda s: (s.kind != FOUND, s.end - s.start, s))
    drawn: list[Shown] = []
    named: list[Shown] = []
    for span in ranked:
        crosses = any(len(drop_crossing([_char(span), _char(o)])[1]) for o in drawn)
        (named if crosses else drawn).append(span)
    drawn.sort(key=lambda s: (s.start, -s.end, s.kind != FOUND))
    body = _nested(text, 0, len(text), drawn)
    for span in named:
        inside = html.escape(text[span.start : span.end])
        body += f'<br><small>{span.kind}: <b class="{span.kind}">{inside}'
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
            f'<b class="{span.kind}" title="{span.kind}">{body}<i>{label}</i></b>'
        )
        at = span.end
    return "".join([*out, html.escape(text[at:end])])


def _char(span: Shown) -> CharSpan:
    return CharSpan(*span[:3])
