"""The language-model head restricted to the allowed tokens."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import Errors

# Decisions among fewer tokens than this are held together; a table of their ids is
# padded to the longest.
NARROW = 16


def by_width(counts: Sequence[int]) -> Iterator[list[int]]:
    """Part decisions by the number of tokens that they are among, so that those among
    two need not be padded to those among hundreds.

    counts (Sequence[int]): The number of tokens of each decision.
    YIELDS (List[int]): Indices of decisions, of which the longest has less than twice
        the tokens of the shortest, or all are narrow.
    """
    groups: dict[int, list[int]] = {}
    for index, count in enumerate(counts):
        size = 0 if count <= NARROW else count.bit_length()
        groups.setdefault(size, []).append(index)
    yield from groups.values()


class RestrictedHead:
    """The rows of a language model's head that a decision needs.

    Gemma 3 270M has 262,144 rows, 168 of its 268 million parameters; a decision
    compares 2 to 20 of them.

    network (PreTrainedModel): The causal LM. Its scaling and capping of logits are
        heeded (Granite's `logits_scaling`, Gemma 2's `final_logit_softcapping`).
    """

    def __init__(self, network: Any):
        head = network.get_output_embeddings()
        config = network.config.get_text_config()
        self.weight: Tensor = head.weight
        self.bias: Tensor | None = getattr(head, "bias", None)
        self.scale = 1.0 / float(getattr(config, "logits_scaling", None) or 1.0)
        self.scale *= float(getattr(config, "logit_scale", None) or 1.0)
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)
        # Products in bfloat16 would make ties of what float32 tells apart.
        self.dtype = torch.promote_types(self.weight.dtype, torch.float32)

    def rows(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """Logits of some tokens, others for each position.

        hidden (Tensor): Shape (positions, width).
        ids (Tensor): Token ids, shape (positions, choices).
        RETURNS (Tensor): Shape (positions, choices), float32 or wider.
        """
        weight = self.weight[ids].to(self.dtype)
        logits = torch.einsum("pd,pcd->pc", hidden.to(self.dtype), weight)
        if self.bias is not None:
            logits = logits + self.bias[ids].to(self.dtype)
        return self._capped(logits)

    def full(self, hidden: Tensor) -> Tensor:
        """Logits of the whole vocabulary.

        hidden (Tensor): Shape (positions, width).
        RETURNS (Tensor): Shape (positions, vocabulary), float32 or wider.
        """
        logits = torch.nn.functional.linear(hidden, self.weight, self.bias)
        return self._capped(logits.to(self.dtype))

    def check(self, network: Any, hidden: Tensor, logits: Tensor) -> None:
        """Compare with what the model itself computes.

        network (PreTrainedModel): The model.
        hidden (Tensor): Shape (positions, width).
        logits (Tensor): The model's own for them, shape (positions, vocabulary).
        RAISES (ValueError): They differ: the model has a head of its own kind.
        """
        mine = self.full(hidden).to(torch.float32)
        own = logits.to(torch.float32)
        if (mine - own).abs().max() > 0.05 * own.abs().max() + 1e-3:
            raise ValueError(Errors.G105.format(model=type(network).__name__))

    def _capped(self, logits: Tensor) -> Tensor:
        logits = logits * self.scale
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return logits
