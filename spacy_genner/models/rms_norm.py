"""Root-mean-square norms with an explicit backward pass.

A frozen RMS norm (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019) has
a gradient for its input only, and a few products compute it. Autograd instead goes back
through every step of the forward pass, each of which is one pass over memory.
"""

from typing import Any

import torch
from torch import Tensor, nn

# The attribute names that transformers' norm classes use for epsilon.
_EPS_NAMES = ("eps", "variance_epsilon")


class FrozenRMSNorm(nn.Module):
    """An RMS norm with a frozen weight.

    weight (nn.Parameter): The weight of the norm that this one replaces, shape
        (width,).
    eps (float): Added to the mean square before the root.
    around_one (bool): Whether the weight is an offset from 1 that is applied in float32
        (Gemma). Otherwise the weight is applied in the input's dtype (Llama and
        others).
    """

    def __init__(self, weight: nn.Parameter, eps: float, around_one: bool):
        super().__init__()
        self.weight = weight
        self.eps = eps
        self.around_one = around_one

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalise hidden states.

        hidden (Tensor): Shape (..., width).
        RETURNS (Tensor): The same shape and dtype.
        """
        result: Tensor = _RMSNormFunction.apply(  # type: ignore[no-untyped-call]
            hidden, self.weight, self.eps, self.around_one
        )
        return result


class _RMSNormFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, eps: float, around_one: bool
    ) -> Tensor:
        # float32 even for float64 input, as in the models of transformers.
        wide = hidden.to(torch.float32)
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(hidden, weight, scale)
        ctx.around_one = around_one
        if around_one:
            # In place: the same numbers with one pass over memory less.
            return (wide * scale).mul_(1.0 + weight.to(wide.dtype)).to(hidden.dtype)
        return weight * (wide * scale).to(hidden.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        hidden, weight, scale = ctx.saved_tensors
        wide = hidden.to(scale.dtype)
        factor = weight.to(scale.dtype)
        grad = grad_outputs[0].to(scale.dtype)
        grad = grad * (1.0 + factor if ctx.around_one else factor)
        mean = (grad * wide).mean(-1, keepdim=True)
        grad_hidden = grad.mul_(scale).addcmul_(wide, mean * scale.pow(3), value=-1)
        return grad_hidden.to(hidden.dtype), None, None, None


def freeze_norms(network: nn.Module) -> None:
    """Replace the frozen RMS norms of a network by norms with an explicit backward.

    A norm is replaced only if the new one returns exactly the same numbers for a
    sample. Trainable norms and other kinds of norm stay.

    network (nn.Module): A module tree of the caller's own, from `share_modules`.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            replacement = frozen_norm(child)
            if replacement is not None:
                setattr(parent, name, replacement)


@torch.no_grad()
def frozen_norm(norm: nn.Module) -> FrozenRMSNorm | None:
    """Make the norm that replaces a frozen RMS norm.

    norm (nn.Module): Any module.
    RETURNS (FrozenRMSNorm | None): A norm over the same weight that returns exactly the
        same numbers for a sample; None if the module is no frozen RMS norm.
    """
    if not type(norm).__name__.endswith("RMSNorm"):
        return None
    values = (getattr(norm, name, None) for name in _EPS_NAMES)
    eps = next((value for value in values if value is not None), None)
    weight = getattr(norm, "weight", None)
    if not isinstance(eps, float) or not isinstance(weight, nn.Parameter):
        return None
    if weight.requires_grad or weight.dim() != 1 or len(list(norm.parameters())) > 1:
        return None
    steps = torch.arange(1, 2 * len(weight) + 1, device=weight.device)
    sample = torch.sin(steps.to(torch.float32)).view(2, -1).to(weight.dtype)
    for around_one in (True, False):
        replacement = FrozenRMSNorm(weight, eps, around_one)
        if torch.equal(replacement(sample), norm(sample)):
            return replacement
    return None
