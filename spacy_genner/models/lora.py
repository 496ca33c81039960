"""LoRA layers on a shared base: add, load, save and merge."""

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from peft import (
    LoraConfig,
    get_peft_model_state_dict,
    inject_adapter_in_model,
    set_peft_model_state_dict,
)
from peft.tuners.lora import Linear as PeftLinear
from torch import nn

from ..config.settings import ALL_LINEAR, LoraSettings
from ..errors import Errors
from .adapter_files import AdapterFiles
from .base_model import share_modules, text_decoder


def target_names(network: nn.Module, targets: str | tuple[str, ...]) -> list[str]:
    """The layers to adapt, in the short form that peft itself writes.

    network (nn.Module): A network without an adapter.
    targets (str | tuple[str, ...]): "all-linear" or last parts of names.
    RETURNS (list[str]): Last parts of names where these say it all, full names where
        a layer outside the text decoder has the same.
    RAISES (ValueError): If the text decoder has no such linear layer.
    """
    decoder = text_decoder(network)
    linears = linear_layers(decoder)
    if targets == ALL_LINEAR:
        chosen = list(linears)
        missing = [] if chosen else [ALL_LINEAR]
    else:
        suffixes = tuple(targets)
        chosen = [name for name in linears if _ends(name, suffixes)]
        missing = [
            suffix
            for suffix in suffixes
            if not any(_ends(name, (suffix,)) for name in linears)
        ]
    if missing:
        found = sorted({name.rsplit(".", 1)[-1] for name in linears})
        raise ValueError(
            Errors.G242.format(
                missing=missing[0], cls=type(network).__name__, found=", ".join(found)
            )
        )
    prefix = next(
        (f"{name}." for name, module in network.named_modules() if module is decoder),
        "",
    )
    full = {prefix + name for name in chosen}
    short = sorted({name.rsplit(".", 1)[-1] for name in chosen})
    reached = {name for name, _ in network.named_modules() if _ends(name, tuple(short))}
    return short if reached == full else sorted(full)


def _ends(name: str, suffixes: tuple[str, ...]) -> bool:
    return any(name == suffix or name.endswith(f".{suffix}") for suffix in suffixes)


def linear_layers(decoder: nn.Module) -> dict[str, nn.Module]:
    """The linear layers of a text decoder.

    decoder (nn.Module): The text decoder of a network.
    RETURNS (dict[str, nn.Module]): Name within the decoder to layer.
    """
    return {
        name: module
        for name, module in decoder.named_modules()
        if isinstance(module, nn.Linear)
    }


ADAPTER = "default"
_FILE_PREFIX = "base_model.model."


class LoraLinear(PeftLinear):
    """peft's LoRA layer, with its products in the input's dtype.

    peft casts the input to the dtype of the adapter's weights. Those are kept in
    float32 for the optimizer, and float32 products on a bfloat16 base are slow.
    Here the weights are cast instead; their gradients arrive in float32.
    """

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Apply the layer and its adapter.

        x (torch.Tensor): The input, of shape (..., in_features).
        RETURNS (torch.Tensor): The output, of shape (..., out_features).
        """
        if args or kwargs or self.lora_variant or self.disable_adapters or self.merged:
            return super().forward(x, *args, **kwargs)
        result: torch.Tensor = self.base_layer(x)
        down, up = _factors(self, result.dtype)
        hidden = nn.functional.linear(self.lora_dropout[ADAPTER](x), down)
        # One rounding for the sum, and no second array of the output's size.
        added = torch.addmm(
            result.flatten(0, -2),
            hidden.flatten(0, -2),
            up.t(),
            alpha=self.scaling[ADAPTER],
        )
        return added.view_as(result)

    @property
    def weight(self) -> torch.Tensor:
        """The adapted weight, for code that multiplies with it by itself, as the
        fused kernels of state-space layers do with their output projection."""
        if self.lora_variant or self.disable_adapters or self.merged:
            return super().weight
        return adapted_weight(self)


def _factors(layer: Any, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    down: torch.Tensor = layer.lora_A[ADAPTER].weight
    up: torch.Tensor = layer.lora_B[ADAPTER].weight
    return down.to(dtype), up.to(dtype)


def adapted_weight(layer: Any) -> torch.Tensor:
    """The weight of a LoRA layer with its adapter merged in.

    layer (PeftLinear): The layer. Its own tensors stay as they are.
    RETURNS (torch.Tensor): A new tensor in the base weight's dtype, of shape
        (out_features, in_features).
    """
    base: torch.Tensor = layer.base_layer.weight
    if layer.lora_variant:
        # DoRA: merge_safe works on the tensor that it is given.
        variant = layer.lora_variant[ADAPTER]
        return variant.merge_safe(layer, ADAPTER, base.detach().clone()).to(base.dtype)
    # Summed in at least float32, so that there is one rounding.
    wide = torch.promote_types(base.dtype, torch.float32)
    down, up = _factors(layer, wide)
    whole = torch.addmm(base.to(wide), up, down, alpha=layer.scaling[ADAPTER])
    return whole.to(base.dtype)


def add_lora(
    network: nn.Module,
    settings: LoraSettings,
    base_name: str,
    revision: str | None = None,
    seed: int = 0,
) -> nn.Module:
    """Put a new adapter into a network. It changes nothing until it is trained.

    network (nn.Module): A module tree of one's own, from `share_modules`.
    settings (LoraSettings): Rank, alpha, dropout and the layers to adapt.
    base_name (str): The base's name in the config, noted in the adapter's config.
    revision (str | None): The base's revision in the config.
    seed (int): Fixes the adapter's first weights, whatever the device and dtype.
    RETURNS (nn.Module): The same network.
    RAISES (ValueError): If a layer to adapt is not in the text decoder.
    """
    config = LoraConfig(
        r=settings.rank,
        # peft takes any number and declares int.
        lora_alpha=settings.alpha,  # type: ignore[arg-type]
        lora_dropout=settings.dropout,
        target_modules=target_names(network, settings.target_modules),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base_name,
        revision=revision,
    )
    _inject(network, config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in lora_layers(network).values():
            down = torch.empty(layer.lora_A[ADAPTER].weight.shape)
            nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
            layer.lora_A[ADAPTER].weight.copy_(down)
            layer.lora_B[ADAPTER].weight.zero_()
    return network


def load_lora(
    network: nn.Module, files: AdapterFiles, base_name: str, where: str
) -> nn.Module:
    """Put a saved adapter into a network, with the settings that it was tuned with.

    network (nn.Module): A module tree of one's own, from `share_modules`.
    files (AdapterFiles): The adapter, ours or one that peft saved.
    base_name (str): The base's name, for messages.
    where (str): Where the adapter comes from, for messages.
    RETURNS (nn.Module): The same network.
    RAISES (ValueError): If the adapter does not fit the base.
    """

    def misfit(reason: Any) -> ValueError:
        tuned_on = files.config.get("base_model_name_or_path")
        return ValueError(
            Errors.G255.format(
                where=where, name=base_name, reason=reason, tuned_on=tuned_on
            )
        )

    try:
        tensors = safetensors.torch.load(files.weights)
    except (safetensors.SafetensorError, ValueError) as err:
        raise ValueError(Errors.G252.format(where=where, reason=err)) from err
    config = _lora_config(files.config)
    # The saved weights take the place of the first ones, however those were made.
    start, config.init_lora_weights = config.init_lora_weights, True
    allowed = {id(layer) for layer in linear_layers(text_decoder(network)).values()}
    try:
        _inject(network, config)
    except ValueError as err:
        raise misfit(err) from err
    for name, layer in lora_layers(network, every=True).items():
        if id(layer.get_base_layer()) not in allowed:
            raise ValueError(Errors.G256.format(where=where, found=name))
    try:
        result: Any = set_peft_model_state_dict(network, tensors, adapter_name=ADAPTER)
    except (RuntimeError, KeyError, ValueError) as err:
        raise misfit(err) from err
    missing = [key for key in result.missing_keys if ".lora_" in key]
    if missing:
        raise misfit(f"it has no weights for {missing[0]}")
    if result.unexpected_keys:
        raise misfit(f"the base has no layer for {result.unexpected_keys[0]}")
    config.init_lora_weights = start
    return network


def adapter_files(network: nn.Module, base_name: str) -> AdapterFiles:
    """The adapter of a network, as peft would save it.

    network (nn.Module): A network with an adapter.
    base_name (str): The base's name in the config.
    RETURNS (AdapterFiles): The content of peft's two files.
    """
    # False: nothing of the base is saved, and peft need not look for it on the hub.
    state = get_peft_model_state_dict(
        network, adapter_name=ADAPTER, save_embedding_layers=False
    )
    tensors = {
        _FILE_PREFIX + key.removeprefix(_FILE_PREFIX): value.detach().cpu().contiguous()
        for key, value in state.items()
    }
    config = dict(network.peft_config[ADAPTER].to_dict())  # type: ignore[index, operator, union-attr]
    config["base_model_name_or_path"] = base_name
    config["inference_mode"] = True
    plain = json.loads(json.dumps(config, default=_to_json))
    weights = safetensors.torch.save(tensors, metadata={"format": "pt"})
    return AdapterFiles(plain, weights)


def adapter_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """The adapter's trainable weights.

    network (nn.Module): A network with an adapter.
    RETURNS (dict[str, nn.Parameter]): Name to weight, always in the same order.
    """
    return {
        name: parameter
        for name, parameter in network.named_parameters()
        if ".lora_" in name
    }


def lora_layers(network: nn.Module, every: bool = False) -> dict[str, Any]:
    """The adapted layers of a network.

    network (nn.Module): A network with an adapter.
    every (bool): Also those of peft's other kinds (embeddings, convolutions).
    RETURNS (dict[str, PeftLinear]): Name to layer.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    kind = BaseTunerLayer if every else PeftLinear
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, kind)
    }


def _inject(network: nn.Module, config: LoraConfig) -> None:
    config._register_custom_module({nn.Linear: LoraLinear})
    config.inference_mode = False
    # The caller's random numbers do not depend on when an adapter is made.
    with torch.random.fork_rng(devices=[]):
        inject_adapter_in_model(config, network, adapter_name=ADAPTER)
    # peft gives the adapter the base's dtype.
    for parameter in adapter_parameters(network).values():
        parameter.data = parameter.data.to(torch.float32)
        parameter.requires_grad_(True)


def _lora_config(values: dict[str, Any]) -> LoraConfig:
    """A LoraConfig of what this version of peft knows; neutral values may be more."""
    known = {field.name for field in dataclasses.fields(LoraConfig)}
    kept = {key: value for key, value in values.items() if key in known}
    kept.pop("runtime_config", None)
    return LoraConfig(**kept)


def _to_json(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


def set_dropout(network: nn.Module, rate: float) -> None:
    """Set the dropout on the input of every adapted layer.

    network (nn.Module): A network with an adapter.
    rate (float): From 0 to below 1.
    """
    for layer in lora_layers(network).values():
        current = layer.lora_dropout[ADAPTER]
        if getattr(current, "p", 0.0) != rate:
            layer.lora_dropout[ADAPTER] = nn.Dropout(rate) if rate else nn.Identity()


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
