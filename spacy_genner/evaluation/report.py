"""The HTML report."""

import html
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Errors
from ..formats import CharSpan, drop_crossing
from ..io import numbered_lines, parse_json
from .breakdowns import INVENTED, MISSED, MISTAKES, find_mistakes
from .records import SUFFIX, Annotation, read_annotations
from .significance import format_comparison, is_comparison
from .tables import breakdown_rows, structure_rows

FOUND = "found"
AROUND = 60

TITLES = {
    "label": "Label errors: the right range, another label",
    "boundary": "Boundary errors: the right label, overlapping ranges",
    "boundary_and_label": "Boundary and label errors: overlapping ranges",
    "missed": "Missed: nothing wrong was predicted in its place",
    "invented": "Invented: nothing was missed in its place",
}


class RenderedExample(NamedTuple):
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
    wrong: dict[str, list[tuple[str, list[RenderedExample]]]] = {
        kind: [] for kind in MISTAKES
    }
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


def _shown(row: Annotation) -> list[RenderedExample]:
    shown = [
        RenderedExample(*span, FOUND, FOUND)
        for span in set(row.gold) & set(row.predicted)
    ]
    for kind, gold, predicted in find_mistakes(row.gold, row.predicted):
        if gold is not None:
            shown.append(RenderedExample(*gold, MISSED, kind))
        if predicted is not None:
            shown.append(RenderedExample(*predicted, INVENTED, kind))
    return shown


def _passage(
    text: str, spans: list[RenderedExample], kind: str
) -> tuple[str, list[RenderedExample]]:
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


def _marked(text: str, spans: list[RenderedExample]) -> str:
    """A text with nested boxes. Missed and invented spans may cross: then the found
    and the shorter ones are drawn, and the others named below."""
    ranked = sorted(spans, key=lambda s: (s.side != FOUND, s.end - s.start, s))
    drawn: list[RenderedExample] = []
    named: list[RenderedExample] = []
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


def _nested(text: str, start: int, end: int, spans: list[RenderedExample]) -> str:
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


def _what(span: RenderedExample) -> str:
    if span.kind in (FOUND, MISSED, INVENTED):
        return span.kind
    side = "reference" if span.side == MISSED else "predicted"
    return f"{span.kind.replace('_', ' ')} error: {side}"


def _char(span: RenderedExample) -> CharSpan:
    return CharSpan(*span[:3])


# Read by both a light and a dark page.
GREY = "#808890"


def curve_plot(curve: Sequence[dict[str, float]]) -> str:
    """Precision over recall, along `min_score`.

    curve (Sequence[Dict[str, float]]): What `threshold_curve` gave.
    RETURNS (str): An SVG element.
    """
    figure, axes = _axes("recall", "precision")
    axes.plot([p["r"] for p in curve], [p["p"] for p in curve], color="#3b7dd8")
    best = max(curve, key=lambda point: point["f"], default=None)
    if best is not None:
        axes.plot([best["r"]], [best["p"]], "o", color="#d8663b")
        label = f"min_score {best['min_score']:.2f}: F {100 * best['f']:.1f}"
        axes.annotate(
            label,
            (best["r"], best["p"]),
            xytext=(-8, -14),
            textcoords="offset points",
            ha="right",
            color=GREY,
            fontsize=8,
        )
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    return _svg(figure)


def reliability_plot(calibration: dict[str, Any]) -> str:
    """The share of right spans over their score, in bins, and how many spans a bin has.

    calibration (Dict[str, Any]): What `calibration` gave.
    RETURNS (str): An SVG element.
    """
    figure, axes = _axes("score", "share of right spans")
    axes.plot([0, 1], [0, 1], "--", color=GREY, lw=1, label="perfectly calibrated")
    width = calibration["equal_width"]
    axes.bar(
        [(row["low"] + row["high"]) / 2 for row in width],
        [row["spans"] / calibration["spans"] for row in width],
        width=0.09,
        color=GREY,
        alpha=0.25,
        label="share of the spans",
    )
    for key, color, name in (
        ("equal_width", "#3b7dd8", "bins of equal width"),
        ("equal_mass", "#d8663b", "bins of equal mass"),
    ):
        rows = calibration[key]
        axes.plot(
            [row["score"] for row in rows],
            [row["right"] for row in rows],
            "-o",
            color=color,
            ms=3,
            lw=1,
            label=name,
        )
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.legend(fontsize=8, labelcolor=GREY, framealpha=0)
    return _svg(figure)


def training_plot(log: Sequence[dict[str, Any]]) -> str:
    """Loss and score over the steps of a training run.

    log (Sequence[Dict[str, Any]]): Rows with `step`, `losses` and `score`.
    RETURNS (str): An SVG element.
    """
    figure, axes = _axes("step", "loss since the last evaluation")
    rows = [row for row in log if row["step"] > 0]
    losses = [sum(row["losses"].values()) for row in rows]
    axes.plot([row["step"] for row in rows], losses, "-o", color="#d8663b", ms=3)
    axes.yaxis.label.set_color("#d8663b")
    scored = [row for row in log if row.get("score") is not None]
    other = axes.twinx()
    other.plot(
        [row["step"] for row in scored],
        [row["score"] for row in scored],
        "-o",
        color="#3b7dd8",
        ms=3,
    )
    other.set_ylim(0, 1.02)
    other.set_ylabel("score on dev", color="#3b7dd8")
    _grey(other)
    return _svg(figure)


def _axes(x: str, y: str) -> tuple[Any, Any]:
    # Not pyplot: it keeps figures and looks for a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x, color=GREY)
    axes.set_ylabel(y, color=GREY)
    axes.grid(alpha=0.25)
    _grey(axes)
    return figure, axes


def _grey(axes: Any) -> None:
    axes.tick_params(colors=GREY)
    axes.patch.set_alpha(0)
    for spine in axes.spines.values():
        spine.set_color(GREY)


def _svg(figure: Any) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()
    # The prologue and the metadata name addresses; the element alone needs none.
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return svg


def write_report(
    folder: Path, output: Path, training_log: Path | None = None
) -> list[str]:
    """Write the report. It stands alone: no outside link, no script.

    folder (Path): Holds `NAME.json` and `NAME.spans.jsonl` of each evaluation, and
        the JSON files of comparisons, if there are any.
    output (Path): The HTML file.
    training_log (Optional[Path]): The `training_log.jsonl` of the run.
    RETURNS (List[str]): The names of the evaluations in it.
    RAISES (ValueError): The folder holds no evaluation, or a damaged one.
    """
    from jinja2 import Environment, PackageLoader

    from ..io import replaced_file

    found = {path: _read(path) for path in sorted(folder.glob("*.json"))}
    comparisons = [
        _comparison(path, result)
        for path, result in found.items()
        if is_comparison(result)
    ]
    sections = [
        _section(path, result)
        for path, result in found.items()
        if not is_comparison(result)
    ]
    if not sections:
        raise ValueError(Errors.G604.format(folder=folder))
    log = [] if training_log is None else list(_rows(training_log))
    plot = _training_plot(log, training_log) if log else ""
    environment = Environment(
        loader=PackageLoader("spacy_genner.evaluation"), autoescape=True
    )
    page = environment.get_template("report.html.jinja").render(
        sections=sections, comparisons=comparisons, training=plot, log=log
    )
    with replaced_file(output) as fresh:
        fresh.write_text(page, encoding="utf8")
    return [section["name"] for section in sections]


def _read(path: Path) -> Any:
    try:
        return parse_json(path.read_text(encoding="utf8"))
    except ValueError as err:
        raise ValueError(Errors.G605.format(path=path, reason=repr(err))) from err


def _section(path: Path, result: Any) -> dict[str, Any]:
    spans = path.with_suffix(SUFFIX)
    rows = list(read_annotations(spans)) if spans.is_file() else []
    try:
        # What the page shows as it is.
        for key in ("statuses", "documents", "predicted", "unaligned_gold"):
            result[key]
        for key in ("low", "high", "samples", "seed"):
            result["interval"][key]
        calibration = result.get("calibration")
        return {
            "name": path.stem,
            "result": result,
            "structures": structure_rows(result),
            "labels": list(result["per_type"].items()),
            "breakdowns": breakdown_rows(result),
            "curve": curve_plot(result["threshold_curve"]),
            "reliability": reliability_plot(calibration) if calibration else "",
            "examples": error_examples(rows),
            "issues": [(row.text, issue) for row in rows for issue in row.issues][:20],
        }
    except (AttributeError, KeyError, TypeError) as err:
        raise ValueError(Errors.G605.format(path=path, reason=repr(err))) from err


def _comparison(path: Path, result: Any) -> tuple[str, str]:
    try:
        return path.stem, format_comparison(result)
    except (KeyError, TypeError, ValueError) as err:
        raise ValueError(Errors.G605.format(path=path, reason=repr(err))) from err


def _training_plot(log: list[dict[str, Any]], path: Path | None) -> str:
    try:
        return training_plot(log)
    except (AttributeError, KeyError, TypeError) as err:
        raise ValueError(Errors.G607.format(path=path, reason=repr(err))) from err


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise ValueError(Errors.G606.format(path=path))
    for number, line in numbered_lines(path):
        try:
            yield parse_json(line)
        except ValueError as err:
            reason = f"line {number}: {err}"
            raise ValueError(Errors.G605.format(path=path, reason=reason)) from err
