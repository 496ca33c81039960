"""Adapter files as peft writes them.

The metadata of saved weights holds a checksum of the tensors and of the settings, which
other tools ignore. A file that another tool writes has none.

An adapter is a folder with `adapter_config.json` and `adapter_model.safetensors`.
Adapters that peft saved can be used, unless they would need changes to tensors of the
base, which other components share: these are refused.
"""

import hashlib
import json
import os
import shutil
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly

from ..errors import Errors
from ..io import check_folder, replaced_folder
from .base_model import BaseSource, resolve_base
from .gguf import MANIFEST
from .gguf_conversion import ROUNDED

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
# The folder of the adapter in a saved component, and in an export.
_ADAPTER_FOLDER = "adapter"
# The checksum in the metadata of a safetensors file.
_SEAL = "genner_sha256"
# The key of the metadata with the labels of a draft head.
HEAD_LABELS = "genner_labels"
_METADATA = "__metadata__"
# The settings of an adapter that may change after it was saved.
_FREE_SETTINGS = ("base_model_name_or_path", "revision", "inference_mode")
# Marks the result of `AdapterFiles.to_bytes`.
_KIND = "spacy-genner adapter 1"

# Settings of peft that change more than the products of the linear layers, or that need
# changes to the base's own tensors. Each is neutral if it is absent, null, false or
# empty.
_UNSUPPORTED = (
    "modules_to_save",
    "lora_bias",
    "target_parameters",
    "trainable_token_indices",
    "layer_replication",
    "megatron_config",
    "velora_config",
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "monteclora_config",
    "kasa_config",
    "fan_in_fan_out",
)
# The names of embeddings and language model heads in the architectures of
# transformers. Only the linear layers of the text decoder can be adapted.
_NOT_ADAPTABLE = (
    "lm_head",
    "embed_tokens",
    "embed_out",
    "embed_in",
    "word_embeddings",
    "wte",
    "wpe",
)
# Initialisation methods that leave the base as it is. Others (PiSSA, OLoRA, ...)
# subtract from the weights of the base.
_SUPPORTED_INITS = (None, True, False, "gaussian", "orthogonal", "eva")


@dataclass(frozen=True)
class AdapterFiles:
    """The content of an adapter's two files.

    config (dict[str, Any]): The content of adapter_config.json.
    weights (bytes): The content of adapter_model.safetensors.
    """

    config: dict[str, Any]
    weights: bytes

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): Both files in one message."""
        config = dict(sorted(self.config.items()))
        message = {"kind": _KIND, "config": config, "weights": self.weights}
        return srsly.msgpack_dumps(message)

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> "AdapterFiles":
        """Load an adapter from the result of `to_bytes`.

        data (bytes): The message.
        name (str): The name of the base, for messages.
        RETURNS (AdapterFiles): The files.
        RAISES (ValueError): The bytes are not an adapter, or the adapter is not
            supported.
        """
        try:
            message = srsly.msgpack_loads(data)
            if message["kind"] != _KIND:
                raise ValueError(message["kind"])
            files = cls(message["config"], message["weights"])
        except (ValueError, KeyError, TypeError) as err:
            raise ValueError(Errors.G257.format(name=name)) from err
        check_adapter_config(files.config, "the saved bytes")
        files.check_seal("the saved bytes")
        return files

    def with_base(self, name: str) -> "AdapterFiles":
        """Set another location of the base in the config of the adapter.

        name (str): The folder or the name of the base.
        RETURNS (AdapterFiles): The same adapter for that base.
        """
        base = {"base_model_name_or_path": name, "revision": None}
        return AdapterFiles({**self.config, **base}, self.weights)

    def sealed(self) -> "AdapterFiles":
        """RETURNS (AdapterFiles): The same files with a checksum in the weights."""
        weights = seal_weights(self.weights, self._sealed_settings())
        return AdapterFiles(self.config, weights)

    def check_seal(self, where: str) -> None:
        """Check that the weights and settings are those that were saved.

        where (str): The origin of the adapter, for messages.
        RAISES (ValueError): They have another checksum.
        """
        check_seal(self.weights, "adapter", where, self._sealed_settings())

    def _sealed_settings(self) -> dict[str, Any]:
        return {k: v for k, v in self.config.items() if k not in _FREE_SETTINGS}


def seal_weights(data: bytes, settings: Any = None) -> bytes:
    """Add a checksum to the metadata of safetensors.

    data (bytes): The content of a safetensors file.
    settings (Any): Settings that belong to the weights, as JSON.
    RETURNS (bytes): The same tensors, with a checksum of names, shapes, values and
        settings.
    """
    header, tensors = _split_weights(data)
    metadata = dict(header.get(_METADATA) or {})
    metadata[_SEAL] = _checksum(header, tensors, settings)
    return _join_weights({_METADATA: metadata, **_without(header, _METADATA)}, tensors)


def check_seal(data: bytes, what: str, where: str, settings: Any = None) -> None:
    """Compare safetensors with the checksum in their metadata.

    data (bytes): The content of a safetensors file. Without a checksum, and if the
        content is no safetensors file, there is nothing to compare.
    what (str): The kind of weights, for the message.
    where (str): Their origin, for the message.
    settings (Any): Settings that belong to the weights, as JSON.
    RAISES (ValueError): The content has another checksum.
    """
    try:
        header, tensors = _split_weights(data)
        expected = (header.get(_METADATA) or {}).get(_SEAL)
    except (ValueError, AttributeError, struct.error, RecursionError):
        return
    if expected is not None and expected != _checksum(header, tensors, settings):
        raise ValueError(Errors.G271.format(what=what, where=where))


def head_labels(data: bytes) -> tuple[str, ...]:
    """Read the labels of a draft head from the metadata of its weights.

    data (bytes): The content of a safetensors file.
    RETURNS (tuple[str, ...]): The labels, in the order of the head's scores. Empty if
        the file does not name them, or is no safetensors file.
    """
    try:
        header, _ = _split_weights(data)
        names = json.loads((header.get(_METADATA) or {})[HEAD_LABELS])
    except (ValueError, KeyError, AttributeError, struct.error, RecursionError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def name_head_labels(data: bytes, labels: Sequence[str], where: str) -> bytes:
    """Add the labels of a draft head to the metadata of its weights.

    data (bytes): The content of a safetensors file.
    labels (Sequence[str]): The labels, in the order of the head's scores.
    where (str): The origin of the weights, for the message.
    RETURNS (bytes): The same tensors with the labels, and with a checksum if there was
        one. The data itself if it names labels already, or is no safetensors file.
    RAISES (ValueError): The content has another checksum.
    """
    if head_labels(data):
        return data
    check_seal(data, "draft head", where)
    try:
        header, tensors = _split_weights(data)
        metadata = {**(header.get(_METADATA) or {}), HEAD_LABELS: json.dumps([*labels])}
    except (ValueError, TypeError, AttributeError, struct.error, RecursionError):
        return data
    was_sealed = _SEAL in metadata
    metadata.pop(_SEAL, None)
    named = _join_weights({_METADATA: metadata, **_without(header, _METADATA)}, tensors)
    return seal_weights(named) if was_sealed else named


def _join_weights(header: dict[str, Any], tensors: bytes) -> bytes:
    # The format aligns the tensors to 8 bytes.
    raw = json.dumps(header).encode("utf8")
    raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw + tensors


def _split_weights(data: bytes) -> tuple[dict[str, Any], bytes]:
    (size,) = struct.unpack_from("<Q", data)
    if size > len(data) - 8:
        raise ValueError(size)
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def _checksum(header: dict[str, Any], tensors: bytes, settings: Any) -> str:
    metadata = _without(header.get(_METADATA) or {}, _SEAL)
    facts = [_without(header, _METADATA), metadata, settings]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf8"))
    digest.update(tensors)
    return digest.hexdigest()


def _without(values: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


def read_adapter(folder: Path) -> AdapterFiles:
    """Read the folder of an adapter, saved by this project or by peft.

    folder (Path): The folder.
    RETURNS (AdapterFiles): The files.
    RAISES (ValueError): A file is missing or damaged, or the adapter is not supported.
    """
    check_folder(folder)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise ValueError(Errors.G250.format(folder=folder, missing=name))
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf8"))
        weights = (folder / WEIGHTS_FILE).read_bytes()
    except (OSError, ValueError) as err:
        raise ValueError(Errors.G252.format(where=folder, reason=err)) from err
    check_adapter_config(config, str(folder))
    files = AdapterFiles(config, weights)
    files.check_seal(str(folder))
    return files


def write_adapter(files: AdapterFiles, folder: Path) -> None:
    """Write the folder of an adapter, all or nothing.

    files (AdapterFiles): The files to write.
    folder (Path): The folder, which is replaced as a whole.
    """
    with replaced_folder(folder) as fresh:
        text = json.dumps(files.config, indent=2, sort_keys=True)
        (fresh / CONFIG_FILE).write_text(text, encoding="utf8")
        (fresh / WEIGHTS_FILE).write_bytes(files.weights)


def check_adapter_config(config: Any, where: str) -> None:
    """Check that an adapter has the same effect on a shared base as in its training.

    config (Any): The content of adapter_config.json.
    where (str): The origin of the adapter, for messages.
    RAISES (ValueError): The adapter is not a LoRA, or uses a setting that a shared base
        does not support.
    """
    if not isinstance(config, dict):
        raise ValueError(Errors.G252.format(where=where, reason="not a JSON object"))
    if config.get("peft_type") != "LORA":
        raise ValueError(Errors.G253.format(where=where, found=config.get("peft_type")))
    unsupported = {key: config[key] for key in _UNSUPPORTED if config.get(key)}
    if config.get("bias", "none") != "none":
        unsupported["bias"] = config["bias"]
    if config.get("init_lora_weights") not in _SUPPORTED_INITS:
        unsupported["init_lora_weights"] = config["init_lora_weights"]
    if unsupported:
        key, value = next(iter(unsupported.items()))
        raise ValueError(Errors.G254.format(where=where, key=key, value=value))


def check_adapter_targets(config: dict[str, Any], where: str) -> None:
    """Check, without loading a base, that an adapter changes neither embeddings nor the
    language model head. `load_lora` checks all layers.

    config (dict[str, Any]): The content of adapter_config.json.
    where (str): The origin of the adapter, for messages.
    RAISES (ValueError): The adapter changes such a layer.
    """
    targets = config.get("target_modules")
    # A string is a regular expression, or peft's name for all linear layers.
    for name in targets if isinstance(targets, list) else ():
        if str(name).rpartition(".")[2] in _NOT_ADAPTABLE:
            raise ValueError(Errors.G256.format(where=where, found=name))


def read_adapter_and_base(component_folder: Path) -> tuple[AdapterFiles, BaseSource]:
    """Read the adapter of a saved component, and find its base.

    component_folder (Path): A saved component, the folder of an adapter, or a saved
        pipeline with one such component.
    RETURNS (tuple[AdapterFiles, BaseSource]): The adapter and the files of its base.
    RAISES (ValueError): No adapter or several are found, or the adapter is damaged or
        does not fit its base.
    """
    files = read_adapter(find_adapter_folder(component_folder))
    name = files.config.get("base_model_name_or_path")
    if not isinstance(name, str):
        reason = f"{CONFIG_FILE} does not name the base model"
        raise ValueError(Errors.G252.format(where=component_folder, reason=reason))
    source = resolve_base(name, files.config.get("revision"))
    check_adapter_fits(files, source.folder, str(component_folder))
    return files, source


def write_base(source: Path, folder: Path) -> None:
    """Copy the files of a base that other tools load, without those of the cache.

    source (Path): The folder of the base.
    folder (Path): The new folder.
    RAISES (OSError): A file can't be read or written.
    """
    folder.mkdir()
    for path in sorted(source.iterdir()):
        internal = path.name == MANIFEST or f".{ROUNDED}." in path.name
        # The files of the hub's cache are links.
        if path.is_file() and not internal:
            shutil.copy2(path.resolve(), folder / path.name)
            _set_readable(folder / path.name)


def check_adapter_fits(files: AdapterFiles, folder: Path, where: str) -> None:
    """Check an adapter against a base whose weights are not loaded.

    files (AdapterFiles): The adapter.
    folder (Path): The folder of the base.
    where (str): The origin of the adapter, for messages.
    RAISES (ValueError): The adapter is damaged or does not fit the base.
    """
    import torch
    from safetensors.torch import load
    from transformers import AutoConfig, AutoModelForCausalLM

    from .lora import load_lora

    options: Any = {"local_files_only": True, "trust_remote_code": False}
    name = str(files.config["base_model_name_or_path"])
    try:
        config = AutoConfig.from_pretrained(str(folder), **options)
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (ValueError, KeyError, OSError, ImportError, RuntimeError) as err:
        raise ValueError(
            Errors.G233.format(name=name, folder=folder, reason=err)
        ) from err
    try:
        with warnings.catch_warnings():
            # Tensors without values can't receive those of the adapter.
            warnings.filterwarnings("ignore", message=".*copying from a non-meta")
            load_lora(network, files, name, where)
        tensors = load(files.weights)
    except (TypeError, AttributeError, KeyError, IndexError) as err:
        raise ValueError(Errors.G252.format(where=where, reason=repr(err))) from err
    for key, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            reason = f"{key} has values that are no finite numbers"
            raise ValueError(Errors.G252.format(where=where, reason=reason))


def _set_readable(path: Path) -> None:
    """Give a copy the mode of a new file: a cache may be private."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def find_adapter_folder(folder: Path) -> Path:
    """Find the adapter in a folder.

    folder (Path): The folder of an adapter, a saved component, or a saved pipeline with
        one such component.
    RETURNS (Path): The folder of adapter_config.json.
    RAISES (ValueError): No adapter or several are found.
    """
    if (folder / CONFIG_FILE).is_file():
        return folder
    if (folder / _ADAPTER_FOLDER).is_dir():
        return folder / _ADAPTER_FOLDER
    pattern = f"*/{_ADAPTER_FOLDER}/{CONFIG_FILE}"
    found = sorted(path.parent for path in folder.glob(pattern))
    if len(found) > 1:
        raise ValueError(
            Errors.G263.format(folder=folder, found=", ".join(map(str, found)))
        )
    if not found:
        inside = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        raise ValueError(
            Errors.G262.format(folder=folder, found=json.dumps(inside[:12]))
        )
    return found[0]
