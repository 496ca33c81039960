"""Cut documents into windows, each of which is one model input.

A unit is a sentence or a whole document. A unit that is too long for one window is cut
into windows that overlap, and each span is decided on by the window whose centre is
nearest. Training and prediction cut documents with the same `WindowCutter`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spacy.tokens import Doc

from ..config.settings import WindowSettings
from ..errors import Errors
from .layout import text_room

# A single token with more model tokens is skipped, even if the model has room for it:
# the memory of attention grows with the square of the length.
LONGEST_TOKEN = 2048


@dataclass(frozen=True)
class Window:
    """A range of spaCy tokens that is one model input.

    start (int): The first token.
    end (int): The token after the last.
    others (tuple[tuple[int, int], ...]): Start and end of the windows of the same unit
        that share tokens with this one.
    cut (bool): Whether the unit was too long for one window.
    size (int): The number of model tokens.
    """

    start: int
    end: int
    others: tuple[tuple[int, int], ...] = ()
    cut: bool = False
    size: int = 0

    def decides(self, start: int, end: int) -> bool:
        """Whether this window decides on a span.

        Of the windows that contain the whole span, the one whose centre is nearest to
        the centre of the span decides. Of equally near windows it is the first.

        start (int): The first token of the span.
        end (int): The token after the last.
        RETURNS (bool): Whether this window decides.
        """
        if not (self.start <= start and end <= self.end):
            return False
        containing = [
            (first, last)
            for first, last in self.others
            if first <= start and end <= last
        ]
        # Twice the distance between the centres, which is an integer.
        own, *rest = (
            (abs(first + last - start - end), first)
            for first, last in [(self.start, self.end), *containing]
        )
        return all(own < other for other in rest)


class WindowCutter:
    """Cuts Docs into windows. Training and prediction use the same cutter.

    settings (WindowSettings): The settings.
    count (Callable[[str], int]): Counts the model tokens of a string.
    limit (int | None): The maximum number of tokens of prompt and output. None for no
        limit.
    fixed (int): The number of tokens of a prompt without its text.
    readings (int): How many times a prompt holds the text.
    RAISES (ValueError): The prompt leaves no room for text.
    """

    def __init__(
        self,
        settings: WindowSettings,
        count: Callable[[str], int],
        *,
        limit: int | None = None,
        fixed: int = 0,
        readings: int = 1,
    ):
        self.settings = settings
        self.count = count
        self.max_tokens = settings.max_tokens
        longest = LONGEST_TOKEN
        if limit is not None:
            room = text_room(limit, fixed, readings)
            if room < 1:
                raise ValueError(Errors.G405.format(limit=limit, prefix=fixed))
            self.max_tokens = min(self.max_tokens, room)
            longest = min(longest, room)
        self.longest = max(longest, self.max_tokens)
        self.overlap = min(settings.overlap, self.max_tokens - 1)

    def windows(self, doc: Doc) -> list[Window]:
        """Cut a document.

        doc (Doc): The document.
        RETURNS (list[Window]): The windows, in order. A document that holds only white
            space has none.
        RAISES (ValueError): The unit is "sentence" and no sentence boundaries are set.
        """
        return cut(
            token_sizes(doc, self.count),
            blank_tokens(doc),
            units(doc, self.settings.unit),
            self.max_tokens,
            self.overlap,
        )

    def holds(self, window: Window) -> bool:
        """Whether a window fits into the model.

        window (Window): A window of a document.
        RETURNS (bool): False if the window is a single token that is too long.
        """
        return window.size <= self.longest


def token_sizes(doc: Doc, count: Callable[[str], int]) -> list[int]:
    """Count the model tokens of each spaCy token with the white space before it.

    doc (Doc): The document.
    count (Callable[[str], int]): Counts the model tokens of a string.
    RETURNS (list[int]): One number for each spaCy token.
    """
    sizes = []
    before = ""
    for token in doc:
        sizes.append(count(before + token.text) if token.text else 0)
        before = token.whitespace_
    return sizes


def blank_tokens(doc: Doc) -> list[bool]:
    """Whether each token is empty or white space.

    doc (Doc): The document.
    RETURNS (list[bool]): One value for each token.
    """
    return [token.is_space or not token.text for token in doc]


def units(doc: Doc, unit: str) -> list[tuple[int, int]]:
    """The units of a document.

    doc (Doc): The document.
    unit (str): "sentence", "doc", or "auto" for sentences if their boundaries are set.
    RETURNS (list[tuple[int, int]]): The first token and the token after the last of
        each unit.
    RAISES (ValueError): The unit is "sentence" and no sentence boundaries are set.
    """
    if unit != "doc" and doc.has_annotation("SENT_START"):
        return [(sent.start, sent.end) for sent in doc.sents]
    if unit == "sentence" and len(doc) > 1:
        raise ValueError(Errors.G406.format(text=doc.text[:40]))
    return [(0, len(doc))]


def cut(
    sizes: Sequence[int],
    blank: Sequence[bool],
    units: Sequence[tuple[int, int]],
    max_tokens: int,
    overlap: int,
) -> list[Window]:
    """Cut the units of a document into windows.

    sizes (Sequence[int]): The number of model tokens of each spaCy token.
    blank (Sequence[bool]): Whether a spaCy token is white space. White space at the
        edges of a unit is left out.
    units (Sequence[tuple[int, int]]): The units.
    max_tokens (int): The maximum number of model tokens in a window. A single spaCy
        token with more is a window of its own.
    overlap (int): The maximum number of model tokens that two neighbours share.
    RETURNS (list[Window]): The windows, in order.
    """
    windows: list[Window] = []
    for start, end in units:
        while start < end and blank[start]:
            start += 1
        while start < end and blank[end - 1]:
            end -= 1
        if start < end:
            ranges = _cut_unit(sizes, start, end, max_tokens, overlap)
            windows += [
                Window(
                    *own,
                    _overlapping(own, ranges),
                    len(ranges) > 1,
                    sum(sizes[slice(*own)]),
                )
                for own in ranges
            ]
    return windows


def _cut_unit(
    sizes: Sequence[int], start: int, end: int, max_tokens: int, overlap: int
) -> list[tuple[int, int]]:
    ranges = []
    while True:
        stop, total = start, 0
        while stop < end and (stop == start or total + sizes[stop] <= max_tokens):
            total += sizes[stop]
            stop += 1
        ranges.append((start, stop))
        if stop >= end:
            return ranges
        back, shared = stop, 0
        while back - 1 > start and shared + sizes[back - 1] <= overlap:
            back -= 1
            shared += sizes[back]
        # A long next token may have no room beside the overlap. The next window has to
        # end after this one, or it would contain no new token.
        while back < stop and shared + sizes[stop] > max_tokens:
            shared -= sizes[back]
            back += 1
        start = back


def _overlapping(
    own: tuple[int, int], ranges: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int], ...]:
    return tuple(
        other
        for other in ranges
        if other != own and other[0] < own[1] and own[0] < other[1]
    )
