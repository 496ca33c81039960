"""Rows laid end to end, so that nothing is padding.

All layers but attention treat each token by itself: they run over one sequence that
holds every row, and before them a prefix that the rows share, where there is one.
Attention alone lays the rows side by side, and where some are much longer than others,
what these have more lies apart.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

# What a block of its own costs, and each of its rows, in tokens of padding.
BLOCK = 16
ROW = 2


@dataclass(frozen=True)
class Packed:
    """Where the rows of a packed sequence are.

    prefix (int): Tokens of the prefix, which come first; 0 where the rows follow what a
        cache holds.
    lengths (Tuple[int, ...]): Tokens of each row, at least one row.
    row (Tensor): The row of each token of a row, shape (tokens,).
    column (Tensor): Its place in it, shape (tokens,).
    places (Tensor): Its place where the rows lie side by side, row * longest + column,
        shape (tokens,).
    """

    prefix: int
    lengths: tuple[int, ...]
    row: Tensor
    column: Tensor
    places: Tensor

    @classmethod
    def of(cls, prefix: int, lengths: Sequence[int], device: torch.device) -> "Packed":
        """Lay out rows.

        prefix (int): Tokens of the prefix.
        lengths (Sequence[int]): Tokens of each row, at least one row.
        device (torch.device): Where the tensors go.
        RETURNS (Packed): The layout.
        """
        column = torch.cat([torch.arange(length) for length in lengths]).to(device)
        row = torch.repeat_interleave(torch.tensor(list(lengths))).to(device)
        places = row * max(lengths) + column
        return cls(prefix, tuple(lengths), row, column, places)

    @property
    def rows(self) -> int:
        """RETURNS (int): How many rows there are."""
        return len(self.lengths)

    @property
    def longest(self) -> int:
        """RETURNS (int): Tokens of the longest."""
        return max(self.lengths)

    @cached_property
    def blocks(self) -> list["Block"]:
        """RETURNS (List[Block]): The same tokens in blocks of columns, each of the rows
        that have tokens there: less padding where few rows are long."""
        ordered = sorted(self.lengths)
        cuts = [0, *_cuts(ordered, 0, ordered[-1]), ordered[-1]]
        return [self._block(first, last) for first, last in pairwise(cuts)]

    def _block(self, first: int, last: int) -> "Block":
        rows = [row for row, length in enumerate(self.lengths) if length > first]
        lengths = [min(self.lengths[row], last) - first for row in rows]
        device = self.column.device
        inside = (self.column >= first) & (self.column < last)
        return Block(
            torch.tensor(rows, device=device) if len(rows) < self.rows else None,
            slice(first, last),
            inside.nonzero()[:, 0],
            Packed.of(0, lengths, device),
        )

    @property
    def positions(self) -> Tensor:
        """RETURNS (Tensor): The position of each token behind the prefix and of the
        prefix's own, shape (1, prefix + tokens)."""
        first = torch.arange(self.prefix, device=self.column.device)
        return torch.cat([first, self.prefix + self.column])[None]

    def side_by_side(self, tokens: Tensor) -> Tensor:
        """Lay the tokens of the rows side by side, with zeros as padding.

        tokens (Tensor): Shape (heads, tokens, width), the prefix left out.
        RETURNS (Tensor): Shape (rows, heads, longest, width).
        """
        heads, count, width = tokens.shape
        flat = tokens.transpose(0, 1).reshape(count, heads * width)
        padded = flat.new_zeros(self.rows * self.longest, heads * width)
        padded = padded.index_copy(0, self.places, flat)
        return padded.view(self.rows, self.longest, heads, width).transpose(1, 2)

    def end_to_end(self, padded: Tensor) -> Tensor:
        """Take the padding out.

        padded (Tensor): Shape (rows, longest, ...).
        RETURNS (Tensor): Shape (tokens, ...).
        """
        return padded.flatten(0, 1).index_select(0, self.places)


class Block(NamedTuple):
    """Some columns of the rows that have tokens there.

    rows (Optional[Tensor]): The rows, shape (rows,); None for all.
    columns (slice): The columns, where the rows lie side by side.
    tokens (Tensor): Which of the tokens end to end they are, shape (tokens,).
    layout (Packed): How these lie.
    """

    rows: Tensor | None
    columns: slice
    tokens: Tensor
    layout: Packed


def _cuts(lengths: Sequence[int], first: int, last: int) -> list[int]:
    """Where to cut columns into blocks.

    lengths (Sequence[int]): Tokens of the rows, the shortest first.
    first (int): The first column.
    last (int): The column after the last.
    RETURNS (List[int]): Where blocks after the first begin, in order.
    """
    ended = bisect_right(lengths, first)
    best, most = None, 0
    for cut in sorted({length for length in lengths if first < length < last}):
        beyond = bisect_right(lengths, cut)
        spared = (beyond - ended) * (last - cut)
        gain = spared - BLOCK - ROW * (len(lengths) - beyond)
        if gain > most:
            best, most = cut, gain
    if best is None:
        return []
    return [*_cuts(lengths, first, best), best, *_cuts(lengths, best, last)]
