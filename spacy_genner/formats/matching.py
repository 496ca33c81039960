"""The runs of equal items of two sequences, in about linear time."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

# The number of pairs of equal items that are compared: all of them up to these
# limits, and otherwise the nearest ones of each item.
_PAIRS_PER_ITEM = 16
_FREE_PAIRS = 1000


class Block(NamedTuple):
    """A run of equal items of two sequences.

    a (int): Its start in the first sequence.
    b (int): Its start in the second sequence.
    size (int): The number of items.
    """

    a: int
    b: int
    size: int


def matching_blocks(first: Sequence[str], second: Sequence[str]) -> list[Block]:
    """Find the runs of equal items of two sequences, in order.

    The longest run is matched first, then the longest ones to its left and right, as in
    `difflib.SequenceMatcher` (Ratcliff and Metzener, 1988). All pairs of equal items
    are collected once, and the runs wait in a priority queue, so that the time is about
    proportional to the number of pairs. Sequences with too many pairs are first aligned
    by their rarer items, and frequent items are compared near their expected position.

    first (Sequence[str]): The first sequence.
    second (Sequence[str]): The second sequence.
    RETURNS (list[Block]): The runs. Adjacent runs are merged.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(second):
        places[item].append(index)
    found = [places.get(item, []) for item in first]
    size = len(first) + len(second)
    if sum(map(len, found)) <= _PAIRS_PER_ITEM * size + _FREE_PAIRS:
        return _merged(_longest_first(found, 0, 0, len(first), len(second)))
    rare = [p if len(p) <= _PAIRS_PER_ITEM else [] for p in found]
    anchors = _longest_first(rare, 0, 0, len(first), len(second))
    anchors = _extended(anchors, first, second)
    blocks: list[Block] = []
    a = b = 0
    for anchor in [*anchors, Block(len(first), len(second), 0)]:
        blocks += _within_gap(found, a, b, anchor.a, anchor.b)
        blocks.append(anchor)
        a, b = anchor.a + anchor.size, anchor.b + anchor.size
    return _merged(blocks)


def _within_gap(
    found: Sequence[list[int]], a1: int, b1: int, a2: int, b2: int
) -> list[Block]:
    """The runs of equal items between two anchors."""
    if a1 == a2 or b1 == b2:
        return []
    bounds = [(bisect_left(p, b1), bisect_left(p, b2)) for p in found[a1:a2]]
    pairs = sum(high - low for low, high in bounds)
    limit = _PAIRS_PER_ITEM * (a2 - a1 + b2 - b1) + _FREE_PAIRS
    near: list[list[int]] = []
    slope = (b2 - b1) / (a2 - a1)
    for a, (low, high) in zip(range(a1, a2), bounds, strict=True):
        if pairs > limit and high - low > _PAIRS_PER_ITEM:
            expected = b1 + int((a - a1) * slope)
            middle = bisect_left(found[a], expected, low, high)
            low = max(low, min(middle, high) - _PAIRS_PER_ITEM // 2)
            high = min(high, low + _PAIRS_PER_ITEM)
        near.append(found[a][low:high])
    return _longest_first(near, a1, b1, a2, b2)


def _longest_first(
    found: Sequence[list[int]], a1: int, b1: int, a2: int, b2: int
) -> list[Block]:
    """Select runs of pairs, the longest first, that keep the order of both sequences.

    found (Sequence[list[int]]): For each item of the first sequence from `a1` on, the
        indices of the items of the second that it may match, in order.
    """
    queue = [(-run.size, run.a, run.b) for run in _runs(found, a1)]
    heapify(queue)
    blocks: list[Block] = []
    while queue:
        negative, a, b = heappop(queue)
        # Cut the run to the gaps between the blocks. `index` is that of the gap.
        end = a - negative
        index = bisect_right(blocks, a, key=lambda block: block.a)
        whole = True
        while True:
            before = blocks[index - 1] if index else Block(a1, b1, 0)
            after = blocks[index] if index < len(blocks) else Block(a2, b2, 0)
            low = max(a, before.a + before.size, a + before.b + before.size - b)
            high = min(end, after.a, a + after.b - b)
            if (low, high) == (a, end) and whole:
                blocks.insert(index, Block(a, b, end - a))
                break
            whole = False
            if low < high:
                heappush(queue, (low - high, low, b + low - a))
            if index == len(blocks) or after.a >= end:
                break
            index += 1
    return blocks


def _runs(found: Sequence[list[int]], first: int) -> Iterator[Block]:
    """The maximal runs of pairs."""
    # The start in the first sequence of the run that ends at an index of the second.
    open_runs: dict[int, int] = {}
    a = first
    for a, indices in enumerate([*found, []], first):
        extended = {b: open_runs.pop(b - 1, a) for b in indices}
        for b, start in open_runs.items():
            yield Block(start, b - (a - 1 - start), a - start)
        open_runs = extended


def _extended(
    blocks: Sequence[Block], first: Sequence[str], second: Sequence[str]
) -> list[Block]:
    """Extend blocks by the equal items before and after them."""
    extended: list[Block] = []
    last_a = last_b = 0
    ends = [*blocks[1:], Block(len(first), len(second), 0)]
    for (a, b, size), after in zip(blocks, ends, strict=False):
        end_a, end_b = a + size, b + size
        while a > last_a and b > last_b and first[a - 1] == second[b - 1]:
            a, b = a - 1, b - 1
        while end_a < after.a and end_b < after.b and first[end_a] == second[end_b]:
            end_a, end_b = end_a + 1, end_b + 1
        extended.append(Block(a, b, end_a - a))
        last_a, last_b = end_a, end_b
    return extended


def _merged(blocks: Sequence[Block]) -> list[Block]:
    merged: list[Block] = []
    for block in blocks:
        if not block.size:
            continue
        if merged:
            a, b, size = merged[-1]
            if (a + size, b + size) == (block.a, block.b):
                merged[-1] = Block(a, b, size + block.size)
                continue
        merged.append(block)
    return merged
