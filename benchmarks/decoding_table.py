"""The results of a benchmark of decoding: figures by contestant, and a table."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from contestants_own import REFERENCE
from decoding_room import Gold

from spacy_genner.evaluation.scores import score_documents

FLOOR = "floor"
DRAFT = "draft"
# Column, key, and how a figure is written.
COLUMNS = [
    ("contestant", "name", "{}"),
    ("sentences", "documents", "{}"),
    ("sentences/s", "sentences_per_second", "{:.2f}"),
    ("lowest to highest", "sentences_per_second_range", "{0[0]:.2f} to {0[1]:.2f}"),
    ("words/s", "words_per_second", "{:.0f}"),
    ("`draft` is faster", "draft_times_faster", "{:.3g}×"),
    ("time / floor", "times_floor", "{:.2f}"),
    ("passes", "passes", "{:.1f}"),
    ("tokens fed", "fed", "{:.0f}"),
    ("compiling, ms", "compile_ms", "{:.0f}"),
    ("peak GB", "peak_gb", "{:.2f}"),
    ("device peak GB", "device_peak_gb", "{:.2f}"),
    ("identical", "identical", "{:.1%}"),
    ("well formed", "well_formed", "{:.1%}"),
    ("F1, sample", "sample_micro_f", "{:.4f}"),
    ("F1, all", "micro_f", "{:.4f}"),
]


def make_rows(
    results: Mapping[str, Sequence[Mapping[str, Any]]], gold: Gold
) -> list[dict[str, Any]]:
    """The figures of each contestant.

    results (Mapping[str, Sequence[Mapping[str, Any]]]): By contestant, what its runs
        gave.
    gold (Gold): The annotated documents.
    RETURNS (List[Dict[str, Any]]): One row for each that ran.
    """
    reference = results[REFERENCE][0]["spans"] if results.get(REFERENCE) else {}
    rows = [_row(name, runs, gold, reference) for name, runs in results.items() if runs]
    by_name = {row["name"]: row for row in rows}
    floor, draft = by_name.get(FLOOR), by_name.get(DRAFT)
    for row in rows:
        # By words, as the sample's sentences may be longer than those of all.
        row["times_floor"] = _ratio(floor, row, "words_per_second")
        row["draft_times_faster"] = _ratio(draft, row, "words_per_second")
        row["fed_times_floor"] = _ratio(row, floor, "fed")
    return rows


def _ratio(one: Mapping | None, other: Mapping | None, key: str) -> float | None:
    """A figure of one contestant by another's; None where one of them has none."""
    if not one or not other or one[key] is None or not other[key]:
        return None
    return float(one[key] / other[key])


def _row(
    name: str, runs: Sequence[Mapping[str, Any]], gold: Gold, reference: Mapping
) -> dict[str, Any]:
    first = runs[0]
    count = max(1, first["documents"])
    speeds = [run["documents"] / run["seconds"] for run in runs]
    found = first["spans"] if name != FLOOR else {}
    same = [found[index] == reference[index] for index in found if index in reference]
    devices = [run["device_peak_gb"] for run in runs]
    return {
        "name": name,
        "documents": first["documents"],
        "repeats": len(runs),
        "seconds": [run["seconds"] for run in runs],
        "sentences_per_second": median(speeds),
        "sentences_per_second_range": [min(speeds), max(speeds)],
        "words_per_second": median(run["words"] / run["seconds"] for run in runs),
        "passes": first["passes"] / count if first["counted"] else None,
        "fed": first["fed"] / count if first["counted"] else None,
        "compile_ms": 1e3 * median(r["compile_seconds"] for r in runs) / count or None,
        "prepare_seconds": median(run["prepare_seconds"] for run in runs),
        "peak_gb": max(run["peak_gb"] for run in runs),
        "device_peak_gb": None if None in devices else max(devices),
        "identical": sum(same) / len(same) if same else None,
        "well_formed": first["well_formed"],
        "sample_micro_f": _f(found, gold, gold.sample),
        "micro_f": _f(found, gold, gold.documents),
        "batch": first["batch"],
    }


def _f(found: Mapping, gold: Gold, documents: Sequence[int]) -> float | None:
    """Micro-F1 on some documents; None where not all of them were annotated."""
    if not all(index in found for index in documents):
        return None
    score = score_documents(
        [gold.spans[index] for index in documents],
        [found[index] for index in documents],
    )
    return float(score["micro_f"])


def markdown(rows: Sequence[Mapping[str, Any]], skipped: Sequence[Mapping]) -> str:
    """Write the table, and who is not in it.

    rows (Sequence[Mapping[str, Any]]): The figures.
    skipped (Sequence[Mapping[str, Any]]): `name` and `why` of those that did not run.
    RETURNS (str): Markdown.
    """
    columns = [c for c in COLUMNS if any(row[c[1]] is not None for row in rows)]
    lines = [
        "| " + " | ".join(title for title, _, _ in columns) + " |",
        "|" + "---|" * len(columns),
    ]
    for row in rows:
        cells = [
            ""
            if row[key] is None
            else form.format(_title(row) if key == "name" else row[key])
            for _, key, form in columns
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [""] + [f"- {each['name']} is left out: {each['why']}" for each in skipped]
    return "\n".join(lines).rstrip() + "\n"


def _title(row: Mapping[str, Any]) -> str:
    return row["name"] if row["batch"] is None else f"{row['name']} ({row['batch']})"
