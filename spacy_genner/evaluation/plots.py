"""The plots of the report: SVG elements that take their colours from the page.

Text is text and lines have classes, so that a style sheet sets fonts and colours, for
light and dark pages and for print.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from .scores import percent

Point = tuple[float, float]
WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 14, 44
ROW = 26
# The mean loss at a step covers this share of the run, up to the step.
_SMOOTHING = 0.05


class Plot:
    """A plot with two linear axes.

    title (str): What the plot shows, for screen readers.
    x_label (str): The name of the horizontal axis.
    y_label (str): The name of the vertical axis.
    x_range (tuple[float, float]): The ends of the horizontal axis.
    y_range (tuple[float, float]): The ends of the vertical axis.
    """

    def __init__(
        self,
        title: str,
        x_label: str,
        y_label: str,
        x_range: Point = (0.0, 1.0),
        y_range: Point = (0.0, 1.0),
    ):
        self.title = title
        self.x_range, self.y_range = x_range, y_range
        self._marks: list[str] = []
        self._axes = [*self._grid(x_label, y_label)]

    def x(self, value: float) -> float:
        """Convert a value of the horizontal axis to a coordinate.

        value (float): The value.
        RETURNS (float): The coordinate.
        """
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Convert a value of the vertical axis to a coordinate.

        value (float): The value.
        RETURNS (float): The coordinate.
        """
        low, high = self.y_range
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def _grid(self, x_label: str, y_label: str) -> list[str]:
        parts = []
        for value in ticks(*self.y_range):
            y = self.y(value)
            parts.append(_line(LEFT, y, WIDTH - RIGHT, y, "grid"))
            parts.append(_text(LEFT - 7, y + 4, format_tick(value), "tick", "end"))
        for value in ticks(*self.x_range):
            x = self.x(value)
            parts.append(_line(x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 4, "axis"))
            text = format_tick(value)
            parts.append(_text(x, HEIGHT - BOTTOM + 17, text, "tick", "middle"))
        bottom = HEIGHT - BOTTOM
        parts.append(_line(LEFT, bottom, WIDTH - RIGHT, bottom, "axis"))
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(_text(middle, HEIGHT - 6, x_label, "name", "middle"))
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(
            f'<text class="name" text-anchor="middle" transform="translate(12 '
            f'{middle:.1f}) rotate(-90)">{escape(y_label)}</text>'
        )
        return parts

    def line(self, points: Sequence[Point], style: str) -> None:
        """Draw a line.

        points (Sequence[tuple[float, float]]): The points.
        style (str): The class of the line.
        """
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        self._marks.append(f'<polyline class="line {style}" points="{path}"/>')

    def dots(
        self,
        points: Sequence[Point],
        style: str,
        tips: Sequence[str] = (),
        radius: float = 3.5,
    ) -> None:
        """Draw dots.

        points (Sequence[tuple[float, float]]): The points.
        style (str): The class of the dots.
        tips (Sequence[str]): The tooltip of each dot.
        radius (float): The radius in pixels.
        """
        for index, (x, y) in enumerate(points):
            tip = f"<title>{escape(tips[index])}</title>" if tips else ""
            self._marks.append(
                f'<circle class="dot {style}" cx="{self.x(x):.1f}" '
                f'cy="{self.y(y):.1f}" r="{radius}">{tip}</circle>'
            )

    def bar(self, low: float, high: float, value: float, style: str, tip: str) -> None:
        """Draw a bar from the bottom of the plot.

        low (float): The left edge.
        high (float): The right edge.
        value (float): The height.
        style (str): The class of the bar.
        tip (str): The tooltip.
        """
        x, y = self.x(low) + 1, self.y(value)
        width = max(1.0, self.x(high) - self.x(low) - 2)
        height = max(0.0, HEIGHT - BOTTOM - y)
        self._marks.append(
            f'<rect class="bar {style}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}"><title>{escape(tip)}</title></rect>'
        )

    def note(self, point: Point, text: str, style: str, below: bool = False) -> None:
        """Write beside a point, on the side with more room.

        point (tuple[float, float]): The point.
        text (str): The text.
        style (str): The class of the text.
        below (bool): Whether to write below the point rather than above it.
        """
        x, y = self.x(point[0]), self.y(point[1])
        at_left = x > (LEFT + WIDTH - RIGHT) / 2
        y = min(max(y + (18 if below else -9), TOP + 10), HEIGHT - BOTTOM - 6)
        anchor = "end" if at_left else "start"
        x += -6 if at_left else 6
        self._marks.append(_text(x, y, text, f"note {style}", anchor))

    def svg(self) -> str:
        """RETURNS (str): The SVG element."""
        return _svg(self.title, WIDTH, HEIGHT, [*self._axes, *self._marks])


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Choose round values of an axis.

    low (float): The lower end of the axis.
    high (float): The upper end.
    most (int): The maximum number of values.
    RETURNS (list[float]): The values, with steps of 1, 2 or 5 times a power of 10.
    """
    size = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(
        size * factor
        for factor in (1, 2, 5, 10, 20)
        if (high - low) / (size * factor) <= most
    )
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def format_tick(value: float) -> str:
    """Format a value of an axis.

    value (float): The value.
    RETURNS (str): The value without needless digits, such as "0.5" and "20k".
    """
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:g}"


def curve_plot(
    curve: Sequence[dict[str, float]], min_score: float | None = None
) -> str:
    """Plot precision over recall for increasing `min_score`.

    curve (Sequence[dict[str, float]]): The result of `threshold_curve`.
    min_score (float | None): The setting of the pipeline, which is marked beside the
        point with the best F1.
    RETURNS (str): An SVG element.
    """
    plot = Plot("Precision over recall, by min_score", "recall", "precision")
    for score in (0.2, 0.4, 0.6, 0.8):
        # The points of equal F1.
        line = [
            (r / 100, score * r / 100 / (2 * r / 100 - score))
            for r in range(1, 101)
            if 2 * r / 100 > score and score * r / 100 / (2 * r / 100 - score) <= 1
        ]
        if line:
            plot.line(line, "iso")
    points = [(row["r"], row["p"]) for row in curve]
    plot.line(points, "main")
    plot.dots(points, "hover", [_describe_point(row) for row in curve], 5)
    best = max(curve, key=lambda row: row["f"], default=None)
    used = None
    if min_score is not None:
        used = next((row for row in curve if row["min_score"] >= min_score), None)
    if used is not None:
        plot.dots([(used["r"], used["p"])], "used", [_describe_point(used)], 5)
    if best is not None:
        plot.dots([(best["r"], best["p"])], "best", [_describe_point(best)], 5)
        text = f"best: min_score {best['min_score']:.2f}, F1 {percent(best['f'], 1)}"
        # The area below the curve is free.
        plot.note((best["r"], best["p"]), text, "best", below=True)
    if used is not None and best is not None and used != best:
        text = f"chosen: min_score {min_score:g}, F1 {percent(used['f'], 1)}"
        lower = min(used["p"], best["p"] - 0.07)
        plot.note((used["r"], lower), text, "used", below=True)
    return plot.svg()


def _describe_point(row: dict[str, float]) -> str:
    return (
        f"min_score {row['min_score']:.3f}: P {percent(row['p'], 1)}, "
        f"R {percent(row['r'], 1)}, F1 {percent(row['f'], 1)}"
    )


def reliability_plot(calibration: dict[str, Any]) -> str:
    """Plot the share of correct spans over their score, in bins, and the share of the
    spans in each bin.

    calibration (dict[str, Any]): The result of `calibration`.
    RETURNS (str): An SVG element.
    """
    plot = Plot(
        "Share of correct spans, by their score", "score", "share of correct spans"
    )
    plot.line([(0, 0), (1, 1)], "ideal")
    for row in calibration["equal_width"]:
        share = row["spans"] / calibration["spans"]
        tip = (
            f"score {row['low']:.1f} to {row['high']:.1f}: {row['spans']} spans, "
            f"mean score {percent(row['score'], 1)}, "
            f"{percent(row['right'], 1)} % correct"
        )
        plot.bar(row["low"], row["high"], share, "share", tip)
    for key, style in (("equal_mass", "second"), ("equal_width", "main")):
        rows = calibration[key]
        points = [(row["score"], row["right"]) for row in rows]
        tips = [
            f"{row['spans']} spans: mean score {percent(row['score'], 1)}, "
            f"{percent(row['right'], 1)} % correct"
            for row in rows
        ]
        plot.line(points, style)
        plot.dots(points, style, tips)
    return plot.svg()


def loss_plot(steps: Sequence[tuple[int, float]], per_step: bool) -> str:
    """Plot the loss over the steps of a training run.

    steps (Sequence[tuple[int, float]]): Steps and losses, by step.
    per_step (bool): Whether there is a loss for each step. A smoothed line is then
        drawn over the losses.
    RETURNS (str): An SVG element.
    """
    title = "Loss of each step" if per_step else "Mean loss since the last evaluation"
    last, highest = steps[-1][0], max(loss for _, loss in steps)
    plot = Plot(title, "step", "loss", (0, max(1, last)), (0, highest * 1.05 or 1))
    points = [(float(step), loss) for step, loss in steps]
    if per_step:
        plot.line(points, "raw")
        plot.line(smooth(points), "loss")
    else:
        plot.line(points, "loss")
    tips = [f"step {step}: loss {loss:.4g}" for step, loss in steps]
    plot.dots(points, "hover" if per_step else "loss", tips)
    return plot.svg()


def smooth(points: Sequence[Point]) -> list[Point]:
    """Average each value with those before it (exponential moving average, corrected
    for its start).

    points (Sequence[tuple[float, float]]): The points.
    RETURNS (list[tuple[float, float]]): The smoothed points.
    """
    keep = 1 - 1 / max(2.0, _SMOOTHING * len(points))
    total = weight = 0.0
    smoothed = []
    for x, y in points:
        total, weight = keep * total + y, keep * weight + 1
        smoothed.append((x, total / weight))
    return smoothed


def score_plot(scores: Sequence[tuple[int, float]]) -> str:
    """Plot the development score over the steps of a training run.

    scores (Sequence[tuple[int, float]]): Steps and scores, by step.
    RETURNS (str): An SVG element.
    """
    last = max(1, scores[-1][0])
    plot = Plot("Score on the development data", "step", "dev score", (0, last))
    points = [(float(step), score) for step, score in scores]
    plot.line(points, "main")
    tips = [f"step {step}: {percent(score)}" for step, score in scores]
    plot.dots(points, "main", tips)
    best = max(points, key=lambda point: (point[1], -point[0]))
    plot.dots([best], "best", [f"step {best[0]:g}: {percent(best[1])}"], 5)
    plot.note(best, f"best: {percent(best[1], 1)} at step {best[0]:g}", "best")
    return plot.svg()


def interval_plot(title: str, rows: Sequence[tuple[str, float, float, float]]) -> str:
    """Plot scores with their intervals, one row for each system.

    title (str): What the plot shows, for screen readers.
    rows (Sequence[tuple[str, float, float, float]]): Names, scores, and the lower and
        upper ends of the intervals.
    RETURNS (str): An SVG element.
    """
    lowest = min(low for _, _, low, _ in rows)
    highest = max(high for _, _, _, high in rows)
    margin = max(0.02, (highest - lowest) * 0.1)
    low, high = max(0.0, lowest - margin), min(1.0, highest + margin)
    height = ROW * len(rows) + 40
    left = 12 + 6.6 * min(22, max(len(name) for name, *_ in rows))

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - left - 20)

    parts = []
    bottom = height - 32
    for value in ticks(100 * low, 100 * high, 5):
        parts.append(_line(x(value / 100), 4, x(value / 100), bottom, "grid"))
        at = x(value / 100)
        parts.append(_text(at, bottom + 16, format_tick(value), "tick", "middle"))
    parts.append(_text((left + WIDTH) / 2, height - 2, "F1", "name", "middle"))
    for index, (name, score, start, end) in enumerate(rows):
        y = 4 + ROW * (index + 0.5)
        shown = name if len(name) <= 22 else f"{name[:21]}…"
        tip = f"{name}: F1 {percent(score)} ({percent(start)} to {percent(end)})"
        parts.append(_text(left - 8, y + 4, shown, "tick strong", "end"))
        parts.append(_line(x(start), y, x(end), y, "interval"))
        parts += [
            _line(x(end_), y - 5, x(end_), y + 5, "interval") for end_ in (start, end)
        ]
        parts.append(
            f'<circle class="dot main" cx="{x(score):.1f}" cy="{y:.1f}" r="5">'
            f"<title>{escape(tip)}</title></circle>"
        )
    return _svg(title, WIDTH, height, parts)


def label_plot(
    title: str,
    labels: Sequence[str],
    rows: Sequence[tuple[str, Sequence[float | None]]],
) -> str:
    """Plot a score of each label for several systems.

    title (str): What the plot shows, for screen readers.
    labels (Sequence[str]): The labels, one row for each.
    rows (Sequence[tuple[str, Sequence[float | None]]]): The name of each system, and
        its scores by label; None for a label that it was not scored on.
    RETURNS (str): An SVG element. Systems have the classes s0 to s5, in turn.
    """
    height = ROW * len(labels) + 40
    left = 12 + 6.6 * min(22, max(map(len, labels)))

    def x(value: float) -> float:
        return left + value * (WIDTH - left - 20)

    bottom = height - 32
    parts = []
    for value in ticks(0, 100, 5):
        at = x(value / 100)
        parts.append(_line(at, 4, at, bottom, "grid"))
        parts.append(_text(at, bottom + 16, format_tick(value), "tick", "middle"))
    parts.append(_text((left + WIDTH) / 2, height - 2, "F1", "name", "middle"))
    for index, label in enumerate(labels):
        y = 4 + ROW * (index + 0.5)
        shown = label if len(label) <= 22 else f"{label[:21]}…"
        parts.append(_text(left - 8, y + 4, shown, "tick strong", "end"))
        for number, (name, scores) in enumerate(rows):
            score = scores[index]
            if score is None:
                continue
            tip = escape(f"{label}, {name}: F1 {percent(score)}")
            parts.append(
                f'<circle class="dot s{number % 6}" cx="{x(score):.1f}" cy="{y:.1f}" '
                f'r="5"><title>{tip}</title></circle>'
            )
    return _svg(title, WIDTH, height, parts)


def _svg(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return (
        f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" '
        f'y2="{y2:.1f}"/>'
    )


def _text(x: float, y: float, text: str, style: str, anchor: str) -> str:
    return (
        f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
