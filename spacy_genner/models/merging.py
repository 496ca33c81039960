"""Networks for decoding: an adapter merged into copies, or beside the base."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .lora import ADAPTER, adapted_weight, adapter_parameters, lora_layers
from .store import share_modules


def merged(network: nn.Module) -> Any:
    """A network with the adapter merged in. It shares all else with the base.

    network (nn.Module): A network with an adapter. None of its tensors is written.
    RETURNS (nn.Module): A network in eval mode that owns the adapted weights.
    """
    result = share_modules(network)
    with torch.no_grad():
        for name, layer in lora_layers(result).items():
            base = layer.get_base_layer()
            weight = adapted_weight(layer)
            base.weight = nn.Parameter(weight, requires_grad=False)
            parent, _, child = name.rpartition(".")
            setattr(result.get_submodule(parent), child, base)
    # What peft leaves on a network that it has changed.
    if hasattr(result, "peft_config"):
        del result.peft_config
    return result.eval()


def unmerged(network: nn.Module) -> Any:
    """A network for decoding with the adapter beside the base.

    network (nn.Module): A network with an adapter. None of its tensors is written.
    RETURNS (nn.Module): A network in eval mode. Its adapter is a copy in the base's
        dtype, so that no step has to cast it.
    """
    result = share_modules(network)
    for layer in lora_layers(result).values():
        if layer.lora_variant:
            continue
        dtype = layer.get_base_layer().weight.dtype
        for part in (layer.lora_A[ADAPTER], layer.lora_B[ADAPTER]):
            weight = part.weight.detach().to(dtype, copy=True)
            part.weight = nn.Parameter(weight, requires_grad=False)
    for parameter in adapter_parameters(result).values():
        # Those of a variant are still the masters of training.
        if parameter.requires_grad:
            _freeze(result, parameter)
    return result.eval()


def _freeze(network: nn.Module, parameter: nn.Parameter) -> None:
    for module in network.modules():
        for name, own in list(module.named_parameters(recurse=False)):
            if own is parameter:
                copied = nn.Parameter(own.detach().clone(), requires_grad=False)
                setattr(module, name, copied)


def should_merge(merge: bool | str, network: nn.Module, device: torch.device) -> bool:
    """Whether to decode with merged weights.

    merge (bool | str): True, False or "auto": where the copies fit into half of
        the device's free memory.
    network (nn.Module): A network with an adapter.
    device (torch.device): Where it is.
    RETURNS (bool): Whether to merge.
    """
    if isinstance(merge, bool):
        return merge
    weights = (layer.get_base_layer().weight for layer in lora_layers(network).values())
    needed = sum(weight.numel() * weight.element_size() for weight in weights)
    free = free_memory(device)
    return free is None or needed <= free // 2


def free_memory(device: torch.device) -> int | None:
    """The free memory of a device.

    device (torch.device): The device.
    RETURNS (int | None): Bytes, or None where the system does not say.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        limit = torch.mps.recommended_max_memory()
        return int(limit - torch.mps.driver_allocated_memory())
    sizes = [size for size in (_system_memory(), _group_memory()) if size is not None]
    return min(sizes, default=None)


def _system_memory() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        # No system but Linux tells what is free; half of all is a fair guess.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return None


def _group_memory() -> int | None:
    """What a container's limit (cgroup 2) leaves."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        return max(0, limit - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        return None
