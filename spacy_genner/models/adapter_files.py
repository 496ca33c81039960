"""Adapter files as peft writes them, and the export of a base for other tools.

An adapter is a folder with `adapter_config.json` and `adapter_model.safetensors`.
Adapters that peft saved can be used, unless they would need changes to tensors of the
base, which other components share: these are refused. `export_base` writes a base and
an adapter to folders that peft and vLLM load, also for a base that comes from a PyPI
package.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly

from ..errors import Errors
from ..io import check_folder, check_unused, replaced_folder
from .base_model import resolve_base
from .gguf import MANIFEST, ROUNDED

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
# The folder of the adapter in a saved component, and in an export.
_ADAPTER_FOLDER = "adapter"
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
        message = {"kind": _KIND, "config": self.config, "weights": self.weights}
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
        return files


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
    return AdapterFiles(config, weights)


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


def export_base(component_folder: Path, output: Path) -> tuple[Path, Path]:
    """Write the base and the adapter of a saved component for other tools.

    The adapter of a component with the base `pip:PACKAGE` names the base so. In the
    export the base is a folder, and the adapter names that folder by its full path.

    component_folder (Path): A saved component, the folder of an adapter, or a saved
        pipeline with one such component.
    output (Path): A new or empty folder. It receives `base` (config.json, safetensors
        and tokenizer files) and `adapter`.
    RETURNS (tuple[Path, Path]): The folders of the base and of the adapter.
    RAISES (ValueError): No adapter or several are found, or the output folder is not
        empty.
    """
    files = read_adapter(_find_adapter(Path(component_folder)))
    output = Path(output).expanduser().resolve()
    check_unused(output)
    source = resolve_base(
        files.config["base_model_name_or_path"], files.config.get("revision")
    )
    base = output / "base"
    with replaced_folder(base) as fresh:
        for path in sorted(source.folder.iterdir()):
            internal = path.name == MANIFEST or f".{ROUNDED}." in path.name
            # The files of the hub's cache are links.
            if path.is_file() and not internal:
                shutil.copy2(path.resolve(), fresh / path.name)
    adapter = output / _ADAPTER_FOLDER
    config = {**files.config, "base_model_name_or_path": str(base), "revision": None}
    write_adapter(AdapterFiles(config, files.weights), adapter)
    return base, adapter


def _find_adapter(folder: Path) -> Path:
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
