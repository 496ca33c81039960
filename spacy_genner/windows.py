"""Documents cut into what one model input holds. Pure Python."""

from dataclasses import dataclass
from typing import Any, Sequence

from .errors import Errors

UNITS = ("auto", "sentence", "doc")


@dataclass(frozen=True)
class WindowSettings:
    """How documents are cut.

    unit (str): "sentence", "doc", or "auto" for sentences where they are known and
        else the document.
    max_tokens (int): The most model tokens of text in one window.
    overlap (int): Model tokens that two neighbours of one unit share, about.
    RAISES (ValueError): A setting can't be used.
    """

    unit: str = "auto"
    max_tokens: int = 512
    overlap: int = 64

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(Errors.G401.format(found=self.unit, expected=UNITS))
        if self.max_tokens < 1 or not 0 <= self.overlap < self.max_tokens:
            raise ValueError(
                Errors.G402.format(max_tokens=self.max_tokens, overlap=self.overlap)
            )

    @classmethod
    def from_config(cls, window: dict[str, Any]) -> "WindowSettings":
        """Check the section of a config, and fill in the defaults.

        window (Dict[str, Any]): Any of unit, max_tokens and overlap.
        RETURNS (WindowSettings): The settings.
        RAISES (ValueError): A key is unknown or a value can't be used.
        """
        unknown = set(window) - {"unit", "max_tokens", "overlap"}
        if unknown:
            raise ValueError(Errors.G403.format(found=sorted(unknown)))
        values = dict(window)
        for key in ("max_tokens", "overlap"):
            if key in values:
                try:
                    values[key] = int(values[key])
                except (TypeError, ValueError):
                    raise ValueError(
                        Errors.G404.format(key=key, found=values[key])
                    ) from None
        return cls(**values)


@dataclass(frozen=True)
class Window:
    """A stretch of spaCy tokens that is one model input.

    start (int): Its first token.
    end (int): The token after its last.
    first (float): Where the tokens start of which it decides; before, the neighbour does.
    last (float): Where they end.
    cut (bool): Whether its unit was too long for one window.
    """

    start: int
    end: int
    first: float
    last: float
    cut: bool

    def decides(self, start: int, end: int) -> bool:
        """Whether this window decides of a span: of the two that see it whole, the
        one whose centre is nearer to the span's.

        start (int): The span's first token.
        end (int): The token after its last.
        RETURNS (bool): Whether it does.
        """
        middle = (start + end - 1) / 2
        return self.first <= middle < self.last


def cut(
    sizes: Sequence[int],
    blank: Sequence[bool],
    units: Sequence[tuple[int, int]],
    max_tokens: int,
    overlap: int,
) -> list[Window]:
    """Cut a document.

    sizes (Sequence[int]): The number of model tokens of each spaCy token.
    blank (Sequence[bool]): Whether a spaCy token is white space; at the edges of a
        unit it is left out.
    units (Sequence[Tuple[int, int]]): Sentences, or the document as one.
    max_tokens (int): The most model tokens of a window. A spaCy token that alone has
        more is a window by itself.
    overlap (int): Model tokens that neighbours share, at most.
    RETURNS (List[Window]): The windows, in order.
    """
    windows: list[Window] = []
    for start, end in units:
        while start < end and blank[start]:
            start += 1
        while start < end and blank[end - 1]:
            end -= 1
        if start < end:
            pieces = list(_pieces(sizes, start, end, max_tokens, overlap))
            windows += _owned(pieces, start, end)
    return windows


def _pieces(
    sizes: Sequence[int], start: int, end: int, max_tokens: int, overlap: int
) -> list[tuple[int, int]]:
    pieces = []
    while True:
        stop, total = start, 0
        while stop < end and (stop == start or total + sizes[stop] <= max_tokens):
            total += sizes[stop]
            stop += 1
        pieces.append((start, stop))
        if stop >= end:
            return pieces
        back, shared = stop, 0
        while back - 1 > start and shared + sizes[back - 1] <= overlap:
            back -= 1
            shared += sizes[back]
        start = back


def _owned(pieces: list[tuple[int, int]], start: int, end: int) -> list[Window]:
    windows = []
    centres = [(first + last - 1) / 2 for first, last in pieces]
    edges: list[float] = [start]
    for left, right in zip(centres, centres[1:]):
        # The half-way point belongs to the left: edges are compared with `<`.
        edges.append((left + right) / 2 + 0.25)
    edges.append(end)
    for index, (first, last) in enumerate(pieces):
        windows.append(
            Window(first, last, edges[index], edges[index + 1], len(pieces) > 1)
        )
    return windows
