"""The results of the decoding benchmark: one row a system, and a Markdown table."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from base import Dataset
from systems.decoders import FLOOR, REFERENCE

from spacy_genner.evaluation.scores import score_documents

DRAFT = "draft"
# Title, key and number format of each column.
COLUMNS = [
    ("system", "name", "{}"),
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
    results: Mapping[str, Sequence[Mapping[str, Any]]], dataset: Dataset
) -> list[dict[str, Any]]:
    """Summarize the runs of each system.

    results (Mapping[str, Sequence[Mapping[str, Any]]]): The results of the runs, by
        system.
    dataset (Dataset): The annotated documents.
    RETURNS (list[dict[str, Any]]): One row for each system that ran.
    """
    reference = results[REFERENCE][0]["spans"] if results.get(REFERENCE) else {}
    rows = [
        _make_row(name, runs, dataset, reference)
        for name, runs in results.items()
        if runs
    ]
    by_name = {row["name"]: row for row in rows}
    floor, draft = by_name.get(FLOOR), by_name.get(DRAFT)
    for row in rows:
        # Compare words/s: the sentences of the sample may be longer than the average.
        row["times_floor"] = _ratio(floor, row, "words_per_second")
        row["draft_times_faster"] = _ratio(draft, row, "words_per_second")
        row["fed_times_floor"] = _ratio(row, floor, "fed")
    return rows


def _ratio(one: Mapping | None, other: Mapping | None, key: str) -> float | None:
    """Divide a figure of one system by that of another; None if one is missing."""
    if not one or not other or one[key] is None or not other[key]:
        return None
    return float(one[key] / other[key])


def _make_row(
    name: str, runs: Sequence[Mapping[str, Any]], dataset: Dataset, reference: Mapping
) -> dict[str, Any]:
    first = runs[0]
    count = max(1, first["documents"])
    speeds = [run["documents"] / run["seconds"] for run in runs]
    found = first["spans"] if first["annotates"] else {}
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
        "sample_micro_f": _micro_f(found, dataset, dataset.sample),
        "micro_f": _micro_f(found, dataset, dataset.documents),
        "batch": first["batch"],
    }


def _micro_f(
    found: Mapping, dataset: Dataset, documents: Sequence[int]
) -> float | None:
    """Micro-F1 on some documents; None if the system did not annotate all of them."""
    if not all(index in found for index in documents):
        return None
    score = score_documents(
        [dataset.spans[index] for index in documents],
        [found[index] for index in documents],
    )
    return float(score["micro_f"])


def markdown(rows: Sequence[Mapping[str, Any]], skipped: Sequence[Mapping]) -> str:
    """Write the table, and below it the systems that did not run.

    rows (Sequence[Mapping[str, Any]]): The rows.
    skipped (Sequence[Mapping[str, Any]]): `name` and `why` of the systems that did not
        run.
    RETURNS (str): Markdown. Columns without any figure are left out.
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
            else form.format(_label(row) if key == "name" else row[key])
            for _, key, form in columns
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [""] + [f"- {each['name']} is left out: {each['why']}" for each in skipped]
    return "\n".join(lines).rstrip() + "\n"


def _label(row: Mapping[str, Any]) -> str:
    return row["name"] if row["batch"] is None else f"{row['name']} ({row['batch']})"
