"""Cut documents into windows that fit one model input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spacy.tokens import Doc

from ..config.settings import WindowSettings
from ..errors import Errors
from .layout import text_room


@dataclass(frozen=True)
class Window:
    """A stretch of spaCy tokens that is one model input.

    start (int): Its first token.
    end (int): The token after its last.
    others (Tuple[Tuple[int, int], ...]): Start and end of the windows of its unit
        that share tokens with it.
    cut (bool): Whether its unit was too long for one window.
    size (int): Its model tokens.
    """

    start: int
    end: int
    others: tuple[tuple[int, int], ...] = ()
    cut: bool = False
    size: int = 0

    def decides(self, start: int, end: int) -> bool:
        """Whether this window decides of a span: of those that see it whole, the
        one whose centre is nearest to the span's, of equals the first.

        start (int): The span's first token.
        end (int): The token after its last.
        RETURNS (bool): Whether it does.
        """
        if not (self.start <= start and end <= self.end):
            return False
        whole = [
            (first, last)
            for first, last in self.others
            if first <= start and end <= last
        ]
        # Twice the distance of the centres, so that all numbers are whole.
        own, *rest = (
            (abs(first + last - start - end), first)
            for first, last in [(self.start, self.end), *whole]
        )
        return all(own < other for other in rest)


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
            windows += [
                Window(
                    *piece,
                    _overlapping(piece, pieces),
                    len(pieces) > 1,
                    sum(sizes[slice(*piece)]),
                )
                for piece in pieces
            ]
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
        # Where the next token is long it has no room beside all that, and a window
        # that ends where this one does would say nothing new.
        while back < stop and shared + sizes[stop] > max_tokens:
            shared -= sizes[back]
            back += 1
        start = back


def _overlapping(
    piece: tuple[int, int], pieces: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int], ...]:
    return tuple(
        other
        for other in pieces
        if other != piece and other[0] < piece[1] and piece[0] < other[1]
    )


# A token that alone has more model tokens is not run, wherever the model would hold it:
# what attention takes grows with the square.
LONGEST_TOKEN = 2048


def token_sizes(doc: Doc, count: Callable[[str], int]) -> list[int]:
    """How many model tokens each spaCy token takes, with the space before it.

    doc (Doc): The document.
    count (Callable[[str], int]): Counts the model tokens of a piece of text.
    RETURNS (List[int]): The numbers.
    """
    sizes = []
    before = ""
    for token in doc:
        sizes.append(count(before + token.text) if token.text else 0)
        before = token.whitespace_
    return sizes


def blank_tokens(doc: Doc) -> list[bool]:
    """Which tokens are white space, or nothing.

    doc (Doc): The document.
    RETURNS (List[bool]): Whether each is.
    """
    return [token.is_space or not token.text for token in doc]


def units(doc: Doc, unit: str) -> list[tuple[int, int]]:
    """The stretches of a document that are one input each, if they are not too long.

    doc (Doc): The document.
    unit (str): "auto", "sentence" or "doc".
    RETURNS (List[Tuple[int, int]]): First token and the one after the last of each.
    RAISES (ValueError): Sentences are wanted and there are none.
    """
    if unit != "doc" and doc.has_annotation("SENT_START"):
        return [(sent.start, sent.end) for sent in doc.sents]
    if unit == "sentence" and len(doc) > 1:
        raise ValueError(Errors.G406.format(text=doc.text[:40]))
    return [(0, len(doc))]


class WindowCutter:
    """Cuts Docs into windows. Training and prediction use the same cutter.

    settings (WindowSettings): The settings.
    count (Callable[[str], int]): Counts the model tokens of a piece of text.
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
        RETURNS (list[Window]): The windows. There is none if the document holds only
            white space.
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
