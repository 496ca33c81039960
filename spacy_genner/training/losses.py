"""Losses over the hidden states of a batch."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..models.head import RestrictedHead
from .batches import Batch

# Rows of logits held at once; 128 of Gemma's 262,144 entries are 134 MB in float32.
CHUNK = 128


def constrained_loss(head: RestrictedHead, hidden: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy over the legal tokens, where there are several.

    What the decoder asks is what is trained, as in ASP (Liu et al.,
    "Autoregressive Structured Prediction with Language Models", 2022).

    head (RestrictedHead): The model's head.
    hidden (Tensor): Of the batch's tokens, shape (tokens, width).
    batch (Batch): The batch.
    RETURNS (Tensor): The sum over the choices, a scalar.
    """
    if not batch.choices:
        return hidden.sum() * 0.0
    total = hidden.new_zeros((), dtype=head.dtype)
    for choices in batch.choices:
        logits = head.rows(hidden[choices.at], choices.legal)
        places = torch.arange(logits.shape[1], device=logits.device)
        logits = logits.masked_fill(places >= choices.count[:, None], -torch.inf)
        total = total + functional.cross_entropy(logits, choices.right, reduction="sum")
    return total


def lm_loss(
    head: RestrictedHead, hidden: Tensor, batch: Batch, share: float = 1.0
) -> Tensor:
    """Cross-entropy over the whole vocabulary, at the tokens of the output.

    head (RestrictedHead): The model's head.
    hidden (Tensor): Of the batch's tokens, shape (tokens, width).
    batch (Batch): The batch.
    share (float): The share of tokens that are drawn, above 0 and at most 1. They
        stand for all: the expectation of loss and gradient does not depend on it.
    RETURNS (Tensor): The sum over the tokens, a scalar.
    """
    at, token, scale = batch.token_at, batch.token, 1.0
    count = len(token)
    drawn = max(1, round(share * count))
    if drawn < count:
        # By the CPU's random numbers, so that the device does not matter.
        chosen = torch.randperm(count)[:drawn].to(token.device)
        at, token, scale = at[chosen], token[chosen], count / drawn
    total: Tensor = _VocabularyLoss.apply(hidden[at], head, token)  # type: ignore[no-untyped-call]
    return scale * total


class _VocabularyLoss(torch.autograd.Function):
    """The loss with its gradient computed on the way there, some rows at a time, so
    that logits never stand in memory whole and are computed once (as in Hsu et al.,
    "Liger Kernel: Efficient Triton Kernels for LLM Training", 2024).

    The head is frozen: the gradient is that of the hidden states alone.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: RestrictedHead, token: Tensor
    ) -> Tensor:
        total = hidden.new_zeros((), dtype=head.dtype)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(hidden), CHUNK):
            rows = slice(start, start + CHUNK)
            with torch.enable_grad():
                part = hidden[rows].detach().requires_grad_()
                loss = functional.cross_entropy(
                    head.full(part), token[rows], reduction="sum"
                )
                (gradient[rows],) = torch.autograd.grad(loss, part)
            total += loss.detach()
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0].to(gradient.dtype), None, None
