"""Root-mean-square norms whose backward pass is written out.

A frozen norm has a gradient for its input alone, which is a few products (Zhang and
Sennrich, "Root Mean Square Layer Normalization", 2019). Autograd goes through every
step of the forward pass instead, one pass over memory each.
"""

from typing import Any

import torch
from torch import Tensor, nn

_EPS_NAMES = ("eps", "variance_epsilon")


class FrozenRMSNorm(nn.Module):
    """A norm that computes as a given one does.

    weight (nn.Parameter): The norm's own weight, shape (width,); frozen.
    eps (float): What keeps the root away from 0.
    around_one (bool): Whether the weight is a difference from 1, and multiplied in
        float32 (Gemma); else it is multiplied in the input's dtype (Llama and others).
    """

    def __init__(self, weight: nn.Parameter, eps: float, around_one: bool):
        super().__init__()
        self.weight = weight
        self.eps = eps
        self.around_one = around_one

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalise.

        hidden (Tensor): Shape (..., width).
        RETURNS (Tensor): The same shape and dtype.
        """
        result: Tensor = _Normalise.apply(  # type: ignore[no-untyped-call]
            hidden, self.weight, self.eps, self.around_one
        )
        return result


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, eps: float, around_one: bool
    ) -> Tensor:
        # As the models do, also in float64.
        wide = hidden.to(torch.float32)
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(hidden, weight, scale)
        ctx.around_one = around_one
        if around_one:
            # In place: the same numbers, one pass over memory less.
            return (wide * scale).mul_(1.0 + weight.to(wide.dtype)).to(hidden.dtype)
        return weight * (wide * scale).to(hidden.dtype)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None, None]:
        hidden, weight, scale = ctx.saved_tensors
        wide = hidden.to(scale.dtype)
        factor = weight.to(scale.dtype)
        inner = outer[0].to(scale.dtype) * (1.0 + factor if ctx.around_one else factor)
        mean = (inner * wide).mean(-1, keepdim=True)
        gradient = inner.mul_(scale).addcmul_(wide, mean * scale.pow(3), value=-1)
        return gradient.to(hidden.dtype), None, None, None


def freeze_norms(network: nn.Module) -> None:
    """Put norms with a written-out backward pass in the place of frozen ones.

    A norm is replaced where the new one gives the very same numbers for a sample, and
    left alone where it does not.

    network (nn.Module): A module tree of one's own, from `share_modules`.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            made = _frozen(child)
            if made is not None:
                setattr(parent, name, made)


@torch.no_grad()
def _frozen(norm: nn.Module) -> FrozenRMSNorm | None:
    if not type(norm).__name__.endswith("RMSNorm"):
        return None
    named = (getattr(norm, name, None) for name in _EPS_NAMES)
    eps = next((value for value in named if value is not None), None)
    weight = getattr(norm, "weight", None)
    if not isinstance(eps, float) or not isinstance(weight, nn.Parameter):
        return None
    if weight.requires_grad or weight.dim() != 1 or len(list(norm.parameters())) > 1:
        return None
    steps = torch.arange(1, 2 * len(weight) + 1, device=weight.device)
    sample = torch.sin(steps.to(torch.float32)).view(2, -1).to(weight.dtype)
    for around_one in (True, False):
        made = FrozenRMSNorm(weight, eps, around_one)
        if torch.equal(made(sample), norm(sample)):
            return made
    return None
