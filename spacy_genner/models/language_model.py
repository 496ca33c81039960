"""A causal language model with a LoRA adapter, loaded at first use."""

import copy
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.settings import ModelSettings
from ..errors import Errors
from .adapter_files import AdapterFiles, read_adapter, write_adapter

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .base_model import LoadedBase
    from .draft_head import DraftHead


class LazyDraftHead:
    """Where a component keeps its draft head. Needs no torch as long as it is empty.

    wanted (bool): Whether training makes one.
    RAISES (ValueError): `wanted` is neither true nor false.
    """

    def __init__(self, wanted: bool):
        self.wanted = wanted
        self._head: DraftHead | None = None
        self._saved = b""
        self._where = ""

    def for_training(
        self, width: int, labels: int, device: "torch.device", seed: int
    ) -> "DraftHead | None":
        """The head to train: a new one where there is none for so many labels.

        width (int): The size of a hidden state.
        labels (int): How many labels there are.
        device (torch.device): Where it is to be.
        seed (int): Fixes the first weights of a new one.
        RETURNS (Optional[DraftHead]): The head; None where none is wanted.
        """
        if not self.wanted:
            return None
        head = self._fitting(labels)
        if head is None:
            from .draft_head import DraftHead

            head = self._head = DraftHead(width, labels, seed)
        return head.to(device)

    def for_decoding(self, labels: int, device: "torch.device") -> "DraftHead | None":
        """The head to draft with.

        labels (int): How many labels there are.
        device (torch.device): Where it is to be.
        RETURNS (Optional[DraftHead]): The head; None where there is none that was
            trained for so many labels.
        """
        head = self._fitting(labels)
        return head.to(device) if head is not None and head.trained else None

    def parameters(self) -> "dict[str, nn.Parameter]":
        """RETURNS (Dict[str, nn.Parameter]): Name to weight; none where there is no
        head. Heads for other numbers of labels have other names."""
        head = self._made()
        if head is None:
            return {}
        return {
            f"draft_head.{head.labels}.{name}": parameter
            for name, parameter in head.named_parameters()
        }

    def clear(self) -> None:
        """Have no head."""
        self._head, self._saved = None, b""

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The head's weights; empty where there is none that was
        trained."""
        if self._head is None:
            return self._saved
        return self._head.to_bytes() if self._head.trained else b""

    def from_bytes(self, data: bytes, where: str) -> None:
        """Take what `to_bytes` gave. It is read at first use.

        data (bytes): The weights, or nothing.
        where (str): Where they come from, for messages.
        """
        self._head, self._saved, self._where = None, data, where

    def _made(self) -> "DraftHead | None":
        if self._head is None and self._saved:
            from .draft_head import DraftHead

            self._head = DraftHead.from_bytes(self._saved, self._where)
        return self._head

    def _fitting(self, labels: int) -> "DraftHead | None":
        head = self._made()
        return head if head is not None and head.labels == labels else None


class LanguageModel:
    """A base model, loaded at first use, with the LoRA adapter of one component.

    Any number of them can share a base: each has its own tree of modules over the
    same tensors, which are never written.

    name (str): `pip:PACKAGE`, a folder or a hub id.
    revision (str | None): Branch, tag or commit of a hub id.
    lora (dict | None): Any of rank, alpha, dropout and target_modules of a new
        adapter, or None for the base as it is.
    dtype (str): "auto", "float64", "float32", "bfloat16" or "float16".
    device (str): "auto", "cpu", "cuda", "cuda:N" or "mps".
    merge (bool | str): Whether to decode with copies of the adapted weights that
        have the adapter merged in; "auto" decides by the free memory.
    draft_head (bool): Whether a head that guesses spans is trained with the adapter;
        decoding is faster with one, and its results are the same.
    seed (int): Fixes the first weights of a new adapter.
    gradient_checkpointing (bool): Whether training runs each layer once more for its
        gradients instead of keeping what it needs for them.
    RAISES (ValueError): If a setting can't be used.

    drafting (LazyDraftHead): The draft head, where there is one.
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
    ) -> None:
        settings = ModelSettings(
            name=name,
            lora=lora,
            dtype=dtype,
            device=device,
            merge=merge,
            draft_head=draft_head,
            gradient_checkpointing=gradient_checkpointing,
        )
        self.name = settings.name
        self.revision = revision
        self.lora = settings.lora
        self.dtype_name = settings.dtype
        self.device_name = settings.device
        self.merge = settings.merge
        self.seed = seed
        self.gradient_checkpointing = settings.gradient_checkpointing
        self.drafting = LazyDraftHead(settings.draft_head)
        self.version = 0
        self._saved: AdapterFiles | None = None
        self._saved_where = ""
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._base: LoadedBase | None = None
        self._training: Any = None
        self._decoding: tuple[int, Any] | None = None

    @property
    def base(self) -> "LoadedBase":
        """RETURNS (LoadedBase): The shared base; loads it where nobody has."""
        with self._lock:
            if self._base is None:
                from .base_model import get_base

                self._base = get_base(
                    self.name, self.revision, self.dtype_name, self.device_name
                )
            return self._base

    @property
    def checksum(self) -> str:
        """RETURNS (str): That of the base's weights, found without loading them."""
        from .base_model import resolve_base

        return resolve_base(self.name, self.revision).checksum

    @property
    def is_loaded(self) -> bool:
        """RETURNS (bool): Whether the base is loaded for this model."""
        return self._base is not None

    @property
    def tokenizer(self) -> Any:
        """RETURNS (PreTrainedTokenizerBase): The base's tokenizer."""
        return self.base.tokenizer

    @property
    def device(self) -> "torch.device":
        """RETURNS (torch.device): Where the base is."""
        return self.base.device

    @property
    def dtype(self) -> "torch.dtype":
        """RETURNS (torch.dtype): The dtype of the base and of its products."""
        return self.base.dtype

    @property
    def has_adapter(self) -> bool:
        """RETURNS (bool): Whether there is an adapter: a new or a saved one."""
        return self.lora is not None or self._saved is not None

    @property
    def training_network(self) -> Any:
        """The network to train: the base's modules with the adapter beside them.

        RETURNS (PreTrainedModel): A causal language model whose only trainable
            weights are the adapter's. Without an adapter, a tree that has none.
        RAISES (ValueError): If a saved adapter does not fit the base, or gradient
            checkpointing is wanted that the base does not have.
        """
        with self._lock:
            if self._training is None:
                from .base_model import checkpoint_gradients, share_modules
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
                    checkpoint_gradients(network, self.name)
                # From here on the network has the adapter's state.
                self._training = network
            return self._training

    def decoding_network(self) -> Any:
        """The network to decode with, as the adapter is now.

        RETURNS (PreTrainedModel): A causal language model in eval mode: the shared
            base itself where there is no adapter, else one with the adapter merged
            in or beside it. It is made anew after `touch`.
        """
        if not self.has_adapter:
            return self.base.model
        with self._lock:
            if self._decoding is None or self._decoding[0] != self.version:
                from .lora import merged, should_merge, unmerged

                # The old copies go before the new ones are made.
                self._decoding = None
                network = self.training_network
                merge = should_merge(self.merge, network, self.device)
                made = merged(network) if merge else unmerged(network)
                self._decoding = (self.version, made)
            return self._decoding[1]

    def adapter_parameters(self) -> "dict[str, nn.Parameter]":
        """The adapter's trainable weights; loads the base.

        RETURNS (dict[str, nn.Parameter]): Name to float32 weight, in a fixed order.
        """
        if not self.has_adapter:
            return {}
        from .lora import adapter_parameters

        return adapter_parameters(self.training_network)

    def trainable_parameters(self) -> "dict[str, nn.Parameter]":
        """The weights that training changes: the adapter's and the draft head's.

        RETURNS (dict[str, nn.Parameter]): Name to float32 weight, in a fixed order.
        """
        return {**self.adapter_parameters(), **self.drafting.parameters()}

    def set_dropout(self, rate: float) -> None:
        """Set the dropout of training, where it is more than the config's.

        rate (float): From 0 to below 1.
        """
        from .lora import set_dropout

        own = 0.0 if self.lora is None else self.lora.dropout
        set_dropout(self.training_network, max(rate, own))

    def touch(self) -> None:
        """Say that the adapter's weights have changed."""
        with self._lock:
            self.version += 1

    def reset_adapter(self, seed: int | None = None) -> None:
        """Start anew with an untrained adapter of the config's settings.

        seed (int | None): Fixes its first weights; None keeps the seed.
        """
        with self._lock:
            if seed is not None:
                self.seed = seed
            self._saved = None
            self._training = None
            self.drafting.clear()
            self.touch()

    def adapter_files(self) -> AdapterFiles:
        """The adapter as peft would save it.

        RETURNS (AdapterFiles): The content of peft's two files.
        RAISES (ValueError): If there is no adapter.
        """
        with self._lock:
            if not self.has_adapter:
                raise ValueError(Errors.G258.format(name=self.name, action="save"))
            if self._training is None and self._saved is not None:
                config = {**self._saved.config, "base_model_name_or_path": self.name}
                return AdapterFiles(config, self._saved.weights)
            from .lora import adapter_files

            return adapter_files(self.training_network, self.name)

    def use_adapter(self, files: AdapterFiles, where: str) -> None:
        """Take an adapter, in the place of the one there is.

        files (AdapterFiles): The adapter. Its own settings count, not `lora`.
        where (str): Where it comes from, for messages.
        """
        with self._lock:
            self._saved = files
            self._saved_where = where
            self._training = None
            self.drafting.clear()
            self.touch()

    def save(self, folder: Path) -> None:
        """Write the adapter's folder, as a whole or not at all.

        folder (Path): The folder to write or replace.
        RAISES (ValueError): If there is no adapter.
        """
        write_adapter(self.adapter_files(), Path(folder))

    def load(self, folder: Path) -> None:
        """Take the adapter of a folder. The base is not loaded by this.

        folder (Path): A folder that `save` or peft wrote.
        RAISES (ValueError): If it is incomplete, damaged or can't be honoured.
        """
        folder = Path(folder)
        self.use_adapter(read_adapter(folder), str(folder))

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The adapter; empty where there is none or where a new one
        with the seed 0 was never used, as its settings say it all."""
        with self._lock:
            unused = self._training is None and self._saved is None and not self.seed
            if not self.has_adapter or unused:
                return b""
            return self.adapter_files().to_bytes()

    def from_bytes(self, data: bytes) -> "LanguageModel":
        """Take what `to_bytes` gave. The base is not loaded by this.

        data (bytes): The adapter.
        RETURNS (LanguageModel): Itself.
        RAISES (ValueError): If the bytes are something else.
        """
        if data:
            self.use_adapter(
                AdapterFiles.from_bytes(data, self.name), "the saved bytes"
            )
        else:
            self.reset_adapter()
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Settings and adapter: another process loads the base for itself."""
        return {
            "name": self.name,
            "revision": self.revision,
            "lora": None if self.lora is None else self.lora.to_config(),
            "dtype": self.dtype_name,
            "device": self.device_name,
            "merge": self.merge,
            "draft_head": self.drafting.wanted,
            "seed": self.seed,
            "adapter": self.to_bytes(),
            "drafting": self.drafting.to_bytes(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        settings = dict(state)
        adapter, drafting = settings.pop("adapter"), settings.pop("drafting")
        self.__init__(**settings)  # type: ignore[misc]
        if adapter:
            self.from_bytes(adapter)
        self.drafting.from_bytes(drafting, "the saved bytes")

    def __deepcopy__(self, memo: dict[int, Any]) -> "LanguageModel":
        other = LanguageModel.__new__(LanguageModel)
        memo[id(self)] = other
        other.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return other
