"""Grouped-query attention, and packing of sequences into rows."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

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


NAME = "genner_grouped"


def attention_for(device: torch.device) -> str | None:
    """The attention to load a model with.

    device (torch.device): Where it will be.
    RETURNS (Optional[str]): A name that transformers knows; None for its own choice.
    """
    return NAME if device.type == "cpu" else None


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    packed: Packed | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention, as transformers calls it.

    module (nn.Module): The attention layer.
    query (Tensor): Shape (batch, heads, tokens, width).
    key (Tensor): Shape (batch, key heads, slots, width).
    value (Tensor): Shape (batch, key heads, slots, width).
    attention_mask (Tensor): To be added to the scores, shape (batch or 1, 1, tokens,
        slots).
    scaling (Optional[float]): Of the scores; None for one over the root of the width.
    dropout (float): Of the weights, in training.
    softcap (Optional[float]): Where scores are capped (Gemma 2).
    packed (Optional[Packed]): The layout where the queries are rows end to end. With a
        prefix, keys and values are laid out as the queries are, and the mask is that
        of one row behind the prefix, the prefix's tokens included. Without one, keys,
        values and mask are those of the rows side by side, as a cache gives them.
    RETURNS (Tuple[Tensor, None]): Shape (batch, tokens, heads, width), and no weights.
    """

    def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        return _attend(module, query, key, value, mask, scaling, dropout, softcap)

    if packed is None:
        return attend(query, key, value, attention_mask), None
    if not packed.prefix:
        found = query.new_empty(query.shape[2], query.shape[1], value.shape[3])
        for rows, columns, tokens, layout in packed.blocks:
            seen = [key, value, attention_mask[:, :, columns]]
            if rows is not None:
                seen = [part.index_select(0, rows) for part in seen]
            own = layout.side_by_side(query[0].index_select(1, tokens))
            found.index_copy_(0, tokens, layout.end_to_end(attend(own, *seen)))
        return found[None], None
    size = packed.prefix
    first_query, first_key, first_value = (
        tensor[:, :, :size] for tensor in (query, key, value)
    )
    own, others = attention_mask[:, :, :size, :size], attention_mask[:, :, size:]
    prefix = attend(first_query, first_key, first_value, own)
    side = [packed.side_by_side(t[0, :, size:]) for t in (query, key, value)]
    keys, values = (
        torch.cat([shared.expand(packed.rows, -1, -1, -1), row], dim=2)
        for shared, row in zip((first_key, first_value), side[1:], strict=True)
    )
    rows = attend(side[0], keys, values, others)
    return torch.cat([prefix, packed.end_to_end(rows)[None]], dim=1), None


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scaling: float | None,
    dropout: float,
    softcap: float | None,
) -> Tensor:
    """Attention of one batch, shape (batch, tokens, heads, width)."""
    batch, heads, tokens, width = query.shape
    shared, slots = key.shape[1:3]
    scale = width**-0.5 if scaling is None else scaling
    grouped = query.reshape(batch, shared, -1, width)
    scores = (grouped @ key.transpose(2, 3)) * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    # Heads of one group follow each other, each with all its tokens.
    scores = scores.view(batch, heads, tokens, slots) + mask
    # The kernel adds up in float32 whatever the dtype.
    weights = torch.softmax(scores, dim=-1)
    if dropout and module.training:
        weights = nn.functional.dropout(weights, dropout)
    mixed = weights.view(batch, shared, -1, slots) @ value
    return mixed.view(batch, heads, tokens, width).transpose(1, 2)


AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, eager_mask)
