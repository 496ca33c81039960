"""LoRA layers on a shared base: add, load, save and merge an adapter.

LoRA (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021) leaves the
weights of the base as they are and adds a trainable product of two narrow matrices to
each adapted layer. Several components share one base, so all functions here work on a
module tree of the component's own (see `share_modules`) and never write a tensor of the
base.

For decoding the adapter is merged into copies of the adapted weights, which saves the
extra products, or stays beside the base, which saves memory. Files are those of peft,
which reads and writes the same adapters.
"""

import dataclasses
import json
import math
import weakref
from pathlib import Path
from typing import Any

import psutil
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
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from ..config.settings import ALL_LINEAR, LoraSettings
from ..errors import Errors
from .adapter_files import AdapterFiles
from .base_model import share_modules, text_decoder

# The name of the adapter within peft, which can hold several.
ADAPTER = "default"
# What peft puts before the name of every saved tensor.
_FILE_PREFIX = "base_model.model."
# The bytes of the merged weights of the networks that are in use.
_merged_sizes: "weakref.WeakKeyDictionary[nn.Module, int]" = weakref.WeakKeyDictionary()


class LoraLinear(PeftLinear):
    """peft's LoRA layer, with its products in the dtype of the input.

    peft casts the input to the dtype of the adapter's weights. These are float32 for
    the optimizer, and float32 products on a bfloat16 base are slow. Here the weights
    are cast instead; their gradients arrive in float32.
    """

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Apply the layer and its adapter.

        x (torch.Tensor): The input, shape (..., in_features).
        RETURNS (torch.Tensor): The output, shape (..., out_features).
        """
        if args or kwargs or self.lora_variant or self.disable_adapters or self.merged:
            return super().forward(x, *args, **kwargs)
        base: Any = self.base_layer
        scaling, dropout = self.scaling[ADAPTER], self.lora_dropout[ADAPTER]
        frozen = not any(weight.requires_grad for weight in base.parameters())
        if type(base) is nn.Linear and frozen and isinstance(dropout, nn.Identity):
            down, up = self.lora_A[ADAPTER].weight, self.lora_B[ADAPTER].weight
            product: torch.Tensor = _LoraProduct.apply(  # type: ignore[no-untyped-call]
                x, base.weight, base.bias, down, up, scaling
            )
            return product
        result: torch.Tensor = base(x)
        narrow_down, narrow_up = _factors(self, result.dtype)
        hidden = nn.functional.linear(dropout(x), narrow_down).flatten(0, -2)
        # One rounding for the sum, and no second tensor of the size of the output.
        output = torch.addmm(
            result.flatten(0, -2), hidden, narrow_up.t(), alpha=scaling
        )
        return output.view_as(result)

    @property
    def weight(self) -> torch.Tensor:
        """The adapted weight, shape (out_features, in_features), for code that uses
        the weight of a layer directly, such as the fused kernels of state-space layers
        with their output projection."""
        if self.lora_variant or self.disable_adapters or self.merged:
            return super().weight
        return adapted_weight(self)


class _LoraProduct(torch.autograd.Function):
    """A frozen linear layer and its adapter, with an explicit backward pass.

    The adapter's part is added in place, to the output and to the gradient of the
    input. Autograd would keep a second tensor for each sum.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        flat = x.flatten(0, -2)
        narrow_down, narrow_up = down.to(weight.dtype), up.to(weight.dtype)
        hidden = nn.functional.linear(flat, narrow_down)
        output = nn.functional.linear(flat, weight, bias)
        output.addmm_(hidden, narrow_up.t(), alpha=scaling)
        ctx.save_for_backward(flat, weight, hidden, narrow_down, narrow_up)
        ctx.scaling = scaling
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[Any, ...]:
        flat, weight, hidden, down, up = ctx.saved_tensors
        grad = grad_outputs[0].flatten(0, -2)
        narrow = (grad @ up).mul_(ctx.scaling)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad @ weight).addmm_(narrow, down)
            grad_x = grad_x.view(*grad_outputs[0].shape[:-1], -1)
        grad_down = narrow.t() @ flat
        grad_up = (grad.t() @ hidden).mul_(ctx.scaling)
        # Autograd converts the gradients to the dtype of the adapter.
        return grad_x, None, None, grad_down, grad_up, None


def adapted_weight(layer: Any) -> torch.Tensor:
    """Compute the weight of a LoRA layer with its adapter merged in.

    layer (PeftLinear): The layer. Its own tensors are not written.
    RETURNS (torch.Tensor): A new tensor in the dtype of the base's weight, shape
        (out_features, in_features).
    """
    base: torch.Tensor = layer.base_layer.weight
    if layer.lora_variant:
        # DoRA: merge_safe works on the tensor that is passed.
        variant = layer.lora_variant[ADAPTER]
        return variant.merge_safe(layer, ADAPTER, base.detach().clone()).to(base.dtype)
    # The sum is computed in at least float32, so that it is rounded once.
    wide = torch.promote_types(base.dtype, torch.float32)
    down, up = _factors(layer, wide)
    # In place: one tensor of the size of the weight less.
    merged = base.detach().to(wide, copy=True)
    return merged.addmm_(up, down, alpha=layer.scaling[ADAPTER]).to(base.dtype)


def _factors(layer: Any, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    down: torch.Tensor = layer.lora_A[ADAPTER].weight
    up: torch.Tensor = layer.lora_B[ADAPTER].weight
    return down.to(dtype), up.to(dtype)


def target_names(network: nn.Module, targets: str | tuple[str, ...]) -> list[str]:
    """Find the layers to adapt, in the short form that peft writes.

    network (nn.Module): A network without an adapter.
    targets (str | tuple[str, ...]): "all-linear", or last parts of module names.
    RETURNS (list[str]): Last parts of names if they identify the layers, full names if
        a layer outside the text decoder has one of them.
    RAISES (ValueError): The text decoder has no such linear layer.
    """
    decoder = text_decoder(network)
    linears = linear_layers(decoder)
    if targets == ALL_LINEAR:
        chosen = list(linears)
        missing = [] if chosen else [ALL_LINEAR]
    else:
        chosen = [name for name in linears if _has_suffix(name, *targets)]
        missing = [
            suffix
            for suffix in targets
            if not any(_has_suffix(name, suffix) for name in linears)
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
    matched = {name for name, _ in network.named_modules() if _has_suffix(name, *short)}
    return short if matched == full else sorted(full)


def _has_suffix(name: str, *suffixes: str) -> bool:
    return any(name == suffix or name.endswith(f".{suffix}") for suffix in suffixes)


def linear_layers(decoder: nn.Module) -> dict[str, nn.Module]:
    """List the linear layers of a text decoder.

    decoder (nn.Module): The text decoder of a network.
    RETURNS (dict[str, nn.Module]): The layers by their name within the decoder.
    """
    return {
        name: module
        for name, module in decoder.named_modules()
        if isinstance(module, nn.Linear)
    }


def add_lora(
    network: nn.Module,
    settings: LoraSettings,
    base_name: str,
    revision: str | None = None,
    seed: int = 0,
) -> nn.Module:
    """Add a new adapter to a network. The output stays the same until it is trained.

    network (nn.Module): A module tree of the caller's own, from `share_modules`.
    settings (LoraSettings): Rank, alpha, dropout and the layers to adapt.
    base_name (str): The base's name in the config, recorded in the adapter's config.
    revision (str | None): The base's revision in the config.
    seed (int): The seed of the initial weights, which depend on nothing else.
    RETURNS (nn.Module): The same network.
    RAISES (ValueError): A layer to adapt is not in the text decoder.
    """
    config = LoraConfig(
        r=settings.rank,
        # peft declares int and accepts any number.
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
    """Add a saved adapter to a network, with the settings that it was tuned with.

    network (nn.Module): A module tree of the caller's own, from `share_modules`.
    files (AdapterFiles): The adapter, saved by this project or by peft.
    base_name (str): The name of the base, for messages.
    where (str): The origin of the adapter, for messages.
    RETURNS (nn.Module): The same network.
    RAISES (ValueError): The adapter is damaged or does not fit the base.
    """

    def mismatch(reason: Any) -> ValueError:
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
    # The saved weights replace the initial ones, so these need no special method.
    method, config.init_lora_weights = config.init_lora_weights, True
    allowed = {id(layer) for layer in linear_layers(text_decoder(network)).values()}
    try:
        _inject(network, config)
    except ValueError as err:
        raise mismatch(err) from err
    for name, layer in lora_layers(network, all_kinds=True).items():
        if id(layer.get_base_layer()) not in allowed:
            raise ValueError(Errors.G256.format(where=where, found=name))
    try:
        result: Any = set_peft_model_state_dict(network, tensors, adapter_name=ADAPTER)
    except (RuntimeError, KeyError, ValueError) as err:
        raise mismatch(err) from err
    missing = [key for key in result.missing_keys if ".lora_" in key]
    if missing:
        raise mismatch(f"it has no weights for {missing[0]}")
    if result.unexpected_keys:
        raise mismatch(f"the base has no layer for {result.unexpected_keys[0]}")
    config.init_lora_weights = method
    return network


def _inject(network: nn.Module, config: LoraConfig) -> None:
    config._register_custom_module({nn.Linear: LoraLinear})
    config.inference_mode = False
    # The caller's random numbers must not depend on when an adapter is made.
    with torch.random.fork_rng(devices=[]):
        inject_adapter_in_model(config, network, adapter_name=ADAPTER)
    # peft creates the adapter in the dtype of the base.
    for parameter in adapter_parameters(network).values():
        parameter.data = parameter.data.to(torch.float32)
        parameter.requires_grad_(True)


def _lora_config(values: dict[str, Any]) -> LoraConfig:
    """A LoraConfig of the keys that the installed peft has. An adapter of a newer peft
    may have more, with neutral values."""
    known = {field.name for field in dataclasses.fields(LoraConfig)}
    kept = {key: value for key, value in values.items() if key in known}
    kept.pop("runtime_config", None)
    return LoraConfig(**kept)


def adapter_files(network: nn.Module, base_name: str) -> AdapterFiles:
    """Get the adapter of a network as peft would save it.

    network (nn.Module): A network with an adapter.
    base_name (str): The base's name in the config.
    RETURNS (AdapterFiles): The content of peft's two files.
    """
    # False: no tensor of the base is saved, and peft does not look for it on the hub.
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
    return AdapterFiles(plain, weights).sealed()


def _to_json(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


def adapter_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """List the trainable weights of the adapter.

    network (nn.Module): A network with an adapter.
    RETURNS (dict[str, nn.Parameter]): The weights by name, in a fixed order.
    """
    return {
        name: parameter
        for name, parameter in network.named_parameters()
        if ".lora_" in name
    }


def has_effect(network: nn.Module) -> bool:
    """Whether an adapter changes the output. A new adapter does not: one of its
    factors is 0.

    network (nn.Module): A network with an adapter.
    RETURNS (bool): Whether any of the second factors has a value other than 0.
    """
    return any(
        bool(parameter.detach().any())
        for name, parameter in adapter_parameters(network).items()
        if ".lora_B." in name
    )


def effective_alpha(network: nn.Module) -> float:
    """The `alpha` of an adapter, which scales how much an update changes the output.

    network (nn.Module): A network with an adapter.
    RETURNS (float): The highest product of scaling and rank of the adapted layers. It
        is `alpha`, unless an adapter from elsewhere is scaled in another way.
    """
    return float(
        max(
            layer.scaling[ADAPTER] * layer.r[ADAPTER]
            for layer in lora_layers(network).values()
        )
    )


def lora_layers(network: nn.Module, all_kinds: bool = False) -> dict[str, Any]:
    """List the adapted layers of a network.

    network (nn.Module): A network with an adapter.
    all_kinds (bool): Whether to include peft's other layers (embeddings, convolutions).
    RETURNS (dict[str, PeftLinear]): The layers by name.
    """
    kind = BaseTunerLayer if all_kinds else PeftLinear
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, kind)
    }


def set_dropout(network: nn.Module, rate: float) -> None:
    """Set the dropout rate for the inputs of all adapted layers.

    network (nn.Module): A network with an adapter.
    rate (float): The rate, from 0 to below 1.
    """
    for layer in lora_layers(network).values():
        current = layer.lora_dropout[ADAPTER]
        if getattr(current, "p", 0.0) != rate:
            layer.lora_dropout[ADAPTER] = nn.Dropout(rate) if rate else nn.Identity()


def merged(network: nn.Module, in_place: bool = False) -> Any:
    """Create a network for decoding with the adapter merged in.

    network (nn.Module): A network with an adapter. Its tensors are not written.
    in_place (bool): Whether to use the modules of the network, which then has no
        adapter any more, instead of copies.
    RETURNS (nn.Module): A network in eval mode. It owns the adapted weights and shares
        all others with the base.
    """
    result = network if in_place else share_modules(network)
    size = 0
    with torch.no_grad():
        for name, layer in lora_layers(result).items():
            base = layer.get_base_layer()
            weight = adapted_weight(layer)
            size += weight.numel() * weight.element_size()
            base.weight = nn.Parameter(weight, requires_grad=False)
            parent, _, child = name.rpartition(".")
            setattr(result.get_submodule(parent), child, base)
    # peft leaves its config on a network.
    if hasattr(result, "peft_config"):
        del result.peft_config
    _merged_sizes[result] = size
    return result.eval()


def unmerged(network: nn.Module) -> Any:
    """Create a network for decoding with the adapter beside the base.

    network (nn.Module): A network with an adapter. Its tensors are not written.
    RETURNS (nn.Module): A network in eval mode. It owns a copy of the adapter in the
        dtype of the base, so that no forward pass casts it.
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
        # The parameters of a variant are still those of the training network.
        if parameter.requires_grad:
            _replace_by_frozen_copy(result, parameter)
    return result.eval()


def _replace_by_frozen_copy(network: nn.Module, parameter: nn.Parameter) -> None:
    for module in network.modules():
        for name, own in list(module.named_parameters(recurse=False)):
            if own is parameter:
                copied = nn.Parameter(own.detach().clone(), requires_grad=False)
                setattr(module, name, copied)


def should_merge(merge: bool | str, network: nn.Module, device: torch.device) -> bool:
    """Decide whether to decode with merged weights.

    merge (bool | str): True, False or "auto": merge if the copies of the adapted
        weights, together with those that other components hold, fit into half of the
        memory that is free without any of them.
    network (nn.Module): A network with an adapter.
    device (torch.device): The device of the network.
    RETURNS (bool): Whether to merge.
    """
    if isinstance(merge, bool):
        return merge
    weights = (layer.get_base_layer().weight for layer in lora_layers(network).values())
    needed = sum(weight.numel() * weight.element_size() for weight in weights)
    # Without the copies of others, each new component would take half of what its
    # predecessors left.
    copies = sum(
        size
        for other, size in list(_merged_sizes.items())
        if next(other.parameters()).device == device
    )
    return copies + needed <= (copies + free_memory(device)) // 2


def free_memory(device: torch.device) -> int:
    """Get the free memory of a device.

    device (torch.device): The device.
    RETURNS (int): The number of bytes.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        limit = torch.mps.recommended_max_memory()
        return int(limit - torch.mps.driver_allocated_memory())
    available = int(psutil.virtual_memory().available)
    limited = _cgroup_memory()
    return available if limited is None else min(available, limited)


def _cgroup_memory() -> int | None:
    """The bytes that a container's memory limit (cgroup 2) leaves; None without one.

    psutil reports the memory of the host.
    """
    cgroup = Path("/sys/fs/cgroup")
    try:
        limit = int((cgroup / "memory.max").read_text())
        return max(0, limit - int((cgroup / "memory.current").read_text()))
    except (OSError, ValueError):
        return None
