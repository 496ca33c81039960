"""Adapter files as peft writes them, and the export of a base for other tools."""

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
_KIND = "spacy-genner adapter 1"

# Those that change more than the linear layers' products, or that need the base's
# own tensors changed. Each is neutral where it is absent, null, false or empty.
_REFUSED = (
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
# Ways to start an adapter that leave the base as it is; others (PiSSA, OLoRA, ...)
# subtract from the base's weights.
_NEUTRAL_STARTS = (None, True, False, "gaussian", "orthogonal", "eva")


@dataclass(frozen=True)
class AdapterFiles:
    """The content of an adapter's two files.

    config (dict): The content of adapter_config.json.
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
        """Read what `to_bytes` wrote.

        data (bytes): The message.
        name (str): The base's name, for messages.
        RETURNS (AdapterFiles): The files.
        RAISES (ValueError): If it is something else.
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
    """Read an adapter's folder, its own or one that peft wrote.

    folder (Path): The folder.
    RETURNS (AdapterFiles): Its files.
    RAISES (ValueError): If a file is missing or damaged, or if the adapter is of
        a kind that can't be honoured.
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
    """Write an adapter's folder; a kill leaves the old state, the new, or a backup.

    files (AdapterFiles): What to write.
    folder (Path): The folder, replaced as a whole.
    """
    with replaced_folder(folder) as fresh:
        text = json.dumps(files.config, indent=2, sort_keys=True)
        (fresh / CONFIG_FILE).write_text(text, encoding="utf8")
        (fresh / WEIGHTS_FILE).write_bytes(files.weights)


def check_adapter_config(config: Any, where: str) -> None:
    """Refuse an adapter that would not do here what it did where it was tuned.

    config (Any): The content of adapter_config.json.
    where (str): Where it comes from, for messages.
    RAISES (ValueError): If it is no LoRA, or uses what a shared base can't carry.
    """
    if not isinstance(config, dict):
        raise ValueError(Errors.G252.format(where=where, reason="not a JSON object"))
    if config.get("peft_type") != "LORA":
        raise ValueError(Errors.G253.format(where=where, found=config.get("peft_type")))
    for key in _REFUSED:
        if config.get(key):
            raise ValueError(
                Errors.G254.format(where=where, key=key, value=config[key])
            )
    if config.get("bias", "none") != "none":
        raise ValueError(
            Errors.G254.format(where=where, key="bias", value=config["bias"])
        )
    start = config.get("init_lora_weights")
    if start not in _NEUTRAL_STARTS:
        raise ValueError(
            Errors.G254.format(where=where, key="init_lora_weights", value=start)
        )


_ADAPTER = "adapter"


def export_base(component_folder: Path, output: Path) -> tuple[Path, Path]:
    """Write a saved component's base and adapter as other tools read them.

    A component whose base is `pip:PACKAGE` names it so in its adapter; here the
    base becomes a folder, and the adapter names that folder by its full path.

    component_folder (Path): A saved component, an adapter's folder, or a saved
        pipeline with one such component.
    output (Path): A new or empty folder. It gets `base` (config.json, safetensors
        and tokenizer files) and `adapter`.
    RETURNS (tuple[Path, Path]): The folders of the base and of the adapter.
    RAISES (ValueError): If no adapter is found, or if the output is in use.
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
            ours = path.name == MANIFEST or f".{ROUNDED}." in path.name
            # Files of the hub's cache are links.
            if path.is_file() and not ours:
                shutil.copy2(path.resolve(), fresh / path.name)
    adapter = output / _ADAPTER
    config = {**files.config, "base_model_name_or_path": str(base), "revision": None}
    write_adapter(AdapterFiles(config, files.weights), adapter)
    return base, adapter


def _find_adapter(folder: Path) -> Path:
    if (folder / CONFIG_FILE).is_file():
        return folder
    if (folder / _ADAPTER).is_dir():
        return folder / _ADAPTER
    found = sorted(path.parent for path in folder.glob(f"*/{_ADAPTER}/{CONFIG_FILE}"))
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
