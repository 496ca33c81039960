"""Root-mean-square norms with an explicit backward pass.

A frozen RMS norm (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019) has
a gradient for its input only, and a few products compute it. Autograd instead goes back
through every step of the forward pass, each of which is one pass over memory. On a CPU,
forward and backward pass take a part of the tokens at a time, whose numbers stay in the
cache of the processor from step to step.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

# The attribute names that transformers' norm classes use for epsilon.
_EPS_NAMES = ("eps", "variance_epsilon")
# The number of values that are normalized at a time on a CPU: half a megabyte in
# float32.
PART_SIZE = 2**17


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
        scale = hidden.new_empty((*hidden.shape[:-1], 1), dtype=torch.float32)
        factor, dtype = weight, torch.promote_types(weight.dtype, hidden.dtype)
        if around_one:
            factor, dtype = 1.0 + weight.to(scale.dtype), hidden.dtype
        result = torch.empty_like(hidden, dtype=dtype)
        for part in _parts(hidden):
            wide, own = hidden[part].to(scale.dtype), scale[part]
            torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps, out=own)
            wide = wide * own
            # Written where it belongs: no copy of the product.
            normed = wide if around_one else wide.to(hidden.dtype)
            torch.mul(normed, factor, out=result[part])
        ctx.save_for_backward(hidden, weight, scale)
        ctx.around_one = around_one
        return result

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        hidden, weight, scale = ctx.saved_tensors
        factor = weight.to(scale.dtype)
        if ctx.around_one:
            factor = 1.0 + factor
        grad_hidden = torch.empty_like(hidden)
        for part in _parts(hidden):
            wide, own = hidden[part].to(scale.dtype), scale[part]
            grad = grad_outputs[0][part].to(scale.dtype) * factor
            mean = (grad * wide).mean(-1, keepdim=True)
            grad_hidden[part] = grad.mul_(own).addcmul_(
                wide, mean * own.pow(3), value=-1
            )
        return grad_hidden, None, None, None


def _parts(hidden: Tensor) -> Iterator[tuple[Any, ...]]:
    """Cut hidden states into ranges of the last dimension but one.

    hidden (Tensor): Shape (..., tokens, width).
    YIELDS (tuple[Any, ...]): The index of a part.
    """
    if hidden.dim() < 2 or hidden.device.type != "cpu":
        yield (...,)
        return
    tokens = hidden.shape[-2]
    size = max(1, PART_SIZE * tokens // max(1, hidden.numel()))
    for start in range(0, tokens, size):
        yield (..., slice(start, start + size), slice(None))


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
