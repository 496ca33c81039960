"""Documents cut into prompts that a model's context holds, and put together again."""

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
    """A model's context length that knows how the model counts.

    It passes through spacy-llm, which hands a task this number and nothing else of the
    model.

    limit (int): The most tokens of prompt and answer together.
    count (Callable[[str], int]): Counts the tokens of a text.
    """

    count: Count

    def __new__(cls, limit: int, count: Count) -> "ContextLength":
        made = super().__new__(cls, limit)
        made.count = count
        return made


def estimated(text: str) -> int:
    """Guess how many tokens a text has.

    text (str): The text.
    RETURNS (int): The larger of what spacy-llm takes by itself, words between spaces
        and a tenth, and a third of the bytes in UTF-8: in scripts without spaces a
        whole sentence is one word.
    """
    words = len(text.split())
    return max(-(-words * 11 // 10), -(-len(text.encode("utf-8")) // 3))


@dataclass(frozen=True)
class Shards:
    """A document and the windows that it is asked about in.

    doc (Doc): The document itself, which is annotated.
    windows (Tuple[Window, ...]): The windows; none where it is blank.
    """

    doc: Doc
    windows: tuple[Window, ...]

    def __iter__(self) -> Iterator[Span]:
        return (self.doc[w.start : w.end] for w in self.windows)


def shards_of(doc: Doc, around: Sequence[str], limit: int | None) -> Shards:
    """Cut a document where its prompt would be too long.

    Whole sentences go together where the Doc has them. A sentence that is too long,
    or a document without sentences, is cut into windows that overlap; each span is
    decided on by the window whose centre is nearest, so that none is cut.

    doc (Doc): The document.
    around (Sequence[str]): What stands around the text in its prompt.
    limit (Optional[int]): The most tokens of prompt and answer, a `ContextLength`
        where the model counts; None for no limit.
    RETURNS (Shards): The document with its windows.
    RAISES (ValueError): The prompt is too long without any text.
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
    pieces = _joined(units(doc, "auto"), sizes, room)
    overlap = min(_OVERLAP, room // 4)
    return Shards(doc, tuple(cut(sizes, blank, pieces, room, overlap)))


def _joined(
    sentences: list[tuple[int, int]], sizes: list[int], room: int
) -> list[tuple[int, int]]:
    """Neighbouring sentences put together as long as there is room."""
    joined: list[tuple[int, int]] = []
    used = 0
    for start, end in sentences:
        size = sum(sizes[start:end])
        if joined and used + size <= room:
            joined[-1] = (joined[-1][0], end)
            used += size
        else:
            joined.append((start, end))
            used = size
    return joined


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
