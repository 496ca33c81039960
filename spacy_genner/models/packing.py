"""Rows laid end to end, so that nothing is padding.

All layers but attention treat each token by itself: they run over one sequence that
holds every row, and before them a prefix that the rows share, where there is one.
Attention alone lays the rows side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """Where the rows of a packed sequence are.

    prefix (int): Tokens of the prefix, which come first; 0 where the rows follow what a
        cache holds.
    rows (int): How many rows there are.
    longest (int): Tokens of the longest.
    row (Tensor): The row of each token of a row, shape (tokens,).
    column (Tensor): Its place in it, shape (tokens,).
    places (Tensor): Its place where the rows lie side by side, row * longest + column,
        shape (tokens,).
    """

    prefix: int
    rows: int
    longest: int
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
        longest = max(lengths)
        column = torch.cat([torch.arange(length) for length in lengths]).to(device)
        row = torch.repeat_interleave(torch.tensor(list(lengths))).to(device)
        return cls(prefix, len(lengths), longest, row, column, row * longest + column)

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
