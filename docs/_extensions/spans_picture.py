"""Draw the spans of a text as an SVG picture, with layout and colours of displaCy.

    genner demo "TEXT" --model MODEL --json > docs/images/nested-spans.jsonl
    python docs/_extensions/spans_picture.py docs/images/nested-spans.jsonl \
        docs/images/nested-spans.svg

displaCy draws overlapping spans as HTML, which code hosts don't show in a README. The
picture has a light and a dark colour scheme and chooses that of the reader's system.
"""

import html
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import spacy
from spacy import displacy

from spacy_genner.io import replaced_file

# Sizes in pixels. A character of a monospaced font is 0.6 times as wide as the size of
# the font; `textLength` makes it so for every font.
SIZE, LABEL_SIZE = 17.0, 11.0
CHARACTER = 0.6
MARGIN, BASELINE = 18.0, 34.0
# displaCy counts from the top of a token, whose height is 40 without spans.
TOP = 8.0
HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" \
width="{width:g}" height="{height:g}" role="img" aria-label="{title}">
<title>{title}</title>
<style>
.back {{ fill: #fff; stroke: #d0d7de; }}
.word {{ fill: #1b1f24; }}
text {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; \
white-space: pre; }}
.word {{ font-size: {size:g}px; }}
.in {{ font-weight: bold; }}
.label {{ fill: #000; font-size: {label_size:g}px; font-weight: bold; }}
@media (prefers-color-scheme: dark) {{
.back {{ fill: #14171c; stroke: #30363d; }}
.word {{ fill: #e6e9ee; }}
}}
</style>
<rect class="back" x="0.5" y="0.5" width="{inner_width:g}" height="{inner_height:g}" \
rx="8"/>
"""


class Drawing(HTMLParser):
    """Reads displaCy's drawing of one text.

    bars (list[tuple[int, float, str]]): For each bar below a token the number of the
        token in a span, the distance from the top, and the colour.
    labels (list[tuple[int, float, str, str]]): The same with the label, where a span
        starts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bars: list[tuple[int, float, str]] = []
        self.labels: list[tuple[int, float, str, str]] = []
        self._token = -1
        self._styles: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        style = dict(attrs).get("style", "")
        self._styles.append(style)
        if tag == "span" and "inline-block" in style:
            self._token += 1
        elif tag == "span" and "z-index" not in style:
            self.bars.append((self._token, *_place(style)))

    def handle_endtag(self, tag: str) -> None:
        self._styles.pop()

    def handle_data(self, data: str) -> None:
        if data.strip() and self._styles and "z-index" in self._styles[-1]:
            top, color = _place(self._styles[-2])
            self.labels.append((self._token, top, color, data.strip()))


def _place(style: str) -> tuple[float, str]:
    found = re.search(r"background: (\S+); top: ([\d.]+)px", style)
    assert found is not None, style
    return float(found[2]), found[1]


def picture(record: dict[str, Any]) -> str:
    """Draw the spans of a text.

    record (dict[str, Any]): A line that `genner demo --json` prints.
    RETURNS (str): The picture, as SVG.
    """
    doc = spacy.blank("xx")(record["text"])
    spans, tokens = [], set()
    for each in record["spans"]:
        span = doc.char_span(each["start"], each["end"], label=each["label"])
        tokens |= set(range(span.start, span.end))
        spans.append(span)
    doc.spans["sc"] = spans
    drawing = Drawing()
    drawing.feed(displacy.render(doc, style="span", jupyter=False))
    drawn = [doc[at] for at in sorted(tokens)]

    def x(character: int) -> float:
        return MARGIN + character * SIZE * CHARACTER

    width = x(len(doc.text)) + MARGIN
    height = TOP + max((top for _, top, _ in drawing.bars), default=30) + 24
    parts = [
        HEAD.format(
            width=width,
            height=height,
            inner_width=width - 1,
            inner_height=height - 1,
            title=html.escape(_describe(record)),
            size=SIZE,
            label_size=LABEL_SIZE,
        )
    ]
    for token in doc:
        kind = "word in" if token.i in tokens else "word"
        parts.append(_text(token.text, kind, x(token.idx), BASELINE, SIZE))
    for number, top, color in dict.fromkeys(drawing.bars):
        token = drawn[number]
        end = token.idx + len(token)
        # A bar goes on over the space to the next token of its span.
        follows = (number + 1, top, color) in drawing.bars and not any(
            (at, above) == (number + 1, top) for at, above, _, _ in drawing.labels
        )
        right = x(end + len(token.whitespace_) if follows else end)
        parts.append(_bar(x(token.idx) - 1, TOP + top, right - x(token.idx) + 2, color))
    for number, top, color, label in drawing.labels:
        left = x(drawn[number].idx) - 1
        wide = len(label) * LABEL_SIZE * CHARACTER + 8
        parts.append(
            f'<rect x="{left:g}" y="{TOP + top - 6:g}" width="{wide:g}" height="15" '
            f'rx="3" fill="{color}"/>\n'
        )
        parts.append(_text(label, "label", left + 4, TOP + top + 5, LABEL_SIZE))
    return "".join(parts) + "</svg>\n"


def _describe(record: dict[str, Any]) -> str:
    """What a screen reader says."""
    spans = (
        f"{record['text'][span['start'] : span['end']]}: {span['label']}"
        for span in record["spans"]
    )
    return f"{record['text']} — {'; '.join(spans)}"


def _text(text: str, kind: str, x: float, y: float, size: float) -> str:
    length = len(text) * size * CHARACTER
    return (
        f'<text class="{kind}" x="{x:g}" y="{y:g}" textLength="{length:g}">'
        f"{html.escape(text)}</text>\n"
    )


def _bar(x: float, y: float, width: float, color: str) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="4" rx="2" '
        f'fill="{color}"/>\n'
    )


def main(source: str, target: str) -> None:
    """Draw the first record of a file.

    source (str): A `.jsonl` file with records.
    target (str): The `.svg` file to write.
    """
    line = Path(source).read_text("utf8").splitlines()[0]
    with replaced_file(Path(target)) as fresh:
        fresh.write_text(picture(json.loads(line)), encoding="utf8")


if __name__ == "__main__":
    main(*sys.argv[1:])
