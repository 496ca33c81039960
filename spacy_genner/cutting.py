"""Docs cut into model inputs."""

from collections.abc import Callable

from spacy.tokens import Doc

from .errors import Errors
from .grammar import Source
from .prompts import TaskEncoder
from .prompts.budget import text_room
from .windows import Window, WindowSettings, cut

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
    """Cuts Docs into windows: the one way for training and prediction.

    settings (WindowSettings): How.
    encoder (TaskEncoder): Knows how long a prompt is, and the model's limit.
    """

    def __init__(self, settings: WindowSettings, encoder: TaskEncoder):
        self.settings = settings
        self.encoder = encoder
        self.max_tokens = settings.max_tokens
        limit = encoder.limit
        longest = LONGEST_TOKEN
        if limit is not None:
            fixed = len(encoder.prefix_ids) + encoder.prompt_length(0)
            room = text_room(limit, fixed, encoder.readings)
            if room < 1:
                raise ValueError(
                    Errors.G405.format(limit=limit, prefix=len(encoder.prefix_ids))
                )
            self.max_tokens = min(self.max_tokens, room)
            longest = min(longest, room)
        self.longest = max(longest, self.max_tokens)
        self.overlap = min(settings.overlap, self.max_tokens - 1)

    def windows(self, doc: Doc) -> list[Window]:
        """The windows of a document.

        doc (Doc): The document.
        RETURNS (List[Window]): The windows; none where it has only white space.
        RAISES (ValueError): Sentences are wanted and there are none.
        """
        encode = self.encoder.encode
        return cut(
            token_sizes(doc, lambda piece: len(encode(piece))),
            blank_tokens(doc),
            units(doc, self.settings.unit),
            self.max_tokens,
            self.overlap,
        )

    def holds(self, window: Window) -> bool:
        """Whether a window can be run.

        window (Window): One of a document's windows.
        RETURNS (bool): False where it is a single token that is too long.
        """
        return window.size <= self.longest

    def source(self, doc: Doc, window: Window) -> Source:
        """The text of a window.

        doc (Doc): The document.
        window (Window): One of its windows.
        RETURNS (Source): Its units.
        """
        tokens = doc[window.start : window.end]
        return self.encoder.source(
            [token.text for token in tokens],
            [bool(token.whitespace_) for token in tokens],
        )
