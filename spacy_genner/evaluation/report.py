"""The HTML report: tables, plots and examples of errors in one self-contained file."""

import html
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Errors
from ..formats import CharSpan, drop_crossing
from ..io import numbered_lines, parse_json, replaced_file
from .breakdowns import ERROR_KINDS, INVENTED, MISSED, find_errors
from .records import (
    SPANS_SUFFIX,
    Annotation,
    read_annotations,
    read_result,
    refuse_damaged,
)
from .scores import percent
from .significance import is_comparison
from .tables import breakdown_rows, format_comparison, structure_rows

# The kind and side of a correct span, besides the kinds of errors.
FOUND = "found"
TITLES = {
    "label": "Label errors: correct range, different label",
    "boundary": "Boundary errors: correct label, overlapping ranges",
    "boundary_and_label": "Boundary and label errors: overlapping ranges",
    "missed": "Missed: no wrong prediction is paired with the span",
    "invented": "Invented: no missed span is paired with the prediction",
}
MAX_ISSUES = 20
# Longer texts are cut to a passage around the first error of the kind shown.
MAX_EXAMPLE_CHARS = 400
CHARS_BEFORE, CHARS_AFTER = 60, 340

# Readable on light and dark pages.
GREY, BLUE, ORANGE = "#808890", "#3b7dd8", "#d8663b"


def write_report(
    folder: Path, output: Path, training_log: Path | None = None
) -> list[str]:
    """Write the report, without external links and scripts.

    folder (Path): The folder with `NAME.json` and `NAME.spans.jsonl` of each
        evaluation, and optionally the JSON files of comparisons.
    output (Path): The HTML file.
    training_log (Path | None): The `training_log.jsonl` of the training run.
    RETURNS (list[str]): The names of the evaluations in the report.
    RAISES (ValueError): The folder has no evaluation, or a file is damaged.
    """
    from jinja2 import Environment, PackageLoader

    results = {path: read_result(path) for path in sorted(folder.glob("*.json"))}
    comparisons = [
        _comparison(path, result)
        for path, result in results.items()
        if is_comparison(result)
    ]
    sections = [
        _section(path, result)
        for path, result in results.items()
        if not is_comparison(result)
    ]
    if not sections:
        raise ValueError(Errors.G604.format(folder=folder))
    log = [] if training_log is None else list(_read_log(training_log))
    plot = _training_plot(log, training_log) if log else ""
    environment = Environment(
        loader=PackageLoader("spacy_genner.evaluation"), autoescape=True
    )
    environment.filters["percent"] = percent
    page = environment.get_template("report.html.jinja").render(
        sections=sections, comparisons=comparisons, training=plot, log=log
    )
    with replaced_file(output) as fresh:
        fresh.write_text(page, encoding="utf8")
    return [section["name"] for section in sections]


def _section(path: Path, result: Any) -> dict[str, Any]:
    spans_file = path.with_suffix(SPANS_SUFFIX)
    rows = list(read_annotations(spans_file)) if spans_file.is_file() else []
    issues = [(row.text, issue) for row in rows for issue in row.issues]
    with refuse_damaged(path):
        # The template reads these directly.
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
            "issues": issues[:MAX_ISSUES],
        }


def _comparison(path: Path, result: Any) -> tuple[str, str]:
    with refuse_damaged(path):
        return path.stem, format_comparison(result)


def _read_log(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise ValueError(Errors.G606.format(path=path))
    for number, line in numbered_lines(path):
        try:
            yield parse_json(line)
        except ValueError as err:
            reason = f"line {number}: {err}"
            raise ValueError(Errors.G605.format(path=path, reason=reason)) from err


def _training_plot(log: list[dict[str, Any]], path: Path | None) -> str:
    try:
        return training_plot(log)
    except (AttributeError, KeyError, TypeError) as err:
        raise ValueError(Errors.G607.format(path=path, reason=repr(err))) from err


class ExampleSpan(NamedTuple):
    """A span that is marked in an example.

    start (int): The start, in characters.
    end (int): The end, exclusive.
    label (str): The label.
    side (str): "found", "missed" (a gold span) or "invented" (a predicted span).
    kind (str): The kind of its error; "found" if it is correct.
    """

    start: int
    end: int
    label: str
    side: str
    kind: str


class ErrorGroup(NamedTuple):
    """Examples of one kind of error.

    kind (str): The kind.
    title (str): Its title.
    documents (int): The number of documents with such an error.
    examples (list[str]): Passages as HTML.
    """

    kind: str
    title: str
    documents: int
    examples: list[str]


def error_examples(rows: Sequence[Annotation], most: int = 10) -> list[ErrorGroup]:
    """Select passages with errors of each kind, spread evenly over the documents.

    rows (Sequence[Annotation]): The documents.
    most (int): The maximum number of passages of each kind.
    RETURNS (list[ErrorGroup]): The kinds that occur.
    """
    affected: dict[str, list[tuple[str, list[ExampleSpan]]]] = {
        kind: [] for kind in ERROR_KINDS
    }
    for row in rows:
        spans = _marked_spans(row)
        for kind in {span.kind for span in spans} - {FOUND}:
            affected[kind].append((row.text, spans))
    groups = []
    for kind, documents in affected.items():
        step = max(1, len(documents) // most)
        examples = [
            _example_html(*_cut_passage(text, spans, kind))
            for text, spans in documents[::step][:most]
        ]
        if examples:
            groups.append(ErrorGroup(kind, TITLES[kind], len(documents), examples))
    return groups


def _marked_spans(row: Annotation) -> list[ExampleSpan]:
    spans = [
        ExampleSpan(*span, FOUND, FOUND) for span in set(row.gold) & set(row.predicted)
    ]
    for kind, gold, predicted in find_errors(row.gold, row.predicted):
        if gold is not None:
            spans.append(ExampleSpan(*gold, MISSED, kind))
        if predicted is not None:
            spans.append(ExampleSpan(*predicted, INVENTED, kind))
    return spans


def _cut_passage(
    text: str, spans: list[ExampleSpan], kind: str
) -> tuple[str, list[ExampleSpan]]:
    """Cut a long text to a passage around its first error of a kind."""
    if len(text) <= MAX_EXAMPLE_CHARS:
        return text, spans
    first = min(span.start for span in spans if span.kind == kind)
    start, end = max(0, first - CHARS_BEFORE), min(len(text), first + CHARS_AFTER)
    inside = [span for span in spans if start <= span.start and span.end <= end]
    moved = [
        span._replace(start=span.start - start, end=span.end - start) for span in inside
    ]
    return text[start:end], moved


def _example_html(text: str, spans: list[ExampleSpan]) -> str:
    """Mark spans by nested boxes. Of missed and invented spans that cross, the shorter
    one is drawn, and the other one is listed below the text."""
    ranked = sorted(spans, key=lambda s: (s.side != FOUND, s.end - s.start, s))
    drawn: list[ExampleSpan] = []
    listed: list[ExampleSpan] = []
    for span in ranked:
        crosses = any(
            len(drop_crossing([CharSpan(*span[:3]), CharSpan(*other[:3])])[1])
            for other in drawn
        )
        (listed if crosses else drawn).append(span)
    drawn.sort(key=lambda s: (s.start, -s.end, s.side != FOUND))
    body = _nested_html(text, 0, len(text), drawn)
    for span in listed:
        inside = html.escape(text[span.start : span.end])
        body += f'<br><small>{_describe(span)}: <b class="{span.side}">{inside}'
        body += f"<i>{html.escape(span.label)}</i></b></small>"
    return body


def _nested_html(text: str, start: int, end: int, spans: list[ExampleSpan]) -> str:
    """The text from start to end, with boxes around the spans in it."""
    out, at, index = [], start, 0
    while index < len(spans):
        span = spans[index]
        inner = []
        index += 1
        while index < len(spans) and spans[index].end <= span.end:
            inner.append(spans[index])
            index += 1
        out.append(html.escape(text[at : span.start]))
        body = _nested_html(text, span.start, span.end, inner)
        title, label = _describe(span), html.escape(span.label)
        out.append(f'<b class="{span.side}" title="{title}">{body}<i>{label}</i></b>')
        at = span.end
    return "".join([*out, html.escape(text[at:end])])


def _describe(span: ExampleSpan) -> str:
    if span.kind in (FOUND, MISSED, INVENTED):
        return span.kind
    side = "reference" if span.side == MISSED else "predicted"
    return f"{span.kind.replace('_', ' ')} error: {side}"


def curve_plot(curve: Sequence[dict[str, float]]) -> str:
    """Plot precision over recall for increasing `min_score`.

    curve (Sequence[dict[str, float]]): The result of `threshold_curve`.
    RETURNS (str): An SVG element.
    """
    figure, axes = _make_axes("recall", "precision")
    axes.plot([p["r"] for p in curve], [p["p"] for p in curve], color=BLUE)
    best = max(curve, key=lambda point: point["f"], default=None)
    if best is not None:
        axes.plot([best["r"]], [best["p"]], "o", color=ORANGE)
        axes.annotate(
            f"min_score {best['min_score']:.2f}: F {percent(best['f'], 1)}",
            (best["r"], best["p"]),
            xytext=(-8, -14),
            textcoords="offset points",
            ha="right",
            color=GREY,
            fontsize=8,
        )
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    return _to_svg(figure)


def reliability_plot(calibration: dict[str, Any]) -> str:
    """Plot the share of correct spans over their score, in bins, and the share of the
    spans in each bin.

    calibration (dict[str, Any]): The result of `calibration`.
    RETURNS (str): An SVG element.
    """
    figure, axes = _make_axes("score", "share of correct spans")
    axes.plot([0, 1], [0, 1], "--", color=GREY, lw=1, label="perfectly calibrated")
    equal_width = calibration["equal_width"]
    axes.bar(
        [(row["low"] + row["high"]) / 2 for row in equal_width],
        [row["spans"] / calibration["spans"] for row in equal_width],
        width=0.09,
        color=GREY,
        alpha=0.25,
        label="share of the spans",
    )
    for key, color, name in (
        ("equal_width", BLUE, "bins of equal width"),
        ("equal_mass", ORANGE, "bins of equal mass"),
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
    return _to_svg(figure)


def training_plot(log: Sequence[dict[str, Any]]) -> str:
    """Plot the loss and the score over the steps of a training run.

    log (Sequence[dict[str, Any]]): Rows with `step`, `losses` and `score`.
    RETURNS (str): An SVG element.
    """
    figure, axes = _make_axes("step", "loss since the last evaluation")
    trained = [row for row in log if row["step"] > 0]
    losses = [sum(row["losses"].values()) for row in trained]
    axes.plot([row["step"] for row in trained], losses, "-o", color=ORANGE, ms=3)
    axes.yaxis.label.set_color(ORANGE)
    scored = [row for row in log if row.get("score") is not None]
    score_axes = axes.twinx()
    score_axes.plot(
        [row["step"] for row in scored],
        [row["score"] for row in scored],
        "-o",
        color=BLUE,
        ms=3,
    )
    score_axes.set_ylim(0, 1.02)
    score_axes.set_ylabel("score on dev", color=BLUE)
    _make_grey(score_axes)
    return _to_svg(figure)


def _make_axes(x_label: str, y_label: str) -> tuple[Any, Any]:
    # Not pyplot, which keeps figures in memory and looks for a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_label, color=GREY)
    axes.set_ylabel(y_label, color=GREY)
    axes.grid(alpha=0.25)
    _make_grey(axes)
    return figure, axes


def _make_grey(axes: Any) -> None:
    axes.tick_params(colors=GREY)
    axes.patch.set_alpha(0)
    for spine in axes.spines.values():
        spine.set_color(GREY)


def _to_svg(figure: Any) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    svg = out.getvalue()
    # The prologue and the metadata contain URLs, which the element does not need.
    svg = svg[svg.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
