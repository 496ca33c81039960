"""Plots as inline SVG."""

import io
import re
from collections.abc import Sequence
from typing import Any

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
