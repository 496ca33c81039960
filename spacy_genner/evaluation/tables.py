"""Evaluations and comparisons as text and Markdown tables."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from wasabi import table

from ..errors import Errors
from .records import read_result, refuse_damaged
from .scores import percent
from .significance import is_comparison

# The name of a row, and its `p`, `r`, `f`, `gold` and `predicted`.
NamedScores = tuple[str, dict[str, float]]

HEADER = (
    "",
    "F1",
    "95 % interval",
    "P",
    "R",
    "nested F1",
    "nested R",
    "flat F1",
    "gold spans",
)
# Those that have no meaning if no reference has nested spans.
NESTING_COLUMNS = ("nested F1", "nested R", "flat F1")
# The columns of the key `grammar` of an evaluation: decoding under the grammar.
GRAMMAR_HEADER = ("well formed", "output tokens", "ms a document")
# The columns of the key `free`: decoding without the grammar.
FREE_HEADER = ("well formed, free", "F1, free")


def format_table(result: dict[str, Any]) -> str:
    """Format an evaluation for the terminal: a headline, then the scores of all spans,
    of nested and flat spans if the reference has nested ones, of each label, and of the
    breakdowns.

    result (dict[str, Any]): The result of `evaluate`.
    RETURNS (str): The text.
    """
    interval = result["interval"]
    headline = (
        f"micro-F1 {percent(result['micro_f'])} "
        f"(95 % interval {percent(interval['low'])} to {percent(interval['high'])}), "
        f"{result['correct']} of {result['gold']} spans found, "
        f"{result['predicted']} predicted"
    )
    body = table(
        [
            (name, *(percent(row[part]) for part in "prf"), row["gold"])
            for name, row in (
                *structure_rows(result),
                *result["per_type"].items(),
                *breakdown_rows(result),
            )
        ],
        header=("", "P", "R", "F", "gold"),
        divider=True,
        aligns=("l", "r", "r", "r", "r"),
    )
    return f"{headline}\n{body}" + "\n".join(_footer(result))


def structure_rows(result: dict[str, Any]) -> list[NamedScores]:
    """Get the scores of all spans and of nested and flat spans.

    result (dict[str, Any]): The result of `evaluate`.
    RETURNS (list[tuple[str, dict[str, float]]]): Names with `p`, `r`, `f` and `gold`,
        and with `predicted` if the evaluation has `by_structure`. If the reference has
        no nested spans, only the row of all spans.
    """
    gold, nested = result["gold"], result["nested_gold"]
    structures = result.get("by_structure", {})
    if not nested:
        every = {"gold": gold, **{part: result[f"micro_{part}"] for part in "prf"}}
        if structures:
            every["predicted"] = result["predicted"]
        return [("all", every)]
    rows: list[NamedScores] = [
        (name, {"gold": count, **{part: result[f"{key}_{part}"] for part in "prf"}})
        for name, key, count in (
            ("all", "micro", gold),
            ("nested", "nested", nested),
            ("flat", "flat", gold - nested),
        )
    ]
    if structures:
        predicted = {name: row["predicted"] for name, row in structures.items()}
        rows[0][1]["predicted"] = result["predicted"]
        rows[1][1]["predicted"] = predicted["nested"]
        rows[2][1]["predicted"] = predicted["containing"] + predicted["alone"]
    if _has_spans(structures.get("containing")):
        # The two classes that make up the flat spans.
        rows += [(f"- {name}", structures[name]) for name in ("containing", "alone")]
    return rows


def breakdown_rows(result: dict[str, Any]) -> list[NamedScores]:
    """Get the scores by depth, length and mention, and those of the study's scoring.

    result (dict[str, Any]): The result of `evaluate`.
    RETURNS (list[tuple[str, dict[str, float]]]): Names with `p`, `r`, `f` and `gold`.
        Classes without spans are omitted.
    """
    rows: list[NamedScores] = []
    depths = result.get("by_depth", {})
    # Depth 0 equals flat, and if no depth exceeds 1, depth 1 equals nested.
    if len(depths) > 2 and result["nested_gold"]:
        rows += [
            (f"depth {name}", row)
            for name, row in depths.items()
            if name != "0" and _has_spans(row)
        ]
    for key, prefix in (("by_length", "tokens"), ("by_mention", "mention")):
        rows += [
            (f"{prefix} {name.replace('_', ' ')}", row)
            for name, row in result.get(key, {}).items()
            if _has_spans(row)
        ]
    if result.get("study_by_text") or result.get("study_left_out"):
        study = {part: result[f"study_{part}"] for part in "prf"}
        rows.append(("study's scoring", {**study, "gold": result["gold"]}))
    return rows


def _has_spans(row: dict[str, float] | None) -> bool:
    return row is not None and bool(row["gold"] or row["predicted"])


def _footer(result: dict[str, Any]) -> Iterator[str]:
    statuses = ", ".join(f"{name} {n}" for name, n in result["statuses"].items())
    yield f"documents: {statuses}; gold off the token grid: {result['unaligned_gold']}"
    best = result.get("best_threshold")
    if best and best["f"]:
        # Rounded down, so that the span with this score is kept.
        min_score = math.floor(10_000 * best["min_score"]) / 10_000
        yield (
            f"best min_score on these documents: {min_score}, with "
            f"F1 {percent(best['f'])} (P {percent(best['p'])}, R {percent(best['r'])})"
        )
    errors = result.get("errors", {})
    if any(errors.values()):
        counts = (f"{name.replace('_', ' ')} {n}" for name, n in errors.items())
        yield f"errors: {', '.join(counts)}"
    found = result.get("calibration")
    if found:
        without = f", {found['left_out']} without" if found["left_out"] else ""
        yield (
            f"scores of {found['spans']} spans{without}: "
            f"mean {percent(found['mean_score'])}, "
            f"right {percent(found['precision'])}, "
            f"ECE {percent(found['ece'])}, Brier {found['brier']:.3f}"
        )
    before = result.get("uncalibrated")
    if before:
        yield (
            f"before calibration: mean {percent(before['mean_score'])}, "
            f"ECE {percent(before['ece'])}, Brier {before['brier']:.3f}"
        )


def format_comparison(result: dict[str, Any]) -> str:
    """Format a comparison for the terminal.

    result (dict[str, Any]): The result of `compare_files`.
    RETURNS (str): The scores of both systems, the difference with its interval, and the
        p-values.
    """
    systems = (result["first"], result["second"])
    width = max(len(system["name"]) for system in systems)
    lines = [
        f"{system['name']:{width}}  F1 {percent(system['micro_f'])}  "
        f"(P {percent(system['micro_p'])}, R {percent(system['micro_r'])}; "
        f"{system['correct']} of {result['gold']} spans found, "
        f"{system['predicted']} predicted)"
        for system in systems
    ]
    difference, low, high = (
        percent(result[key], sign=True) for key in ("difference", "low", "high")
    )
    lines.append(f"difference {difference} (95 % interval {low} to {high})")
    p_bootstrap, p_randomisation = (
        format_p(result[key], result["samples"]) for key in ("p", "p_randomisation")
    )
    lines.append(
        f"p {p_bootstrap} (paired bootstrap, one-sided), p {p_randomisation} "
        f"(approximate randomisation, two-sided); {result['samples']} draws over "
        f"{result['documents']} documents"
    )
    lines.append(
        f"found by both {result['both_correct']}, by the first alone "
        f"{result['only_first_correct']}, by the second alone "
        f"{result['only_second_correct']}"
    )
    return "\n".join(lines)


def format_p(p: float, samples: int) -> str:
    """Format a p-value with the number of digits that its draws support.

    p (float): The p-value.
    samples (int): The number of draws.
    RETURNS (str): The value, or an upper bound such as "< 0.001" for a smaller one.
    """
    digits = max(2, len(str(samples)) - 1)
    smallest = 10.0**-digits
    return f"< {smallest:.{digits}f}" if p < smallest else f"{p:.{digits}f}"


def read_evaluations(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Read the JSON files of evaluations.

    paths (Iterable[Path]): JSON files, and folders of JSON files. Comparisons are
        skipped.
    RETURNS (dict[str, dict[str, Any]]): The evaluations by name: the file's name
        without its suffix, or its path if several files have that name.
    RAISES (ValueError): A folder has no evaluation, or a file is not an evaluation.
    """
    found: dict[Path, dict[str, Any]] = {}
    for path in paths:
        files = [path] if path.is_file() else sorted(path.glob("*.json"))
        results = {file: _read_evaluation(file) for file in files}
        kept = {f: result for f, result in results.items() if not is_comparison(result)}
        if not kept:
            raise ValueError(Errors.G604.format(folder=path))
        found |= kept
    stems = [file.stem for file in found]
    return {
        file.stem if stems.count(file.stem) == 1 else str(file): result
        for file, result in found.items()
    }


def _read_evaluation(path: Path) -> dict[str, Any]:
    result = read_result(path)
    with refuse_damaged(path):
        if not is_comparison(result):
            # Fails if a value of the row is missing or malformed.
            _cells("", result, [key for key in _EXTRA_COLUMNS if key in result])
        return dict(result)


def side_by_side(results: dict[str, dict[str, Any]], markdown: bool = False) -> str:
    """Format evaluations as one table in percent, by descending F1.

    results (dict[str, dict[str, Any]]): The evaluations by name. There are additional
        columns if any evaluation has `grammar`, measured under the grammar, with
        `well_formed`, `tokens` and `seconds`, or `free`, measured without the grammar,
        with `well_formed` and `micro_f`. There are no columns on nesting if no
        reference has nested spans, and their cells are empty for such a reference.
    markdown (bool): Whether to format the table as Markdown rather than for the
        terminal.
    RETURNS (str): The table, ending with a line break.
    """
    extra = [key for key in _EXTRA_COLUMNS if any(key in r for r in results.values())]
    header = (*HEADER, *(name for key in extra for name in _EXTRA_COLUMNS[key].header))
    ordered = sorted(results.items(), key=lambda item: -item[1]["micro_f"])
    rows = [_cells(name, result, extra) for name, result in ordered]
    if not any(map(_has_nesting, results.values())):
        kept = [i for i, column in enumerate(header) if column not in NESTING_COLUMNS]
        header = tuple(header[index] for index in kept)
        rows = [[row[index] for index in kept] for row in rows]
    if not markdown:
        aligns: list[Literal["l", "r"]] = ["l"]
        aligns += ["r"] * (len(header) - 1)
        return str(table(rows, header=header, divider=True, aligns=aligns)).lstrip("\n")
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "".join(_markdown_row(line) for line in lines)


def _cells(name: str, result: dict[str, Any], extra: Sequence[str]) -> list[str]:
    interval = result["interval"]
    cells = [
        name,
        percent(result["micro_f"], 1),
        f"{percent(interval['low'], 1)} to {percent(interval['high'], 1)}",
    ]
    cells += [percent(result[key], 1) for key in ("micro_p", "micro_r")]
    nesting = [percent(result[key], 1) for key in ("nested_f", "nested_r", "flat_f")]
    cells += nesting if _has_nesting(result) else [""] * len(nesting)
    cells.append(str(result["gold"]))
    for key in extra:
        columns = _EXTRA_COLUMNS[key]
        # An encoder, for example, has no output that could be malformed.
        empty = [""] * len(columns.header)
        cells += columns.cells(result[key]) if key in result else empty
    return cells


def _has_nesting(result: dict[str, Any]) -> bool:
    return bool(result.get("nested_gold", True))


def _grammar_cells(measured: dict[str, Any]) -> list[str]:
    tokens, seconds = float(measured["tokens"]), float(measured["seconds"])
    well_formed = percent(measured["well_formed"], 1)
    return [well_formed, f"{tokens:.1f}", f"{1000 * seconds:.0f}"]


def _free_cells(measured: dict[str, Any]) -> list[str]:
    return [percent(measured[key], 1) for key in ("well_formed", "micro_f")]


class _Columns(NamedTuple):
    """Additional columns: their names, and their cells for the value of their key."""

    header: tuple[str, ...]
    cells: Callable[[dict[str, Any]], list[str]]


_EXTRA_COLUMNS = {
    "grammar": _Columns(GRAMMAR_HEADER, _grammar_cells),
    "free": _Columns(FREE_HEADER, _free_cells),
}


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |\n"
