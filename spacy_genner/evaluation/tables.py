"""Evaluations as text and Markdown tables."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from wasabi import table

from ..errors import Errors
from ..io import parse_json
from .significance import is_comparison

TableRow = tuple[str, dict[str, float]]


def format_table(result: dict[str, Any]) -> str:
    """Lay out an evaluation: the headline first, then all, by kind, by label, and the
    breakdowns there are.

    result (Dict[str, Any]): What `evaluate` gave.
    RETURNS (str): The table.
    """
    interval = result["interval"]
    headline = (
        f"micro-F1 {_cent(result['micro_f'])} "
        f"(95 % interval {_cent(interval['low'])} to {_cent(interval['high'])}), "
        f"{result['correct']} of {result['gold']} spans found, "
        f"{result['predicted']} predicted"
    )
    body = table(
        [
            (name, *(_cent(row[part]) for part in "prf"), row["gold"])
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
    return f"{headline}\n{body}" + "\n".join(_notes(result))


def structure_rows(result: dict[str, Any]) -> list[TableRow]:
    """All spans, and how they lie in one another.

    result (Dict[str, Any]): What `evaluate` gave.
    RETURNS (List[Tuple[str, Dict[str, float]]]): Names, and `p`, `r`, `f`, `gold`.
    """
    gold, nested = result["gold"], result["nested_gold"]
    rows: list[TableRow] = [
        (name, {"gold": count, **{part: result[f"{key}_{part}"] for part in "prf"}})
        for name, key, count in (
            ("all", "micro", gold),
            ("nested", "nested", nested),
            ("flat", "flat", gold - nested),
        )
    ]
    structures = result.get("by_structure", {})
    if structures:
        counts = {name: row["predicted"] for name, row in structures.items()}
        rows[0][1]["predicted"] = result["predicted"]
        rows[1][1]["predicted"] = counts["nested"]
        rows[2][1]["predicted"] = counts["containing"] + counts["alone"]
    if _any(structures.get("containing")):
        # The two that are "flat" together.
        rows += [(f"- {name}", structures[name]) for name in ("containing", "alone")]
    return rows


def breakdown_rows(result: dict[str, Any]) -> list[TableRow]:
    """Depths, lengths, mentions and the study's way: what is there to be said.

    result (Dict[str, Any]): What `evaluate` gave.
    RETURNS (List[Tuple[str, Dict[str, float]]]): Names, and `p`, `r`, `f`, `gold`;
        only classes in which there is a span.
    """
    rows: list[TableRow] = []
    depths = result.get("by_depth", {})
    # Depth 0 is flat, and where it goes no deeper than 1, that is nested.
    if len(depths) > 2:
        rows += [
            (f"depth {name}", row)
            for name, row in depths.items()
            if name != "0" and _any(row)
        ]
    for key, prefix in (("by_length", "tokens"), ("by_mention", "mention")):
        rows += [
            (f"{prefix} {name.replace('_', ' ')}", row)
            for name, row in result.get(key, {}).items()
            if _any(row)
        ]
    if result.get("study_by_text") or result.get("study_left_out"):
        study = {part: result[f"study_{part}"] for part in "prf"}
        rows.append(("study's way", {**study, "gold": result["gold"]}))
    return rows


def _notes(result: dict[str, Any]) -> Iterator[str]:
    statuses = ", ".join(f"{name} {n}" for name, n in result["statuses"].items())
    yield f"documents: {statuses}; gold off the token grid: {result['unaligned_gold']}"
    errors = result.get("errors", {})
    if any(errors.values()):
        counts = (f"{name.replace('_', ' ')} {n}" for name, n in errors.items())
        yield f"errors: {', '.join(counts)}"
    found = result.get("calibration")
    if found:
        without = f", {found['left_out']} without" if found["left_out"] else ""
        yield (
            f"scores of {found['spans']} spans{without}: "
            f"mean {_cent(found['mean_score'])}, right {_cent(found['precision'])}, "
            f"ECE {_cent(found['ece'])}, Brier {found['brier']:.3f}"
        )


def _any(row: dict[str, float] | None) -> bool:
    return row is not None and bool(row["gold"] or row["predicted"])


def _cent(share: float) -> str:
    return f"{100 * share:.2f}"


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
# Where the work under the grammar was measured, too: see `grammar`.
GRAMMAR_HEADER = ("well formed", "output tokens", "ms a document")
# Where answers without the grammar were measured, too: see `free`.
FREE_HEADER = ("well formed, free", "F1, free")


def read_evaluations(places: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Read what `evaluate` wrote.

    places (Iterable[Path]): JSON files, and folders with some. Comparisons of two
        evaluations are passed over.
    RETURNS (Dict[str, Dict[str, Any]]): The evaluations by name, which is the file's
        without its ending, or its path where names occur twice.
    RAISES (ValueError): A folder holds no evaluation, or a file is none.
    """
    found: dict[Path, dict[str, Any]] = {}
    for place in places:
        paths = [place] if place.is_file() else sorted(place.glob("*.json"))
        results = {path: _read(path) for path in paths}
        kept = {p: row for p, row in results.items() if not is_comparison(row)}
        if not kept:
            raise ValueError(Errors.G604.format(folder=place))
        found |= kept
    stems = [path.stem for path in found]
    return {
        path.stem if stems.count(path.stem) == 1 else str(path): result
        for path, result in found.items()
    }


def side_by_side(results: dict[str, dict[str, Any]], markdown: bool = False) -> str:
    """Lay out evaluations, the best F1 first, in percent.

    results (Dict[str, Dict[str, Any]]): The evaluations by name. Where one has
        `grammar` with `well_formed`, `tokens` and `seconds`, or `free` with
        `well_formed` and `micro_f`, measured without the grammar, they get columns.
    markdown (bool): Whether it is for a Markdown file, or else for the terminal.
    RETURNS (str): The table, with a line break at its end.
    """
    more = [key for key in _MORE if any(key in row for row in results.values())]
    header = (*HEADER, *(name for key in more for name in _MORE[key][0]))
    ordered = sorted(results.items(), key=lambda item: -item[1]["micro_f"])
    rows = [_row(name, result, more) for name, result in ordered]
    if not markdown:
        aligns: list[Literal["l", "r"]] = ["l"]
        aligns += ["r"] * (len(header) - 1)
        return str(table(rows, header=header, divider=True, aligns=aligns)).lstrip("\n")
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "".join(_markdown(line) for line in lines)


def _read(path: Path) -> dict[str, Any]:
    try:
        result = parse_json(path.read_text(encoding="utf8"))
        if not is_comparison(result):
            # All that a row shows is there.
            _row("", result, [key for key in _MORE if key in result])
    except (KeyError, TypeError, ValueError) as err:
        raise ValueError(Errors.G605.format(path=path, reason=repr(err))) from err
    return dict(result)


def _row(name: str, result: dict[str, Any], more: Sequence[str]) -> list[str]:
    interval = result["interval"]
    row = [
        name,
        _percent(result["micro_f"]),
        f"{_percent(interval['low'])} to {_percent(interval['high'])}",
    ]
    keys = ("micro_p", "micro_r", "nested_f", "nested_r", "flat_f")
    row += [_percent(result[key]) for key in keys]
    row.append(str(result["gold"]))
    for key in more:
        header, cells = _MORE[key]
        # An encoder gives no answer that could be badly formed.
        row += cells(result[key]) if key in result else [""] * len(header)
    return row


def _grammar_cells(measured: dict[str, Any]) -> list[str]:
    tokens, seconds = float(measured["tokens"]), float(measured["seconds"])
    return [_percent(measured["well_formed"]), f"{tokens:.1f}", f"{1000 * seconds:.0f}"]


def _free_cells(measured: dict[str, Any]) -> list[str]:
    return [_percent(measured["well_formed"]), _percent(measured["micro_f"])]


def _markdown(cells: Sequence[str]) -> str:
    shown = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(shown)} |\n"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


# What an evaluation may hold besides its scores, with its columns.
_MORE: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], list[str]]]] = {
    "grammar": (GRAMMAR_HEADER, _grammar_cells),
    "free": (FREE_HEADER, _free_cells),
}
