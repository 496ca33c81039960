"""What a page shows of a document: a part of its tokens, with the spans over them.

The page counts tokens and not characters, because JavaScript counts characters in other
units than Python.
"""

from itertools import pairwise
from typing import Any

from .edits import ReviewSpan, TokenGrid

# The size of a part, in characters.
PART_SIZE = 4000


def cut(grid: TokenGrid) -> list[tuple[int, int]]:
    """Cut a document into the parts that a page shows at once. A part ends after a line
    break or a sentence, if there is one in its last quarter.

    grid (TokenGrid): The tokens of the document.
    RETURNS (list[tuple[int, int]]): The first token of each part, and the one after its
        last. There is at least one part.
    """
    cuts = [0]
    while cuts[-1] < len(grid):
        first = cuts[-1]
        limit = grid.starts[first] + PART_SIZE
        last = first
        while last < len(grid) and grid.starts[last] < limit:
            last += 1
        if last < len(grid):
            last = _best_cut(grid, first + 3 * (last - first) // 4 + 1, last)
        cuts.append(max(last, first + 1))
    return list(pairwise(cuts)) or [(0, 0)]


def _best_cut(grid: TokenGrid, low: int, high: int) -> int:
    best, found = 0, high
    for at in range(high, low - 1, -1):
        between = grid.text[grid.ends[at - 1] : grid.starts[at]]
        ends = grid.text[grid.ends[at - 1] - 1] in ".!?。！？"
        value = between.count("\n") * 2 + ends
        if value > best:
            best, found = value, at
    return found


def lead(grid: TokenGrid) -> str:
    """RETURNS (str): The text before the first token."""
    return grid.text[: grid.starts[0]] if len(grid) else grid.text


def token_texts(grid: TokenGrid, first: int, last: int) -> list[list[str]]:
    """Get the texts of some tokens.

    grid (TokenGrid): The tokens of the document.
    first (int): The number of the first token.
    last (int): The number after that of the last token.
    RETURNS (list[list[str]]): Each token, and the white space after it.
    """
    befores = [*grid.starts[1:], len(grid.text)]
    return [
        [
            grid.text[grid.starts[at] : grid.ends[at]],
            grid.text[grid.ends[at] : befores[at]],
        ]
        for at in range(first, last)
    ]


def is_in_part(span: ReviewSpan, grid: TokenGrid, first: int, last: int) -> bool:
    """Check whether a span is over some tokens of a part.

    span (ReviewSpan): The span.
    grid (TokenGrid): The tokens of the document.
    first (int): The number of the first token of the part.
    last (int): The number after that of its last token.
    RETURNS (bool): Whether the part shows the span.
    """
    begin, end = _place(span, grid)
    return begin < last and end > first


def span_view(span: ReviewSpan, grid: TokenGrid) -> dict[str, Any]:
    """Describe a span for a page.

    span (ReviewSpan): The span.
    grid (TokenGrid): The tokens of the document.
    RETURNS (dict[str, Any]): The key, the numbers of its first and last token, the
        label, score, state and text, and whether its boundaries are those of tokens.
    """
    first, last = _place(span, grid)
    is_aligned = grid.starts[first] == span.start and grid.ends[last - 1] == span.end
    return {
        "key": span.key,
        "first": first,
        "last": last - 1,
        "label": span.label,
        "score": span.score,
        "state": span.state,
        "text": grid.text[span.start : span.end][:200],
        "aligned": is_aligned,
    }


def _place(span: ReviewSpan, grid: TokenGrid) -> tuple[int, int]:
    """The tokens of a span. One of white space alone is shown at the next token."""
    begin, end = grid.covering(span.start, span.end)
    if begin == end and len(grid):
        begin = min(begin, len(grid) - 1)
        end = begin + 1
    return begin, end
