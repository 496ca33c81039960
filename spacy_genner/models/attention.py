"""Grouped-query attention on a CPU, and packing, which avoids padding.

The sequences of a batch rarely have the same length. Padded to the longest of them,
they cost a linear layer as much as if all were that long. Here the sequences are
packed: their tokens lie one after the other in a single sequence, so that embeddings,
linear layers and norms see no padding at all. Only attention depends on which tokens
belong together. `PackedLayout` records it, and `grouped_attention` pads queries, keys
and values inside the layer, in blocks of columns so that one long sequence does not pad
all others.

Importing this module registers `grouped_attention` with transformers under `NAME`.
"""

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

# The name under which transformers finds the attention function.
NAME = "genner_grouped"
# The overhead of a block of columns, and of each row in it, in tokens of padding.
BLOCK_COST = 16
ROW_COST = 2


def attention_implementation(device: torch.device) -> str | None:
    """Choose the attention implementation to load a model with.

    device (torch.device): The device that the model will be on.
    RETURNS (str | None): The name of the implementation here, or None for the default
        of transformers.
    """
    return NAME if device.type == "cpu" else None


@dataclass(frozen=True)
class PackedLayout:
    """The layout of a batch whose rows lie one after the other in one sequence.

    A shared prefix may come first. In the padded layout the same tokens form a matrix
    with a row for each sequence, padded on the right to the longest.

    prefix_length (int): The number of prefix tokens; 0 if the rows follow the content
        of a cache.
    lengths (tuple[int, ...]): The number of tokens of each row, at least one row.
    token_rows (Tensor): The row of each token behind the prefix, shape (tokens,).
    token_columns (Tensor): The column of each token in its row, shape (tokens,).
    padded_index (Tensor): The index of each token in the flattened padded layout,
        row * max_length + column, shape (tokens,).
    """

    prefix_length: int
    lengths: tuple[int, ...]
    token_rows: Tensor
    token_columns: Tensor
    padded_index: Tensor

    @classmethod
    def from_lengths(
        cls, prefix_length: int, lengths: Sequence[int], device: torch.device
    ) -> "PackedLayout":
        """Lay out rows of given lengths.

        prefix_length (int): The number of prefix tokens.
        lengths (Sequence[int]): The number of tokens of each row, at least one row.
        device (torch.device): The device of the index tensors.
        RETURNS (PackedLayout): The layout.
        """
        columns = torch.cat([torch.arange(length) for length in lengths]).to(device)
        rows = torch.repeat_interleave(torch.tensor(list(lengths))).to(device)
        padded_index = rows * max(lengths) + columns
        return cls(prefix_length, tuple(lengths), rows, columns, padded_index)

    @property
    def batch_size(self) -> int:
        """RETURNS (int): The number of rows."""
        return len(self.lengths)

    @property
    def max_length(self) -> int:
        """RETURNS (int): The number of tokens of the longest row."""
        return max(self.lengths)

    @property
    def positions(self) -> Tensor:
        """RETURNS (Tensor): The position of each token, the prefix included, shape
        (1, prefix_length + tokens). Each row continues the prefix."""
        prefix = torch.arange(self.prefix_length, device=self.token_columns.device)
        return torch.cat([prefix, self.prefix_length + self.token_columns])[None]

    @cached_property
    def blocks(self) -> list["Block"]:
        """RETURNS (list[Block]): The tokens in blocks of columns. A block holds only
        the rows that reach it, so little is padded if few rows are long."""
        lengths = sorted(self.lengths)
        cuts = [0, *_block_cuts(lengths, 0, lengths[-1]), lengths[-1]]
        return [self._block(first, last) for first, last in pairwise(cuts)]

    def _block(self, first: int, last: int) -> "Block":
        rows = [row for row, length in enumerate(self.lengths) if length > first]
        lengths = [min(self.lengths[row], last) - first for row in rows]
        device = self.token_columns.device
        inside = (self.token_columns >= first) & (self.token_columns < last)
        return Block(
            torch.tensor(rows, device=device) if len(rows) < self.batch_size else None,
            slice(first, last),
            inside.nonzero()[:, 0],
            PackedLayout.from_lengths(0, lengths, device),
        )

    def pad(self, tokens: Tensor) -> Tensor:
        """Convert from the packed to the padded layout, with zeros as padding.

        tokens (Tensor): The packed rows without the prefix, shape (heads, tokens,
            width).
        RETURNS (Tensor): Shape (rows, heads, max_length, width).
        """
        heads, count, width = tokens.shape
        flat = tokens.transpose(0, 1).reshape(count, heads * width)
        padded = flat.new_zeros(self.batch_size * self.max_length, heads * width)
        padded = padded.index_copy(0, self.padded_index, flat)
        shape = (self.batch_size, self.max_length, heads, width)
        return padded.view(shape).transpose(1, 2)

    def unpad(self, padded: Tensor) -> Tensor:
        """Convert from the padded to the packed layout.

        padded (Tensor): Shape (rows, max_length, ...).
        RETURNS (Tensor): Shape (tokens, ...).
        """
        return padded.flatten(0, 1).index_select(0, self.padded_index)


class Block(NamedTuple):
    """A range of columns of the padded layout, with the rows that reach it.

    rows (Tensor | None): The indices of the rows, shape (rows,); None for all rows.
    columns (slice): The columns.
    tokens (Tensor): The indices of the block's tokens in the packed layout, shape
        (tokens,).
    layout (PackedLayout): The layout of these tokens.
    """

    rows: Tensor | None
    columns: slice
    tokens: Tensor
    layout: PackedLayout


def _block_cuts(lengths: Sequence[int], first: int, last: int) -> list[int]:
    """Choose where to cut a range of columns into blocks, greedily from the best cut.

    The gain of a cut is the padding that it saves, less the cost of one more block.

    lengths (Sequence[int]): The lengths of the rows, in ascending order.
    first (int): The first column.
    last (int): The end of the range, exclusive.
    RETURNS (list[int]): The first column of each block but the first, in ascending
        order.
    """
    ended = bisect_right(lengths, first)
    best, best_gain = None, 0
    for cut in sorted({length for length in lengths if first < length < last}):
        ended_at_cut = bisect_right(lengths, cut)
        saved = (ended_at_cut - ended) * (last - cut)
        gain = saved - BLOCK_COST - ROW_COST * (len(lengths) - ended_at_cut)
        if gain > best_gain:
            best, best_gain = cut, gain
    if best is None:
        return []
    return [
        *_block_cuts(lengths, first, best),
        best,
        *_block_cuts(lengths, best, last),
    ]


def column_cuts(lengths: Sequence[int], longest: int) -> list[tuple[int, int]]:
    """Cut the columns of padded rows into blocks of little padding.

    lengths (Sequence[int]): The lengths of the rows, in any order.
    longest (int): Blocks of more columns are cut further.
    RETURNS (list[tuple[int, int]]): The first column of each block, and the column
        behind its last.
    """
    ordered = sorted(lengths)
    cuts = [0, *_block_cuts(ordered, 0, ordered[-1]), ordered[-1]]
    return [
        (start, min(start + longest, last))
        for first, last in pairwise(cuts)
        for start in range(first, last, longest)
    ]


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    packed: PackedLayout | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention with the signature that transformers expects.

    Grouped-query attention (Ainslie et al., "GQA: Training Generalized Multi-Query
    Transformer Models from Multi-Head Checkpoints", 2023) without repeated keys and
    values: all query heads of a group are multiplied with their key head in one
    product.

    module (nn.Module): The attention layer.
    query (Tensor): Shape (batch, heads, tokens, width).
    key (Tensor): Shape (batch, key heads, kv_length, width).
    value (Tensor): Shape (batch, key heads, kv_length, width).
    attention_mask (Tensor): Added to the scores, shape (batch or 1, 1, tokens,
        kv_length).
    scaling (float | None): The factor of the scores; None for 1 / sqrt(width).
    dropout (float): The dropout rate of the attention weights in training.
    softcap (float | None): The limit of the scores in models that cap them (Gemma 2).
    packed (PackedLayout | None): The layout if the queries are packed. With a prefix,
        keys and values are packed as the queries are, and the mask is that of the
        prefix and one row behind it. Without a prefix, keys, values and mask are those
        of the padded rows, as a cache returns them.
    RETURNS (tuple[Tensor, None]): The output, shape (batch, tokens, heads, width), and
        no attention weights.
    """

    def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        return _attend(module, query, key, value, mask, scaling, dropout, softcap)

    if packed is None:
        return attend(query, key, value, attention_mask), None
    if not packed.prefix_length:
        output = query.new_empty(query.shape[2], query.shape[1], value.shape[3])
        for rows, columns, tokens, layout in packed.blocks:
            others = [key, value, attention_mask[:, :, columns]]
            if rows is not None:
                others = [tensor.index_select(0, rows) for tensor in others]
            queries = layout.pad(query[0].index_select(1, tokens))
            output.index_copy_(0, tokens, layout.unpad(attend(queries, *others)))
        return output[None], None
    size = packed.prefix_length
    prefix_query, prefix_key, prefix_value = (
        tensor[:, :, :size] for tensor in (query, key, value)
    )
    prefix_mask, row_mask = (
        attention_mask[:, :, :size, :size],
        attention_mask[:, :, size:],
    )
    prefix = attend(prefix_query, prefix_key, prefix_value, prefix_mask)
    queries, *own = [packed.pad(t[0, :, size:]) for t in (query, key, value)]
    keys, values = (
        torch.cat([shared.expand(packed.batch_size, -1, -1, -1), tensor], dim=2)
        for shared, tensor in zip((prefix_key, prefix_value), own, strict=True)
    )
    rows = attend(queries, keys, values, row_mask)
    return torch.cat([prefix, packed.unpad(rows)[None]], dim=1), None


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
    """RETURNS (Tensor): Attention of a padded batch, shape (batch, tokens, heads,
    width)."""
    batch, heads, tokens, width = query.shape
    key_heads, kv_length = key.shape[1:3]
    scale = width**-0.5 if scaling is None else scaling
    grouped = query.reshape(batch, key_heads, -1, width)
    scores = (grouped @ key.transpose(2, 3)) * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    # The heads of a group follow each other, each with all its tokens.
    scores = scores.view(batch, heads, tokens, kv_length) + mask
    # The kernel accumulates in float32 whatever the dtype.
    weights = torch.softmax(scores, dim=-1)
    if dropout and module.training:
        weights = nn.functional.dropout(weights, dropout)
    mixed = weights.view(batch, key_heads, -1, kv_length) @ value
    return mixed.view(batch, heads, tokens, width).transpose(1, 2)


AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, eager_mask)
