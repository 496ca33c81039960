"""Shards: the windows of a document for a model with a limited context length.

spacy-llm calls them shards. Their predictions are merged into that of the document.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from spacy.tokens import Doc, Span

from ..errors import Errors
from ..pipeline.results import Prediction, merge_windows
from ..prompts.layout import text_room
from ..prompts.windows import Window, blank_tokens, cut, token_sizes, units

Count = Callable[[str], int]
_OVERLAP = 64


class ContextLength(int):
    """The context length of a model, with the model's way to count tokens.

    spacy-llm passes this number to a task, and nothing else of the model.

    limit (int): The maximum number of tokens of prompt and completion.
    count (Callable[[str], int]): Counts the tokens of a text.
    """

    count: Count

    def __new__(cls, limit: int, count: Count) -> "ContextLength":
        made = super().__new__(cls, limit)
        made.count = count
        return made


def estimated(text: str) -> int:
    """Estimate the number of tokens of a text.

    text (str): The text.
    RETURNS (int): The larger of two estimates: 1.1 tokens a word, as spacy-llm has it,
        and one token for three bytes of UTF-8, since a whole sentence is one word in a
        script without spaces.
    """
    words = len(text.split())
    return max(-(-words * 11 // 10), -(-len(text.encode("utf-8")) // 3))


@dataclass(frozen=True)
class Shards:
    """A document with its windows.

    doc (Doc): The document to annotate.
    windows (tuple[Window, ...]): The windows. A blank document has none.
    """

    doc: Doc
    windows: tuple[Window, ...]

    def __iter__(self) -> Iterator[Span]:
        return (self.doc[w.start : w.end] for w in self.windows)


def shards_of(doc: Doc, around: Sequence[str], limit: int | None) -> Shards:
    """Cut a document whose prompt would be too long.

    If the Doc has sentence boundaries, neighboring sentences share a window as long as
    they fit. A sentence that is too long, or a document without sentences, is cut into
    windows that overlap. Each span is decided on by the window whose centre is nearest,
    so that no span is cut.

    doc (Doc): The document.
    around (Sequence[str]): The parts of the prompt around the text.
    limit (int | None): The maximum number of tokens of prompt and completion. A
        `ContextLength` counts them with the model's tokenizer. None for no limit.
    RETURNS (Shards): The document with its windows.
    RAISES (ValueError): The prompt is too long even without a text.
    """
    blank = blank_tokens(doc)
    whole = units(doc, "doc")
    if limit is None:
        return Shards(doc, tuple(cut([0] * len(doc), blank, whole, 1, 0)))
    count = getattr(limit, "count", estimated)
    sizes = token_sizes(doc, count)
    fixed = sum(map(count, around)) + 1
    room = text_room(int(limit), fixed, len(around) - 1)
    if sum(sizes) <= room:
        return Shards(doc, tuple(cut([0] * len(doc), blank, whole, 1, 0)))
    if room < 1:
        raise ValueError(Errors.G734.format(prompt=fixed, limit=int(limit)))
    groups = _group_sentences(units(doc, "auto"), sizes, room)
    overlap = min(_OVERLAP, room // 4)
    return Shards(doc, tuple(cut(sizes, blank, groups, room, overlap)))


def _group_sentences(
    sentences: list[tuple[int, int]], sizes: list[int], room: int
) -> list[tuple[int, int]]:
    """Group neighboring sentences as long as there is room."""
    groups: list[tuple[int, int]] = []
    used = 0
    for start, end in sentences:
        size = sum(sizes[start:end])
        if groups and used + size <= room:
            groups[-1] = (groups[-1][0], end)
            used += size
        else:
            groups.append((start, end))
            used = size
    return groups


def merge_shards(
    shards: Shards,
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    allow_crossing: bool,
) -> Prediction:
    """Merge the predictions of a document's windows.

    shards (Shards): The document with its windows.
    predictions (Sequence[Prediction]): One for each window.
    labels (Sequence[str]): The labels, in order.
    allow_crossing (bool): Whether spans may overlap partially.
    RETURNS (Prediction): The prediction of the document. If there are several windows,
        each issue has the number of its window as `shard`, from 0.
    """
    windows = shards.windows
    if len(windows) > 1:
        predictions = [
            replace(part, issues=[{**issue, "shard": i} for issue in part.issues])
            for i, part in enumerate(predictions)
        ]
    return merge_windows(shards.doc, windows, predictions, labels, allow_crossing)
