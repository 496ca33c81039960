"""The figures of the study's document, as SVG.

The background is transparent, and lines and texts have colours that are legible on
light and on dark pages. The same scores give the same bytes.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..io import write_bytes
from .abilities import require

# Text and lines: a grey with a contrast of about 4.5 to white and to #1e2129.
INK = "#7a7f87"
# A palette that people with colour blindness can tell apart (Okabe and Ito, 2008), in
# tones that are neither too light nor too dark.
COLOURS = ("#3b8fd4", "#e07b39", "#2fa37c", "#c46fa8", "#b59a1d")
# The width of a figure and the height of a row, in inches.
WIDTH, ROW = 7.2, 0.34


class Bar(NamedTuple):
    """A score with its interval, in percent.

    name (str): What the score belongs to.
    value (float): The score.
    low (float | None): The lower end of its interval; None without one.
    high (float | None): The upper end.
    group (str): The series, which has a colour of its own.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    group: str = ""


def draw_intervals(title: str, bars: Sequence[Bar], x_label: str, path: Path) -> None:
    """Draw scores as points with their intervals, one row for each.

    title (str): The title, which describes the figure to a screen reader, too.
    bars (Sequence[Bar]): The scores, from top to bottom, at least one.
    x_label (str): The name of the axis.
    path (Path): The SVG file.
    RAISES (ValueError): matplotlib is not installed.
    """

    def draw(axes: Any) -> None:
        groups = list(dict.fromkeys(bar.group for bar in bars))
        for index, bar in enumerate(bars):
            colour = COLOURS[groups.index(bar.group) % len(COLOURS)]
            if bar.low is not None and bar.high is not None:
                axes.plot([bar.low, bar.high], [index, index], color=colour, lw=2)
            axes.plot([bar.value], [index], "o", color=colour, ms=6)
        axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
        axes.invert_yaxis()
        axes.set_xlabel(x_label)
        _legend(axes, groups)

    _draw(title, draw, len(bars), path)


def draw_bars(
    title: str,
    names: Sequence[str],
    series: Mapping[str, Sequence[float]],
    x_label: str,
    path: Path,
) -> None:
    """Draw several values for each name, as horizontal bars.

    title (str): The title.
    names (Sequence[str]): The names, from top to bottom.
    series (Mapping[str, Sequence[float]]): The values of each series.
    x_label (str): The name of the axis.
    path (Path): The SVG file.
    RAISES (ValueError): matplotlib is not installed.
    """
    height = 0.8 / max(1, len(series))

    def draw(axes: Any) -> None:
        for number, (_, values) in enumerate(series.items()):
            places = [
                index - 0.4 + height * (number + 0.5) for index in range(len(names))
            ]
            colour = COLOURS[number % len(COLOURS)]
            axes.barh(places, values, height=0.9 * height, color=colour)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel(x_label)
        _legend(axes, list(series))

    _draw(title, draw, max(1, len(series) // 2) * len(names), path)


def _legend(axes: Any, groups: Sequence[str]) -> None:
    if len(groups) < 2:
        return
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=COLOURS[index % len(COLOURS)], marker="o", label=name)
        for index, name in enumerate(groups)
    ]
    axes.figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=2,
        frameon=False,
        labelcolor=INK,
    )


def _draw(title: str, draw: Callable[[Any], None], rows: int, path: Path) -> None:
    require("matplotlib")
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: Any = {
        # The ids of elements derive from this in place of a random number.
        "svg.hashsalt": "spacy-genner",
        # Text stays text: it can be searched, and has the font of the page.
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
    with rc_context(settings):
        figure = Figure(figsize=(WIDTH, 1.4 + ROW * rows), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        draw(axes)
        axes.set_title(title, fontsize=11)
        axes.grid(axis="x", color=INK, alpha=0.3, lw=0.6)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        drawn = io.BytesIO()
        figure.savefig(
            drawn,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Title": title},
        )
    write_bytes(path, drawn.getvalue())
