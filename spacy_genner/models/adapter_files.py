"""Adapters as peft writes them: adapter_config.json and adapter_model.safetensors.

Reading checks what can be checked without the base, so that an adapter which can't
be honoured is refused where it is read. Needs neither torch nor peft.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly

from ..errors import Errors
from ..storage.folders import check_folder, replaced_folder

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
