"""A causal language model with a LoRA adapter, loaded at first use.

`LanguageModel` belongs to one component. It records the settings and the saved adapter,
and imports torch and loads the base only if a network, the tokenizer or the device is
needed. Pipelines can therefore be created, saved and copied without a base. The base is
shared with the other components of the process (see `base_model`); the adapter and the
draft head are the component's own.
"""

import copy
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.settings import ModelSettings
from ..errors import Errors
from .adapter_files import (
    AdapterFiles,
    check_adapter_fits,
    check_adapter_targets,
    name_head_labels,
    read_adapter,
    write_adapter,
)
from .gc_pause import paused_gc
from .tokenization import TokenAlignedEncoder

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .adapter_source import AdapterSource
    from .base_model import LoadedBase
    from .draft_head import DraftHead


class LazyDraftHead:
    """The draft head of a component, created or loaded at first use.

    It does not import torch before there is a head.

    wanted (bool): Whether training creates a head.
    """

    def __init__(self, wanted: bool):
        self.wanted = wanted
        self._head: DraftHead | None = None
        self._saved = b""
        self._saved_where = ""

    def for_training(
        self, width: int, labels: Sequence[str], device: "torch.device", seed: int
    ) -> "DraftHead | None":
        """Get the head to train. A new one is created if there is none for these
        labels.

        width (int): The size of a hidden state.
        labels (Sequence[str]): The labels.
        device (torch.device): The device of the head.
        seed (int): The seed of the initial weights of a new head.
        RETURNS (DraftHead | None): The head; None if training creates none.
        RAISES (ValueError): The saved head is damaged.
        """
        if not self.wanted:
            return None
        head = self._head_for(labels)
        if head is None:
            from .draft_head import DraftHead

            head = DraftHead(width, len(labels), seed)
        head.names = tuple(labels)
        self._head = head
        return head.to(device)

    def for_decoding(
        self, labels: Sequence[str], device: "torch.device"
    ) -> "DraftHead | None":
        """Get the head to draft with.

        labels (Sequence[str]): The labels.
        device (torch.device): The device of the head.
        RETURNS (DraftHead | None): The head, with its scores in the order of the
            labels; None if none was trained for these labels.
        RAISES (ValueError): The saved head is damaged.
        """
        head = self._head_for(labels)
        return head.to(device) if head is not None and head.trained else None

    def parameters(self) -> "dict[str, nn.Parameter]":
        """List the weights of the head.

        RETURNS (dict[str, nn.Parameter]): The weights by name; empty if there is no
            head. The names include the number of labels.
        """
        head = self._loaded()
        if head is None:
            return {}
        return {
            f"draft_head.{head.labels}.{name}": parameter
            for name, parameter in head.named_parameters()
        }

    @property
    def memory(self) -> int:
        """RETURNS (int): The size of the weights in memory, in bytes."""
        if self._head is None:
            return len(self._saved)
        tensors = (*self._head.parameters(), *self._head.buffers())
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def clear(self) -> None:
        """Remove the head."""
        self._head, self._saved = None, b""

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The weights of the head; empty if there is no trained
        head."""
        if self._head is None:
            return self._saved
        return self._head.to_bytes() if self._head.trained else b""

    def from_bytes(self, data: bytes, where: str, labels: Sequence[str] = ()) -> None:
        """Set the head to the result of `to_bytes`, which is read at first use.

        data (bytes): The weights, or nothing.
        where (str): Their origin, for messages.
        labels (Sequence[str]): The labels that the head was trained for, if the
            weights, from an earlier version, do not name them.
        RAISES (ValueError): The weights, from an earlier version, are damaged.
        """
        if data and labels:
            data = name_head_labels(data, labels, where)
        self._head, self._saved, self._saved_where = None, data, where

    def _loaded(self) -> "DraftHead | None":
        saved = self._saved
        if self._head is None and saved:
            from .draft_head import DraftHead

            self._head = DraftHead.from_bytes(saved, self._saved_where)
            # The head holds the same weights.
            self._saved = b""
        return self._head

    def _head_for(self, labels: Sequence[str]) -> "DraftHead | None":
        head = self._loaded()
        return None if head is None else head.for_labels(labels)


class LanguageModel:
    """A base model, loaded at first use, with the LoRA adapter of one component.

    Any number of language models can share a base. Each has its own tree of modules
    over the same tensors, which are never written.

    name (str): `pip:PACKAGE`, a folder, a hub id or a GGUF file.
    revision (str | None): The branch, tag or commit of a hub id.
    lora (dict[str, Any] | None): Any of rank, alpha, dropout and target_modules of a
        new adapter; None for the base as it is.
    dtype (str): "auto", "float64", "float32", "bfloat16" or "float16".
    device (str): "auto", "cpu", "cuda", "cuda:N" or "mps".
    merge (bool | str): Whether to decode with copies of the adapted weights that have
        the adapter merged in; "auto" decides by the free memory.
    draft_head (bool): Whether to train a head that proposes spans with the adapter.
        Decoding is faster with one.
    head_weight (float): The weight of the head's scores in the choices of an inline
        output, from 0 to 10. With 0 the head does not change the results.
    seed (int): The seed of the initial weights of a new adapter.
    gradient_checkpointing (bool): Whether training recomputes each layer in the
        backward pass instead of storing its activations.
    adapter (str | None): The adapter that prediction and training start from: see
        `find_adapter`. Its settings replace those of `lora`. None for a new adapter.
    RAISES (ValueError): A setting can't be used.

    drafting (LazyDraftHead): The draft head.
    version (int): Changes with the weights of the adapter.
    """

    def __init__(
        self,
        name: str,
        revision: str | None = None,
        lora: dict[str, Any] | None = None,
        dtype: str = "auto",
        device: str = "auto",
        merge: bool | str = "auto",
        draft_head: bool = True,
        seed: int = 0,
        gradient_checkpointing: bool = False,
        adapter: str | None = None,
        head_weight: float = 0.0,
    ) -> None:
        settings = ModelSettings(
            name=name,
            lora=lora,
            dtype=dtype,
            device=device,
            merge=merge,
            draft_head=draft_head,
            head_weight=head_weight,
            gradient_checkpointing=gradient_checkpointing,
            adapter=adapter,
        )
        self.adapter = settings.adapter
        self.name = settings.name
        self.revision = revision
        self.lora = settings.lora
        self.dtype_name = settings.dtype
        self.device_name = settings.device
        self.merge = settings.merge
        self.seed = seed
        self.gradient_checkpointing = settings.gradient_checkpointing
        self.drafting = LazyDraftHead(settings.draft_head)
        self.head_weight = settings.head_weight
        self.version = 0
        # The adapter that was loaded, until the training network holds it.
        self._saved: AdapterFiles | None = None
        self._saved_where = ""
        # Whether the adapter of the settings still has to be read.
        self._starts = self.adapter is not None
        self._lock = threading.RLock()
        self._base: LoadedBase | None = None
        self._training: Any = None
        # With the version of the adapter that the network was made from.
        self._decoding: tuple[int, Any] | None = None

    @property
    def base(self) -> "LoadedBase":
        """RETURNS (LoadedBase): The shared base, loaded if necessary."""
        with self._lock:
            if self._base is None:
                self._base = self._load_base()
            return self._base

    @paused_gc()
    def _load_base(self) -> "LoadedBase":
        from .base_model import get_base

        return get_base(self.name, self.revision, self.dtype_name, self.device_name)

    @property
    def checksum(self) -> str:
        """RETURNS (str): The checksum of the base's weights, without loading them."""
        from .base_model import resolve_base

        return resolve_base(self.name, self.revision).checksum

    @property
    def is_loaded(self) -> bool:
        """RETURNS (bool): Whether this model has loaded its base."""
        return self._base is not None

    @property
    def tokenizer(self) -> Any:
        """RETURNS (PreTrainedTokenizerBase): The tokenizer of the base."""
        return self.base.tokenizer

    @property
    def token_encoder(self) -> TokenAlignedEncoder:
        """RETURNS (TokenAlignedEncoder): Encodes texts with the tokenizer. All models
        on the base share its cache."""
        return self.base.token_encoder

    @property
    def device(self) -> "torch.device":
        """RETURNS (torch.device): The device of the base."""
        return self.base.device

    @property
    def dtype(self) -> "torch.dtype":
        """RETURNS (torch.dtype): The dtype of the base's weights and products."""
        return self.base.dtype

    @property
    def has_adapter(self) -> bool:
        """RETURNS (bool): Whether there is an adapter, new or loaded."""
        return self.lora is not None or self._starts or self._saved is not None

    def _read_start(self) -> None:
        """Read the adapter that the settings name, at first use."""
        with self._lock:
            if self._starts and self.adapter is not None:
                from .adapter_source import find_adapter

                self._load_source(find_adapter(self.adapter))

    @property
    def is_untrained(self) -> bool:
        """RETURNS (bool): Whether the adapter is a new one, without effect on the
        output."""
        with self._lock:
            if self.lora is None or self._starts or self._saved is not None:
                return False
            if self._training is None:
                return True
            from .lora import has_effect

            return not has_effect(self._training)

    @property
    def training_network(self) -> Any:
        """The network to train: modules over the tensors of the base, with the adapter
        beside them.

        RETURNS (PreTrainedModel): A causal language model. The weights of the adapter
            are the only trainable ones; there are none without an adapter.
        RAISES (ValueError): The loaded adapter does not fit the base, or the base does
            not support gradient checkpointing.
        """
        with self._lock:
            self._read_start()
            if self._training is None:
                # From here on the network holds the state of the adapter.
                self._training = self._make_training_network()
            return self._training

    def _make_training_network(self) -> Any:
        from .base_model import enable_gradient_checkpointing, share_modules
        from .rms_norm import freeze_norms

        network = share_modules(self.base.model)
        freeze_norms(network)
        if self._saved is not None:
            from .lora import load_lora

            load_lora(network, self._saved, self.name, self._saved_where)
        elif self.lora is not None:
            from .lora import add_lora

            add_lora(network, self.lora, self.name, self.revision, self.seed)
        if self.gradient_checkpointing:
            enable_gradient_checkpointing(network, self.name)
        return network

    def decoding_network(self) -> Any:
        """Get the network to decode with, as the adapter is now.

        RETURNS (PreTrainedModel): A causal language model in eval mode: the shared base
            without an adapter, otherwise a network with the adapter merged in or beside
            the base. After a call of `mark_changed` the next call makes a new one.
        RAISES (ValueError): The loaded adapter does not fit the base.
        """
        if not self.has_adapter:
            return self.base.model
        with self._lock:
            if self._decoding is None or self._decoding[0] != self.version:
                # Release the old copies before making new ones.
                self._decoding = None
                self._decoding = (self.version, self._make_decoding_network())
            return self._decoding[1]

    @paused_gc()
    def _make_decoding_network(self) -> Any:
        from .lora import merged, should_merge, unmerged

        self._read_start()
        # The saved adapter stays in memory, and training may never begin: the float32
        # weights are not kept twice.
        is_temporary = self._training is None and self._saved is not None
        if is_temporary:
            network = self._make_training_network()
        else:
            network = self.training_network
        if should_merge(self.merge, network, self.device):
            return merged(network, in_place=is_temporary)
        return unmerged(network)

    def adapter_parameters(self) -> "dict[str, nn.Parameter]":
        """List the trainable weights of the adapter; loads the base.

        RETURNS (dict[str, nn.Parameter]): The float32 weights by name, in a fixed
            order.
        """
        if not self.has_adapter:
            return {}
        from .lora import adapter_parameters

        return adapter_parameters(self.training_network)

    def trainable_parameters(self) -> "dict[str, nn.Parameter]":
        """List the weights that training changes: the adapter's and the draft head's.

        RETURNS (dict[str, nn.Parameter]): The float32 weights by name, in a fixed
            order.
        """
        return {**self.adapter_parameters(), **self.drafting.parameters()}

    def set_dropout(self, rate: float) -> None:
        """Set the dropout rate of training. The rate of `lora` is the minimum.

        rate (float): The rate, from 0 to below 1.
        """
        from .lora import set_dropout

        own = 0.0 if self.lora is None else self.lora.dropout
        set_dropout(self.training_network, max(rate, own))

    def mark_changed(self) -> None:
        """Mark the weights of the adapter as changed."""
        with self._lock:
            self.version += 1

    def reset_adapter(self, seed: int | None = None) -> None:
        """Replace the adapter by an untrained one with the settings of `lora`.

        seed (int | None): The seed of the initial weights; None to keep the present
            one.
        """
        with self._lock:
            if seed is not None:
                self.seed = seed
            self._starts = self.adapter is not None
            self._saved = None
            self._training = None
            self.drafting.clear()
            self.mark_changed()

    def use_adapter(self, files: AdapterFiles, where: str) -> None:
        """Replace the adapter by a saved one. The base is not loaded.

        files (AdapterFiles): The adapter. Its own settings replace those of `lora`.
        where (str): The origin of the adapter, for messages.
        """
        with self._lock:
            self._starts = False
            self._saved = files
            self._saved_where = where
            self._training = None
            self.drafting.clear()
            self.mark_changed()

    def with_adapter(self, source: "AdapterSource") -> "LanguageModel":
        """Make a model of the same base with another adapter. This one stays as it is.

        source (AdapterSource): The files of the adapter, which are read now.
        RETURNS (LanguageModel): The other model, with the draft head of the adapter.
        RAISES (ValueError): The adapter is incomplete, damaged or not supported.
        """
        settings = self._settings()
        # An adapter was tuned without the frame of a chat, which a base alone has.
        settings["lora"] = settings["lora"] or {}
        other = LanguageModel(**settings)
        other._base = self._base
        other._load_source(source)
        return other

    def _load_source(self, source: "AdapterSource") -> None:
        """Load an adapter with its draft head, if it has one."""
        self.load(source.folder)
        if source.draft_head_file is not None:
            head = source.draft_head_file
            self.drafting.from_bytes(head.read_bytes(), str(head), source.labels)

    @property
    def memory(self) -> int:
        """RETURNS (int): The size of the weights that this model holds in addition to
        the base: its adapter, merged copies and the draft head, in bytes."""
        with self._lock:
            networks = [self._training, self._decoding and self._decoding[1]]
            size = self.drafting.memory
            if self._saved is not None:
                size += len(self._saved.weights)
            if self._base is None:
                return size
            seen = {tensor.data_ptr() for tensor in self._base.model.parameters()}
            seen |= {tensor.data_ptr() for tensor in self._base.model.buffers()}
            for network in networks:
                if network is None:
                    continue
                for tensor in (*network.parameters(), *network.buffers()):
                    if tensor.data_ptr() not in seen:
                        seen.add(tensor.data_ptr())
                        size += tensor.numel() * tensor.element_size()
            return size

    def adapter_files(self) -> AdapterFiles:
        """Get the adapter as peft would save it.

        RETURNS (AdapterFiles): The content of peft's two files.
        RAISES (ValueError): There is no adapter.
        """
        with self._lock:
            if not self.has_adapter:
                raise ValueError(Errors.G258.format(name=self.name, action="save"))
            self._read_start()
            if self._training is None and self._saved is not None:
                config = {**self._saved.config, "base_model_name_or_path": self.name}
                return AdapterFiles(config, self._saved.weights)
            from .lora import adapter_files

            return adapter_files(self.training_network, self.name)

    def save(self, folder: Path) -> None:
        """Write the folder of the adapter, all or nothing.

        folder (Path): The folder to write or replace.
        RAISES (ValueError): There is no adapter.
        """
        write_adapter(self.adapter_files(), Path(folder))

    def load(self, folder: Path) -> None:
        """Use the adapter in a folder. The base is not loaded.

        folder (Path): A folder that `save` or peft wrote.
        RAISES (ValueError): The adapter is incomplete, damaged or not supported.
        """
        folder = Path(folder)
        files = read_adapter(folder)
        check_adapter_targets(files.config, str(folder))
        self.use_adapter(files, str(folder))

    def check_adapter(self, folder: Path) -> None:
        """Check that an adapter can be loaded, without loading it.

        folder (Path): A folder that `save` or peft wrote.
        RAISES (ValueError): The adapter is incomplete, damaged or not supported, or
            does not fit the base.
        """
        files = read_adapter(folder)
        check_adapter_targets(files.config, str(folder))
        check_adapter_fits(files, self.base.source.folder, str(folder))

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The adapter. Empty without one, and for a new adapter with
        seed 0 that has not been used: the settings describe it completely."""
        with self._lock:
            new = self._training is None and self._saved is None and not self._starts
            unused = new and not self.seed
            if not self.has_adapter or unused:
                return b""
            return self.adapter_files().to_bytes()

    def from_bytes(self, bytes_data: bytes) -> "LanguageModel":
        """Use the adapter that `to_bytes` returned. The base is not loaded.

        bytes_data (bytes): The adapter, or nothing.
        RETURNS (LanguageModel): This model.
        RAISES (ValueError): The bytes are not an adapter, or the adapter is not
            supported.
        """
        if bytes_data:
            self.use_adapter(
                AdapterFiles.from_bytes(bytes_data, self.name), "the saved bytes"
            )
        else:
            self.reset_adapter()
        return self

    def __getstate__(self) -> dict[str, Any]:
        """The settings, the adapter and the draft head. A process that unpickles them
        loads the base again."""
        return {
            "settings": self._settings(),
            # The settings name an adapter that has not been read yet.
            "adapter": b"" if self._starts else self.to_bytes(),
            "draft_head": self.drafting.to_bytes(),
        }

    def _settings(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "revision": self.revision,
            "lora": None if self.lora is None else self.lora.to_config(),
            "dtype": self.dtype_name,
            "device": self.device_name,
            "merge": self.merge,
            "draft_head": self.drafting.wanted,
            "head_weight": self.head_weight,
            "seed": self.seed,
            "gradient_checkpointing": self.gradient_checkpointing,
            "adapter": self.adapter,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state["settings"])  # type: ignore[misc]
        if state["adapter"]:
            self.from_bytes(state["adapter"])
        self.drafting.from_bytes(state["draft_head"], "the saved bytes")

    def __deepcopy__(self, memo: dict[int, Any]) -> "LanguageModel":
        other = LanguageModel.__new__(LanguageModel)
        memo[id(self)] = other
        other.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return other
