"""One HTML file on a folder of evaluations."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import Errors
from ..storage.json_values import parse_json
from ..storage.lines import numbered_lines
from .annotation import SUFFIX, read_annotations
from .compare import format_comparison, is_comparison
from .examples import error_examples
from .plots import curve_plot, reliability_plot, training_plot
from .table import breakdown_rows, structure_rows


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

    from ..storage.files import replaced_file

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
