"""Losses over the hidden states of a batch."""

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ..models.head import RestrictedHead
from .batches import Batch

# Rows of logits held at once; 128 of Gemma's 262,144 entries are 134 MB in float32.
CHUNK = 128


def constrained_loss(head: RestrictedHead, hidden: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy over the legal tokens, where there are several.

    What the decoder asks is what is trained, as in ASP (Liu et al.,
    "Autoregressive Structured Prediction with Language Models", 2022).

    head (RestrictedHead): The model's head.
    hidden (Tensor): Shape (rows * length, width).
    batch (Batch): The batch.
    RETURNS (Tensor): The sum over the choices, a scalar.
    """
    if not len(batch.choice_at):
        return hidden.sum() * 0.0
    logits = head.rows(hidden[batch.choice_at], batch.legal)
    places = torch.arange(logits.shape[1], device=logits.device)
    logits = logits.masked_fill(places >= batch.legal_count[:, None], -torch.inf)
    return functional.cross_entropy(logits, batch.right, reduction="sum")


def lm_loss(head: RestrictedHead, hidden: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy over the whole vocabulary, at every token of the output.

    The logits are computed some rows at a time, and once more on the way back, so
    that they never stand in memory whole.

    head (RestrictedHead): The model's head.
    hidden (Tensor): Shape (rows * length, width).
    batch (Batch): The batch.
    RETURNS (Tensor): The sum over the tokens, a scalar.
    """
    wanted = hidden[batch.token_at]
    total = hidden.new_zeros((), dtype=head.dtype)
    for start in range(0, len(wanted), CHUNK):
        rows = slice(start, start + CHUNK)
        total = total + checkpoint(
            _chunk_loss, head, wanted[rows], batch.token[rows], use_reentrant=False
        )
    return total


def _chunk_loss(head: RestrictedHead, hidden: Tensor, token: Tensor) -> Tensor:
    return functional.cross_entropy(head.full(hidden), token, reduction="sum")
