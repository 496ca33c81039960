"""Show annotated texts: in a terminal, and as a page with displaCy's drawing."""

import html
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from spacy.tokens import Doc

Record = Mapping[str, Any]

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>spacy-genner</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; background: #fff;
  color: #1b1f24; font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto,
  sans-serif; }}
figure {{ margin: 0 0 3rem; overflow-wrap: anywhere; }}
figcaption {{ margin-top: 1rem; font-size: 0.85rem; opacity: 0.8; }}
/* A label may be wider than its word. */
.spans > span > span > span {{ white-space: nowrap; overflow-wrap: normal; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #14171c; color: #e6e9ee; }}
}}
</style>
</head>
<body>
{figures}
</body>
</html>
"""
# Backgrounds for black text, light enough for white and black terminals.
_STYLES = (
    "black on bright_cyan",
    "black on bright_yellow",
    "black on bright_green",
    "black on bright_magenta",
    "black on cyan",
    "black on yellow",
    "black on green",
    "black on magenta",
)
_LINE_BREAKS = "\n\t"
# A control character in a text could change the terminal.
_VISIBLE = {
    code: "\ufffd"
    for code in (*range(0x20), *range(0x7F, 0xA0))
    if chr(code) not in _LINE_BREAKS
}
_ONE_LINE = {**_VISIBLE, ord("\n"): " ", ord("\t"): " "}


def depths(spans: Sequence[Record]) -> list[int]:
    """Count the spans around each span.

    spans (Sequence[Record]): Spans with `start` and `end`, sorted by start, the longer
        first.
    RETURNS (list[int]): The number of spans that contain each span.
    """
    # The sorted ends of the spans so far. Those that end earlier are no outer spans.
    ends: list[int] = []
    found = []
    for span in spans:
        found.append(len(ends) - bisect_left(ends, span["end"]))
        insort(ends, span["end"])
    return found


# The terminal


def printer() -> Callable[[Record], None]:
    """Make a function that prints records: with colours in a terminal, else as plain
    text. Labels keep their colours from text to text.

    RETURNS (Callable[[Record], None]): The function.
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    styles: dict[str, str] = {}

    def show(record: Record) -> None:
        for span in record["spans"]:
            styles.setdefault(span["label"], _STYLES[len(styles) % len(_STYLES)])
        console.print(_text(record, styles), soft_wrap=True)
        for line in _lines(record, styles):
            console.print(line, soft_wrap=True)
        console.print()

    return show


def _text(record: Record, styles: Mapping[str, str]) -> Any:
    """The text, with the colour of the innermost span at each character."""
    from rich.text import Text

    text = Text(record["text"].translate(_VISIBLE))
    for span in record["spans"]:
        text.stylize(styles[span["label"]], span["start"], span["end"])
    return text


def _lines(record: Record, styles: Mapping[str, str]) -> list[Any]:
    """A line for each span, and those of the status and the issues."""
    from rich.text import Text

    spans = record["spans"]
    names = [span["label"].translate(_ONE_LINE) for span in spans]
    labels = [
        Text(f" {name} ", styles[span["label"]])
        for name, span in zip(names, spans, strict=True)
    ]
    width = max((label.cell_len for label in labels), default=0)
    lines = []
    for span, label, depth in zip(spans, labels, depths(spans), strict=True):
        score = "   -" if span["score"] is None else f"{span['score']:.2f}"
        surface = record["text"][span["start"] : span["end"]].translate(_ONE_LINE)
        gap = " " * (width - label.cell_len)
        lines.append(
            Text.assemble(f"  {score} ", label, f"{gap} {'  ' * depth}{surface}")
        )
    if not spans:
        lines.append(Text("  no spans", "dim"))
    status = record["status"]
    lines.append(Text(f"  status: {status}", "dim" if status == "ok" else "bold"))
    for issue in record["issues"]:
        message = f"{issue['code']}: {issue['message']}".translate(_ONE_LINE)
        lines.append(Text(f"  {message}"))
    return lines


# The page


def tokens_of(doc: Doc) -> list[tuple[int, str]]:
    """RETURNS (list[tuple[int, str]]): The start of each token, and its text."""
    return [(token.idx, token.text) for token in doc]


def page(drawn: Iterable[tuple[Record, Sequence[tuple[int, str]]]]) -> str:
    """Draw annotated texts as displaCy draws overlapping spans.

    drawn (Iterable[tuple[Record, Sequence[tuple[int, str]]]]): Records, each with the
        tokens of its text.
    RETURNS (str): A page of HTML, without links to other files.
    """
    figures = [_figure(record, tokens) for record, tokens in drawn]
    return PAGE.format(figures="\n".join(figures))


def displacy_input(
    record: Record, tokens: Sequence[tuple[int, str]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Convert a record to what displaCy draws, with the scores beside the labels.

    record (Record): The record.
    tokens (Sequence[tuple[int, str]]): The start of each token, and its text.
    RETURNS (tuple[dict[str, Any], dict[str, str]]): The tokens and spans, and the
        colours of the labels.
    """
    from spacy.displacy.render import DEFAULT_LABEL_COLORS

    palette = list(dict.fromkeys(DEFAULT_LABEL_COLORS.values()))
    labels = list(dict.fromkeys(span["label"] for span in record["spans"]))
    colors: dict[str, str] = {}
    spans = []
    starts = [start for start, _ in tokens]
    ends = [start + len(text) for start, text in tokens]
    for span in record["spans"]:
        first, last = (
            bisect_right(ends, span["start"]),
            bisect_left(starts, span["end"]),
        )
        if first >= last:
            continue
        name = span["label"]
        if span["score"] is not None:
            name = f"{name} {span['score']:.2f}"
        # displaCy escapes the tokens, and not the labels.
        name = html.escape(name)
        default = palette[labels.index(span["label"]) % len(palette)]
        colors[name] = DEFAULT_LABEL_COLORS.get(span["label"].upper(), default)
        spans.append(
            {
                "start_token": first,
                "end_token": last,
                "label": name,
            }
        )
    return {"tokens": [text for _, text in tokens], "spans": spans}, colors


def _figure(record: Record, tokens: Sequence[tuple[int, str]]) -> str:
    from spacy import displacy

    parsed, colors = displacy_input(record, tokens)
    drawing = displacy.render(
        parsed, style="span", manual=True, jupyter=False, options={"colors": colors}
    )
    caption = [f"status: {record['status']}"]
    caption += [f"{issue['code']}: {issue['message']}" for issue in record["issues"]]
    below = "<br>".join(html.escape(line) for line in caption)
    return f"<figure>{drawing}<figcaption>{below}</figcaption></figure>"
