"""The bases loaded in this process: one copy of each, shared by all who name it."""

import copy
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ..errors import Errors
from .bases import BaseSource, resolve_base
from .devices import resolve_device, resolve_dtype
from .gguf import MANIFEST, ROUNDED
from .kernels import limit_kernel_caches
from .tokenizers import SAFE, read_tokenizer

_Key = tuple[str, str | None, str, str]


@dataclass(frozen=True, eq=False)
class LoadedBase:
    """A base model in memory. Its tensors are shared and must never be written.

    source (BaseSource): Where it comes from.
    model (PreTrainedModel): The network, in eval mode, without gradients.
    tokenizer (PreTrainedTokenizerBase): Its tokenizer.
    dtype (torch.dtype): The dtype of its weights.
    device (torch.device): Where it is.
    """

    source: BaseSource
    model: Any
    tokenizer: Any
    dtype: torch.dtype
    device: torch.device


_lock = threading.Lock()
_key_locks: dict[_Key, threading.Lock] = {}
_loaded: "weakref.WeakValueDictionary[_Key, LoadedBase]" = weakref.WeakValueDictionary()


def get_base(
    name: str, revision: str | None = None, dtype: str = "auto", device: str = "auto"
) -> LoadedBase:
    """The loaded base of this name; loads it where nobody in the process has.

    It stays loaded as long as somebody holds it. Threads that ask at once for the
    same base get the same copy.

    name (str): `pip:PACKAGE`, a folder or a hub id.
    revision (str | None): Branch, tag or commit of a hub id.
    dtype (str): "auto", "float64", "float32", "bfloat16" or "float16".
    device (str): "auto", "cpu", "cuda", "cuda:N" or "mps".
    RETURNS (LoadedBase): The shared base.
    RAISES (ValueError): If there is no such base, or if it can't be loaded.
    """
    wanted_device = resolve_device(device)
    wanted_dtype = resolve_dtype(dtype, wanted_device)
    source = resolve_base(name, revision)
    key = (str(source.folder), revision, str(wanted_dtype), str(wanted_device))
    with _lock:
        key_lock = _key_locks.setdefault(key, threading.Lock())
    with key_lock:
        base = _loaded.get(key)
        if base is None:
            base = _load(source, wanted_dtype, wanted_device)
            _loaded[key] = base
    return base


def _load(source: BaseSource, dtype: torch.dtype, device: torch.device) -> LoadedBase:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    from .attention import attention_for

    limit_kernel_caches()
    folder = str(source.folder)
    try:
        with ThreadPoolExecutor(1) as pool:
            # A vocabulary of 262,144 entries takes longer to read than the weights.
            reading = pool.submit(read_tokenizer, source.folder)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                variant=_variant(source.folder, dtype),
                attn_implementation=attention_for(device),
                use_safetensors=True,
                output_loading_info=True,
                **SAFE,
            )
            tokenizer = reading.result()
    except (
        ValueError,
        KeyError,
        OSError,
        ImportError,
        RuntimeError,
        SafetensorError,
    ) as err:
        raise ValueError(
            Errors.G233.format(name=source.name, folder=folder, reason=err)
        ) from err
    model, report = loaded
    if report["missing_keys"]:
        # transformers would go on with random weights in their place.
        missing = f"it has no weights for {sorted(report['missing_keys'])[0]}"
        raise ValueError(
            Errors.G233.format(name=source.name, folder=folder, reason=missing)
        )
    model = model.to(device).eval().requires_grad_(False)
    text_decoder(model)
    return LoadedBase(source, model, tokenizer, dtype, device)


def _variant(folder: Path, dtype: torch.dtype) -> str | None:
    """The weights that are rounded already, where the folder has them."""
    rounded = (folder / MANIFEST).is_file() and any(folder.glob(f"*.{ROUNDED}*"))
    return ROUNDED if rounded and dtype == torch.bfloat16 else None


def share_modules(model: nn.Module) -> Any:
    """A copy of a network's modules over the very same tensors.

    Modules of the copy can be replaced, and set to training, without touching the
    original. The tensors must not be written.

    model (nn.Module): The network.
    RETURNS (nn.Module): The copy, of the same class.
    """
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        memo[id(tensor)] = tensor
    return copy.deepcopy(model, memo)


def checkpoint_gradients(network: Any, name: str) -> None:
    """Let a network's layers be run once more for their gradients (Chen et al.,
    "Training Deep Nets with Sublinear Memory Cost", 2016).

    network (PreTrainedModel): The network.
    name (str): The base's name, for the message.
    RAISES (ValueError): Its class has no such thing.
    """
    if not network.supports_gradient_checkpointing:
        cls = type(network).__name__
        raise ValueError(Errors.G245.format(name=name, cls=cls))
    # transformers has renamed it.
    enable = getattr(network, "activation_checkpointing_enable", None)
    (enable or network.gradient_checkpointing_enable)({"use_reentrant": False})


def text_decoder(model: nn.Module) -> nn.Module:
    """The part of a causal language model that reads text: no head, no images.

    model (nn.Module): A network with a language-model head.
    RETURNS (nn.Module): The stack of layers with the token embedding.
    RAISES (ValueError): If none is found.
    """
    find = getattr(model, "get_decoder", None)
    decoder = model if find is None else find()
    if decoder is model or decoder is None:
        config = getattr(model, "config", None)
        name = getattr(config, "name_or_path", "")
        raise ValueError(Errors.G234.format(name=name, cls=type(model).__name__))
    return cast(nn.Module, decoder)
