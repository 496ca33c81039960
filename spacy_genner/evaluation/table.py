"""Scores as a table for the terminal."""

from collections.abc import Iterator
from typing import Any

from wasabi import table

Row = tuple[str, dict[str, float]]


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


def structure_rows(result: dict[str, Any]) -> list[Row]:
    """All spans, and how they lie in one another.

    result (Dict[str, Any]): What `evaluate` gave.
    RETURNS (List[Tuple[str, Dict[str, float]]]): Names, and `p`, `r`, `f`, `gold`.
    """
    gold, nested = result["gold"], result["nested_gold"]
    rows: list[Row] = [
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


def breakdown_rows(result: dict[str, Any]) -> list[Row]:
    """Depths, lengths, mentions and the study's way: what is there to be said.

    result (Dict[str, Any]): What `evaluate` gave.
    RETURNS (List[Tuple[str, Dict[str, float]]]): Names, and `p`, `r`, `f`, `gold`;
        only classes in which there is a span.
    """
    rows: list[Row] = []
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
