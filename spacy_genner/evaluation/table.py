"""Scores as a table for the terminal."""

from typing import Any

from wasabi import table


def format_table(result: dict[str, Any]) -> str:
    """Lay out an evaluation: the headline first, then by kind and by label.

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
    rows = [
        (name, *(_cent(result[f"{key}_{part}"]) for part in "prf"), count)
        for name, key, count in (
            ("all", "micro", result["gold"]),
            ("nested", "nested", result["nested_gold"]),
            ("flat", "flat", result["gold"] - result["nested_gold"]),
        )
    ]
    rows += [
        (label, *(_cent(row[part]) for part in "prf"), row["gold"])
        for label, row in result["per_type"].items()
    ]
    body = table(
        rows,
        header=("", "P", "R", "F", "gold"),
        divider=True,
        aligns=("l", "r", "r", "r", "r"),
    )
    statuses = ", ".join(f"{name} {n}" for name, n in result["statuses"].items())
    tail = f"documents: {statuses}; gold off the token grid: {result['unaligned_gold']}"
    return f"{headline}\n{body}{tail}"


def _cent(share: float) -> str:
    return f"{100 * share:.2f}"
