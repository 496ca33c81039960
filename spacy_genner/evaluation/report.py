"""The HTML report: scores, plots and all examples in one self-contained file.

The tables and plots are a part of the page. The examples are embedded as JSON, and a
script draws those that the reader asks for. A content security policy allows that
script alone, and no request.
"""

import base64
import hashlib
import json
import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Errors
from ..formats import CharSpan
from ..io import numbered_lines, parse_json, replaced_file
from .breakdowns import ERROR_KINDS, INVENTED, MISSED, confusion, find_errors
from .plots import (
    curve_plot,
    interval_plot,
    label_plot,
    loss_plot,
    reliability_plot,
    score_plot,
)
from .records import (
    SPANS_SUFFIX,
    Annotation,
    read_annotations,
    read_result,
    refuse_damaged,
)
from .scores import document_counts, percent
from .significance import is_comparison, paired_bootstrap
from .tables import breakdown_rows, format_p, structure_rows

# The kind of a correct span, besides the kinds of errors.
CORRECT = "correct"
KINDS = (CORRECT, *ERROR_KINDS)
# What the report calls the kinds.
KIND_NAMES = {
    CORRECT: "correct",
    "label": "label",
    "boundary": "boundary",
    "boundary_and_label": "boundary and label",
    MISSED: "missed",
    INVENTED: "spurious",
}
KIND_TITLES = {
    CORRECT: "range and label are right",
    "label": "right range, wrong label",
    "boundary": "right label, overlapping range",
    "boundary_and_label": "wrong label, overlapping range",
    MISSED: "a gold span without a prediction",
    INVENTED: "a prediction without a gold span",
}
# The number of draws of the tests between runs.
SAMPLES = 1000
MAX_ISSUES = 200
# A document is cut into passages of about this many characters, at line breaks or ends
# of sentences, so that an example fits on the screen.
PASSAGE = 320
_LINES = re.compile(r"\n+")
_SENTENCES = re.compile(r"(?:[.!?]['\")\]»”’]*\s+|[。！？]|\n+)")
# Labels of a plot.
MAX_PLOT_LABELS = 40


def write_report(
    folder: Path, output: Path, training_log: Path | None = None
) -> list[str]:
    """Write the report, without external links and requests.

    folder (Path): The folder with `NAME.json` and `NAME.spans.jsonl` of each
        evaluation, and optionally the JSON files of comparisons.
    output (Path): The HTML file.
    training_log (Path | None): The `training_log.jsonl` of the training run. The losses
        of single steps are read from `training_steps.jsonl` beside it, if it exists.
    RETURNS (list[str]): The names of the evaluations in the report.
    RAISES (ValueError): The folder has no evaluation, or a file is damaged.
    """
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    results = {path: read_result(path) for path in sorted(folder.glob("*.json"))}
    strings = _StringTable()
    runs = [
        _make_run(path, result, strings)
        for path, result in results.items()
        if not is_comparison(result)
    ]
    if not runs:
        raise ValueError(Errors.G604.format(folder=folder))
    comparisons = [
        _read_comparison(path, result)
        for path, result in results.items()
        if is_comparison(result)
    ]
    training = None if training_log is None else _read_training(training_log)
    embedded = {
        "kinds": KINDS,
        "names": [KIND_NAMES[kind] for kind in KINDS],
        "strings": strings.strings,
        "runs": [run.pop("embedded") for run in runs],
        "comparisons": [{"name": c["name"], **c["result"]} for c in comparisons],
        "training": training["rows"] if training else [],
    }
    source = files("spacy_genner.evaluation") / "templates"
    script = (source / "report.js").read_text(encoding="utf8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf8")).digest())
    environment = Environment(
        loader=PackageLoader("spacy_genner.evaluation"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "number": _format_number,
        "speed": _format_speed,
    }
    page = environment.get_template("report.html.jinja").render(
        runs=runs,
        comparisons=comparisons,
        comparison=_compare_runs(runs),
        training=training,
        kinds=[(kind, KIND_NAMES[kind], KIND_TITLES[kind]) for kind in KINDS],
        style=Markup((source / "report.css").read_text(encoding="utf8")),
        script=Markup(script),
        digest=digest.decode("ascii"),
        data=Markup(_script_json(embedded)),
    )
    with replaced_file(output) as fresh:
        # JSON escapes can express lone surrogates, and UTF-8 can't.
        fresh.write_text(page, encoding="utf8", errors="replace")
    return [run["name"] for run in runs]


def _script_json(value: Any) -> str:
    """JSON for a script element: no text in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _format_number(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}"


def _format_speed(value: float) -> str:
    """At least two digits that mean something."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


class _StringTable:
    """Stores each string once: runs over the same documents share their texts."""

    def __init__(self) -> None:
        self.strings: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        if text not in self._places:
            self._places[text] = len(self.strings)
            self.strings.append(text)
        return self._places[text]


# One evaluation


def _make_run(path: Path, result: Any, strings: _StringTable) -> dict[str, Any]:
    """What the template shows of an evaluation, with the `embedded` data of the
    script."""
    spans_file = path.with_suffix(SPANS_SUFFIX)
    rows = list(read_annotations(spans_file)) if spans_file.is_file() else []
    with refuse_damaged(path):
        # The template reads these directly.
        for key in ("statuses", "documents", "predicted", "unaligned_gold"):
            result[key]
        for key in ("low", "high", "samples", "seed"):
            result["interval"][key]
        calibration = result.get("calibration")
        matrix = result.get("confusion")
        if matrix is None and rows:
            matrix = confusion([r.gold for r in rows], [r.predicted for r in rows])
        min_score = result.get("pipeline", {}).get("min_score")
        issues = [
            (number, row.text, issue)
            for number, row in enumerate(rows, 1)
            for issue in row.issues
        ]
        labels = sorted(
            set(result["per_type"])
            | {span.label for row in rows for span in (*row.gold, *row.predicted)}
        )
        passages = [*_embed_passages(rows, labels, strings)]
        curve = result["threshold_curve"]
        return {
            "name": path.stem,
            "result": result,
            "card": list(_card(result)),
            "structures": structure_rows(result),
            "labels": list(result["per_type"].items()),
            "breakdowns": breakdown_rows(result),
            "curve": curve_plot(curve, min_score) if curve else "",
            "reliability": reliability_plot(calibration) if calibration else "",
            "confusion": _matrix_rows(matrix) if matrix else None,
            "issues": issues[:MAX_ISSUES],
            "issue_count": len(issues),
            "examples": len(passages),
            "scored": bool(calibration),
            "counts": [document_counts(row.gold, row.predicted) for row in rows],
            "gold": [(row.text, sorted(set(row.gold))) for row in rows],
            "embedded": {
                "name": path.stem,
                "labels": labels,
                "scored": bool(calibration),
                "passages": passages,
                "result": result,
            },
        }


def _card(result: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The card of an evaluation: groups of names and values. Evaluations of earlier
    versions only have the numbers of documents and spans."""
    pipeline, data = result.get("pipeline", {}), result.get("data", {})
    run = result.get("run", {})
    yield "Model", [*_model_card(pipeline)]
    yield "Data", [*_data_card(result, data)]
    yield "Run", [*_run_card(run)]


def _model_card(pipeline: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not pipeline:
        return
    yield "Pipeline", str(pipeline["name"])
    if "base" in pipeline:
        revision = (
            f", revision {pipeline['revision']}" if "revision" in pipeline else ""
        )
        yield "Base", f"{pipeline['base']}{revision}"
    adapter = pipeline.get("adapter")
    if adapter:
        parts = [f"LoRA, rank {adapter.get('rank')}, alpha {adapter.get('alpha')}"]
        modules = adapter.get("target_modules")
        if modules:
            shown = modules if isinstance(modules, str) else ", ".join(modules)
            parts.append(shown)
        if "bytes" in adapter:
            parts.append(f"{adapter['bytes'] / 1e6:.1f} MB")
        yield "Adapter", ", ".join(parts)
    if "format" in pipeline:
        yield "Output format", str(pipeline["format"])
    if "min_score" in pipeline:
        yield "min_score", f"{pipeline['min_score']:g}"
    if "labels" in pipeline:
        labels = pipeline["labels"]
        yield f"Labels ({len(labels)})", ", ".join(map(str, labels))
    training = pipeline.get("training")
    if training:
        yield from _trained(training)


def _trained(training: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, title in (("train", "Training data"), ("dev", "Dev data")):
        data = training.get(name)
        if data:
            spans = sum(data.get("labels", {}).values())
            text = f"{data['documents']:,} documents, {data['words']:,} tokens"
            yield title, f"{text}, {spans:,} spans" if spans else text
    parts = []
    if "step" in training:
        parts.append(f"{training['step']:,} steps")
    if "epoch" in training:
        parts.append(f"epoch {training['epoch'] + 1}")
    if training.get("seed") is not None:
        parts.append(f"seed {training['seed']}")
    if parts:
        yield "Trained", ", ".join(parts)


def _data_card(
    result: Mapping[str, Any], data: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    if "file" in data:
        yield "File", str(data["file"])
    yield "Documents", f"{result['documents']:,}"
    if "tokens" in data:
        yield "Tokens", f"{data['tokens']:,}"
    nested = result.get("nested_gold")
    text = f"{result['gold']:,}"
    yield "Gold spans", f"{text}, {nested:,} of them nested" if nested else text
    if result["unaligned_gold"]:
        yield "Off the token grid", f"{result['unaligned_gold']:,} (count as missed)"
    statuses = ", ".join(f"{name} {n:,}" for name, n in result["statuses"].items())
    yield "Statuses", statuses


def _run_card(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not run:
        return
    yield "Date", str(run["date"]).replace("T", " ").replace("+00:00", " UTC")
    yield (
        "Speed",
        f"{_format_speed(run['documents_per_second'])} documents/s, "
        f"{_format_speed(run['tokens_per_second'])} tokens/s",
    )
    yield "Time", f"{run['seconds']:,.1f} s, without loading"
    threads = f", {run['threads']} threads" if run["device"] == "cpu" else ""
    yield "Device", f"{run['device']}{threads}"
    versions = {name.replace("_", "-"): v for name, v in run["versions"].items()}
    yield "Software", ", ".join(f"{name} {v}" for name, v in versions.items())


class MatrixRow(NamedTuple):
    """A row of the confusion matrix.

    label (str): The gold label. Empty for predictions without a gold span.
    kind (str): "gold", "boundary" or "invented".
    cells (list[tuple[str, str, int, float]]): For each column the gold label, the
        predicted label, the number of spans and their share of the row.
    total (int): The number of spans of the row.
    """

    label: str
    kind: str
    cells: list[tuple[str, str, int, float]]
    total: int


def _matrix_rows(matrix: Mapping[str, Any]) -> dict[str, Any]:
    labels = matrix["labels"]
    rows = []
    for index, label in enumerate(labels):
        counts = [
            *matrix["matrix"][index],
            matrix["boundary"][index],
            matrix[MISSED][index],
        ]
        rows.append(_matrix_row(label, "gold", [label] * len(counts), labels, counts))
    spurious = [*matrix[INVENTED], None, None]
    rows.append(_matrix_row("", INVENTED, [""] * len(spurious), labels, spurious))
    totals = [
        sum(row[index] for row in matrix["matrix"])
        + matrix["boundary"][index]
        + matrix[INVENTED][index]
        for index in range(len(labels))
    ]
    return {"labels": labels, "rows": rows, "totals": totals}


def _matrix_row(
    label: str,
    kind: str,
    gold: Sequence[str],
    labels: Sequence[str],
    counts: Sequence[int | None],
) -> MatrixRow:
    total = sum(count or 0 for count in counts)
    columns = [*labels, "boundary", MISSED]
    cells = [
        (row, column, -1 if count is None else count, (count or 0) / max(1, total))
        for row, column, count in zip(gold, columns, counts, strict=True)
    ]
    return MatrixRow(label, kind, cells, total)


# Examples


class Mark(NamedTuple):
    """A correct span, or an error.

    kind (str): "correct", or the kind of the error.
    gold (CharSpan | None): The gold span. None for an invented span.
    predicted (CharSpan | None): The predicted span. None for a missed span.
    """

    kind: str
    gold: CharSpan | None
    predicted: CharSpan | None

    @property
    def start(self) -> int:
        """RETURNS (int): The first character of its spans."""
        return min(span.start for span in (self.gold, self.predicted) if span)

    @property
    def end(self) -> int:
        """RETURNS (int): The end of its spans, exclusive."""
        return max(span.end for span in (self.gold, self.predicted) if span)


def find_marks(row: Annotation) -> list[Mark]:
    """Get the correct spans and the errors of a document. Each distinct span is a part
    of one.

    row (Annotation): The document.
    RETURNS (list[Mark]): The marks, by position.
    """
    marks = [Mark(CORRECT, span, span) for span in set(row.gold) & set(row.predicted)]
    marks += [Mark(*error) for error in find_errors(row.gold, row.predicted)]
    return sorted(marks, key=lambda mark: (mark.start, -mark.end, mark.kind))


def cut_passages(
    text: str, spans: Iterable[tuple[int, int]], size: int = PASSAGE
) -> list[tuple[int, int]]:
    """Cut a text into passages, at line breaks and in long lines at the ends of
    sentences, never within a span.

    text (str): The text.
    spans (Iterable[tuple[int, int]]): The starts and ends of the spans.
    size (int): The number of characters to which short lines are joined.
    RETURNS (list[tuple[int, int]]): The starts and ends of the passages, without white
        space at their ends. Passages without text are left out.
    """
    pattern = _SENTENCES if len(text) > size else _LINES
    # The end of the spans that start before a place, by place.
    reach = sorted((start, end) for start, end in spans if start < end)
    cuts, covered, index, begin = [0], 0, 0, 0
    places = [match.end() for match in pattern.finditer(text)]
    lines = {match.end() for match in _LINES.finditer(text)}
    for number, place in enumerate(places):
        while index < len(reach) and reach[index][0] < place:
            covered = max(covered, reach[index][1])
            index += 1
        if covered > place:
            continue
        following = places[number + 1] if number + 1 < len(places) else len(text)
        # A line is kept whole if it fits.
        enough = following - begin > size or (
            place in lines and place - begin > size / 2
        )
        if enough:
            cuts.append(place)
            begin = place
    cuts.append(len(text))
    passages = []
    for start, end in zip(cuts, cuts[1:], strict=False):
        part = text[start:end]
        if part.strip():
            # Spans may start or end with white space.
            inside = reach[bisect_left(reach, (start,)) : bisect_left(reach, (end,))]
            first = inside[0][0] if inside else end
            last = max((stop for _, stop in inside), default=start)
            left = min(start + len(part) - len(part.lstrip()), first)
            right = max(start + len(part.rstrip()), last)
            passages.append((left, right))
    return passages


def _embed_passages(
    rows: Sequence[Annotation], labels: Sequence[str], strings: _StringTable
) -> Iterator[list[Any]]:
    """The passages for the script: number of the document, offset in it, text, status,
    and the marks as kind, gold span, predicted span. Offsets are in code points."""
    number_of = {label: index for index, label in enumerate(labels)}
    for number, row in enumerate(rows, 1):
        scores = dict(zip(row.predicted, row.scores, strict=True))
        marks = find_marks(row)
        cuts = cut_passages(row.text, [(mark.start, mark.end) for mark in marks])
        if not cuts:
            cuts = [(0, len(row.text))]
        grouped: list[list[Mark]] = [[] for _ in cuts]
        place = 0
        for mark in marks:
            while place + 1 < len(cuts) and mark.start >= cuts[place + 1][0]:
                place += 1
            grouped[place].append(mark)
        for (start, end), found in zip(cuts, grouped, strict=True):
            embedded = []
            for mark in found:
                gold = mark.gold and _shift(mark.gold, start, number_of)
                predicted = mark.predicted and [
                    *_shift(mark.predicted, start, number_of),
                    round(scores[mark.predicted], 4),
                ]
                embedded.append([KINDS.index(mark.kind), gold or 0, predicted or 0])
            text = strings.place(row.text[start:end])
            yield [number, start, text, row.status, embedded]


def _shift(span: CharSpan, start: int, number_of: Mapping[str, int]) -> list[int]:
    return [span.start - start, span.end - start, number_of[span.label]]


# Several evaluations


def _read_comparison(path: Path, result: Any) -> dict[str, Any]:
    with refuse_damaged(path):
        for key in ("p", "p_randomisation"):
            format_p(result[key], result["samples"])
        for key in ("difference", "low", "high"):
            percent(result[key], sign=True)
        for system in (result["first"], result["second"]):
            for key in ("micro_p", "micro_r", "micro_f"):
                percent(system[key])
        return {
            "name": path.stem,
            "result": result,
            "p": format_p(result["p"], result["samples"]),
            "p_randomisation": format_p(result["p_randomisation"], result["samples"]),
        }


def _compare_runs(runs: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The comparison of all runs, by descending F1. Runs over the same documents are
    tested against the best of them."""
    if len(runs) < 2:
        return None
    ordered = sorted(runs, key=lambda run: -run["result"]["micro_f"])
    data_names: dict[str, int] = {}
    rows = []
    best: dict[str, dict[str, Any]] = {}
    for run in ordered:
        identity = _data_identity(run)
        data_names.setdefault(identity, len(data_names) + 1)
        row = {"run": run, "data": data_names[identity]}
        rival = best.setdefault(identity, run)
        if rival is not run and run["counts"]:
            found = paired_bootstrap(run["counts"], rival["counts"], SAMPLES)
            row["test"] = {
                **found,
                "p_text": format_p(found["p"], SAMPLES),
                "rival": rival["name"],
            }
        rows.append(row)
    results = [(run["name"], run["result"]) for run in ordered]
    intervals = [
        (name, r["micro_f"], r["interval"]["low"], r["interval"]["high"])
        for name, r in results
    ]
    labels = sorted({label for _, r in results for label in r["per_type"]})
    label_rows = [
        (name, [r["per_type"].get(label, {}).get("f") for label in labels])
        for name, r in results
    ]
    by_label = ""
    if 1 < len(labels) <= MAX_PLOT_LABELS and len(runs) <= 6:
        by_label = label_plot("F1 of each label, by run", labels, label_rows)
    return {
        "rows": rows,
        "data_sets": len(data_names),
        "plot": interval_plot("F1 with 95 % interval, by run", intervals),
        "by_label": by_label,
        "names": [name for name, _ in results],
    }


def _data_identity(run: Mapping[str, Any]) -> str:
    """The same for runs over the same documents with the same gold spans."""
    if run["gold"]:
        return hashlib.sha256(json.dumps(run["gold"]).encode("utf8")).hexdigest()
    # Without the documents nothing is known to be the same.
    return run["name"]


# Training


def _read_training(path: Path) -> dict[str, Any]:
    from ..training.logger import STEPS_FILE

    if not path.is_file():
        raise ValueError(Errors.G606.format(path=path))
    rows = list(_read_log(path))
    steps_file = path.with_name(STEPS_FILE)
    steps = list(_read_log(steps_file)) if steps_file.is_file() else []
    try:
        return _training_section(rows, steps)
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise ValueError(Errors.G607.format(path=path, reason=repr(err))) from err


def _read_log(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in numbered_lines(path):
        try:
            yield parse_json(line)
        except ValueError as err:
            reason = f"line {number}: {err}"
            raise ValueError(Errors.G605.format(path=path, reason=reason)) from err


def _training_section(
    rows: list[dict[str, Any]], steps: list[dict[str, Any]]
) -> dict[str, Any]:
    table = []
    previous = -1
    for row in rows:
        step, loss = int(row["step"]), _total_loss(row["losses"])
        # A row has the sum of the losses since the row before it.
        updates = max(1, step - previous)
        mean = None if loss is None else loss / updates
        score = row.get("score")
        table.append({**row, "step": step, "loss": mean, "score": score})
        previous = step
    losses = [(int(row["step"]), _total_loss(row["losses"])) for row in steps]
    per_step = len(losses) > 1
    if not per_step:
        losses = [(row["step"], row["loss"]) for row in table if row["step"] > 0]
    known = [(step, loss) for step, loss in losses if loss is not None]
    scores = [(r["step"], float(r["score"])) for r in table if r["score"] is not None]
    return {
        "rows": [
            {key: row[key] for key in row if key != "other_scores"} for row in table
        ],
        "loss": loss_plot(known, per_step) if known else "",
        "per_step": per_step,
        "scores": score_plot(scores) if scores else "",
    }


def _total_loss(losses: Mapping[str, float | None]) -> float | None:
    """The sum of the losses of all components; None if one is not finite."""
    values = list(losses.values())
    if any(value is None or not math.isfinite(value) for value in values):
        return None
    return float(sum(value for value in values if value is not None))
