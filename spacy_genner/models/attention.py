"""Attention for CPUs: plain matrix products, query heads of one key head together.

On a CPU, torch's fused attention takes longer than the products themselves when query
heads share a key head (as in Gemma 3) and rows are of the length of a sentence; with
gradients, too. The matrix of scores, which the fused one does without, is small at this
length.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from .packing import Packed

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
