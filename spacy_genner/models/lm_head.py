"""The language-model head, restricted to the tokens that a decision is among.

The output embedding is the largest matrix of a small model: that of Gemma 3 270M has
one vector for each of 262,144 tokens, 168 of the model's 268 million parameters. A
grammar leaves 2 to 20 legal tokens at a decision and one everywhere else. Only the
logits of the legal tokens are computed: their vectors are gathered and multiplied in
float32, and the rest of the vocabulary is not read.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import Errors

# Decisions among at most this many tokens form one group.
NARROW = 16
# The number of logits over the whole vocabulary that a CPU takes at a time: a megabyte
# in float32, which stays in the cache of the processor from step to step.
PART_SIZE = 2**18


def by_width(counts: Sequence[int]) -> Iterator[list[int]]:
    """Group decisions by their number of tokens.

    A decision between two tokens is then not padded to one among hundreds.

    counts (Sequence[int]): The number of tokens of each decision.
    YIELDS (list[int]): The indices of a group of decisions. The widest of them has less
        than twice the tokens of the narrowest, or all have at most `NARROW`.
    """
    groups: dict[int, list[int]] = {}
    for index, count in enumerate(counts):
        size = 0 if count <= NARROW else count.bit_length()
        groups.setdefault(size, []).append(index)
    yield from groups.values()


class RestrictedHead:
    """Computes logits with a language model's head, of some tokens or of all.

    network (PreTrainedModel): The causal language model. The scale and the cap of its
        logits are applied (Granite's `logits_scaling`, Gemma 2's
        `final_logit_softcapping`).

    weight (Tensor): The weight of the head, shape (vocabulary, width).
    dtype (torch.dtype): The dtype of the logits, float32 or wider.
    """

    def __init__(self, network: Any):
        head = network.get_output_embeddings()
        config = network.config.get_text_config()
        self.weight: Tensor = head.weight
        self.bias: Tensor | None = getattr(head, "bias", None)
        self.scale = 1.0 / float(getattr(config, "logits_scaling", None) or 1.0)
        self.scale *= float(getattr(config, "logit_scale", None) or 1.0)
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)
        # Products in bfloat16 would turn logits that differ in float32 into ties.
        self.dtype = torch.promote_types(self.weight.dtype, torch.float32)

    def rows(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """Compute the logits of some tokens, a different choice at each position.

        hidden (Tensor): Hidden states, shape (positions, width).
        ids (Tensor): Token ids, shape (positions, choices).
        RETURNS (Tensor): Logits in `dtype`, shape (positions, choices).
        """
        weight = self.weight[ids].to(self.dtype)
        logits = torch.einsum("pd,pcd->pc", hidden.to(self.dtype), weight)
        if self.bias is not None:
            logits = logits + self.bias[ids].to(self.dtype)
        return self._scaled(logits)

    def full(self, hidden: Tensor) -> Tensor:
        """Compute the logits of the whole vocabulary.

        hidden (Tensor): Hidden states, shape (positions, width).
        RETURNS (Tensor): Logits in `dtype`, shape (positions, vocabulary).
        """
        logits = torch.nn.functional.linear(hidden, self.weight, self.bias)
        return self._scaled(logits.to(self.dtype))

    @torch.no_grad()
    def cross_entropy(self, hidden: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the cross-entropy over the whole vocabulary, with its gradient.

        hidden (Tensor): Hidden states, shape (positions, width).
        tokens (Tensor): The id of the right token at each position, shape (positions,).
        RETURNS (tuple[Tensor, Tensor]): The sum over the positions in `dtype`, a
            scalar; and its gradient for the hidden states, of their shape and dtype.
        """
        total = hidden.new_zeros((), dtype=self.dtype)
        # First the products of hidden states and weight, then the gradient for them.
        products = torch.nn.functional.linear(hidden, self.weight, self.bias)
        size = len(hidden)
        if hidden.device.type == "cpu":
            size = max(1, PART_SIZE // products.shape[1])
        for start in range(0, len(hidden), size):
            part = slice(start, start + size)
            logits = self._scaled(products[part].to(self.dtype))
            right = tokens[part, None]
            normalizer = logits.logsumexp(1, keepdim=True)
            total += (normalizer - logits.gather(1, right)).sum()
            gradient = (logits - normalizer).exp_()
            gradient.scatter_add_(1, right, -torch.ones_like(normalizer))
            products[part] = self._before_scaling(gradient, logits)
        return total, products @ self.weight

    def check(self, network: Any, hidden: Tensor, logits: Tensor) -> None:
        """Compare the logits with those of the model.

        network (PreTrainedModel): The model.
        hidden (Tensor): Hidden states, shape (positions, width).
        logits (Tensor): The model's logits for them, shape (positions, vocabulary).
        RAISES (ValueError): The logits differ, because the model's head is not a plain
            linear layer.
        """
        found = self.full(hidden).to(torch.float32)
        expected = logits.to(torch.float32)
        tolerance = 0.05 * expected.abs().max() + 1e-3
        if (found - expected).abs().max() > tolerance:
            raise ValueError(Errors.G105.format(model=type(network).__name__))

    def _scaled(self, logits: Tensor) -> Tensor:
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits

    def _before_scaling(self, gradient: Tensor, logits: Tensor) -> Tensor:
        """The gradient for the input of `_scaled`, from that for its result, which is
        overwritten."""
        if self.softcap is not None:
            gradient.mul_(1.0 - (logits / self.softcap) ** 2)
        return gradient.mul_(self.scale) if self.scale != 1.0 else gradient
