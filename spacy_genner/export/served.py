"""What a client must know of an adapter that a server runs: its prompt and tokenizer.

An export holds this in `genner.json` and in the folder `tokenizer`. A saved component
holds the same settings, and names the base that the tokenizer belongs to.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinc.api import Config

from ..errors import Errors
from ..io import check_folder, expand_home, parse_json
from ..models.adapter_files import CONFIG_FILE
from ..models.licenses import LicenseNotes
from ..pipeline.factory import DEFAULTS
from ..pipeline.state import STATE_FILE, ComponentState

VLLM, LLAMA_CPP = "vllm", "llama.cpp"
SERVERS = (VLLM, LLAMA_CPP)
TOKENIZER_FOLDER = "tokenizer"
# The key of the settings of an export in `genner.json`, and their version.
_SECTION = "export"
_VERSION = 1


@dataclass(frozen=True)
class ServedAdapter:
    """A tuned adapter, as its client sees it.

    folder (Path): The folder that describes it.
    state (ComponentState): Labels, format and prompt of the training.
    chat (bool | str): Whether a prompt is a turn of a chat. "auto" means no.
    server (str | None): "vllm" or "llama.cpp". None if the folder is no export.
    model (str | None): The name of the model on the server. None if the folder is no
        export.
    context_length (int | None): The maximum number of tokens of prompt and output with
        which the export starts its server. None if the folder is no export.
    revision (str | None): The revision of the base.
    """

    folder: Path
    state: ComponentState
    chat: bool | str = "auto"
    server: str | None = None
    model: str | None = None
    context_length: int | None = None
    revision: str | None = None

    def read_tokenizer(self) -> Any:
        """Read the tokenizer: that of the export, or that of the base.

        RETURNS (PreTrainedTokenizerBase): The tokenizer.
        RAISES (ValueError): It can't be read, or the base is not available.
        """
        from ..models.base_model import read_tokenizer, resolve_base

        folder = self.folder / TOKENIZER_FOLDER
        if self.server is None:
            folder = resolve_base(self.state.base, self.revision).folder
        elif not folder.is_dir():
            raise ValueError(Errors.G842.format(folder=self.folder, missing=folder))
        try:
            return read_tokenizer(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(Errors.G843.format(folder=folder, reason=error)) from error

    def to_json(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The content of an export's `genner.json`."""
        settings = {
            "version": _VERSION,
            "server": self.server,
            "model": self.model,
            "context_length": self.context_length,
            "chat": self.chat,
        }
        return {**self.state.to_json(), _SECTION: settings}


def read_served(folder: str | Path) -> ServedAdapter:
    """Read the folder of an adapter that a server runs.

    folder (str | Path): The result of `genner export`, a saved component, or a saved
        pipeline with one such component.
    RETURNS (ServedAdapter): The adapter. Its tokenizer is not read yet.
    RAISES (ValueError): The folder is none of these, or is damaged.
    """
    place = find_component(expand_home(folder))
    try:
        data = (place / STATE_FILE).read_bytes()
    except OSError as error:
        raise ValueError(Errors.G842.format(folder=place, missing=error)) from error
    state = ComponentState.from_bytes(data)
    settings = parse_json(data.decode("utf8")).get(_SECTION)
    if settings is None:
        return ServedAdapter(place, state, state.prompt.chat, revision=_revision(place))
    return _from_settings(place, state, settings)


def _from_settings(place: Path, state: ComponentState, settings: Any) -> ServedAdapter:
    reason: Any = "no object"
    if isinstance(settings, Mapping):
        version, server = settings.get("version"), settings.get("server")
        model, length = settings.get("model"), settings.get("context_length")
        chat = settings.get("chat")
        if version != _VERSION:
            reason = f"version {version!r}"
        elif server not in SERVERS:
            reason = f"server {server!r}"
        elif not isinstance(model, str) or not model:
            reason = f"model {model!r}"
        elif type(length) is not int or length < 1:
            reason = f"context_length {length!r}"
        elif not isinstance(chat, bool):
            reason = f"chat {chat!r}"
        else:
            return ServedAdapter(place, state, chat, server, model, length)
    raise ValueError(Errors.G844.format(path=place / STATE_FILE, reason=reason))


def find_component(folder: Path) -> Path:
    """Find the folder that holds the settings of a tuned component.

    folder (Path): An export, a saved component, the folder of its adapter, or a saved
        pipeline with one such component.
    RETURNS (Path): The folder with `genner.json`.
    RAISES (ValueError): There is no such folder, or there are several.
    """
    check_folder(folder)
    if (folder / STATE_FILE).is_file():
        return folder
    if (folder / CONFIG_FILE).is_file() and (folder.parent / STATE_FILE).is_file():
        return folder.parent
    found = sorted(
        path.parent
        for path in folder.glob(f"*/{STATE_FILE}")
        # An export may lie in the folder of a pipeline.
        if (path.parent / "adapter").is_dir()
    )
    if len(found) > 1:
        raise ValueError(
            Errors.G841.format(folder=folder, found=", ".join(map(str, found)))
        )
    if not found:
        inside = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else None
        shown = "no folder" if inside is None else json.dumps(inside[:12])
        raise ValueError(Errors.G840.format(folder=folder, found=shown))
    return found[0]


def _revision(place: Path) -> str | None:
    """The revision of the base in the config of a saved adapter."""
    try:
        config = json.loads((place / "adapter" / CONFIG_FILE).read_text("utf8"))
        revision = config.get("revision")
    except (OSError, ValueError, AttributeError):
        return None
    return revision if isinstance(revision, str) else None


def read_component_config(place: Path) -> dict[str, Any]:
    """Read the config of a saved component from the pipeline that it belongs to.

    place (Path): The folder of the component.
    RETURNS (dict[str, Any]): The config. The default one if the component was saved
        without a pipeline.
    """
    path = place.parent / "config.cfg"
    config: dict[str, Any] = {}
    if path.is_file():
        # A config of spaCy may have variables that other blocks define.
        blocks = Config().from_disk(path, interpolate=False).interpolate()
        config = blocks.get("components", {}).get(place.name, {})
    return {**DEFAULTS, **config}


def license_notes(state: ComponentState, config: Mapping[str, Any]) -> LicenseNotes:
    """Collect the licenses that apply to an exported adapter.

    state (ComponentState): The state of the component.
    config (Mapping[str, Any]): The config of the component.
    RETURNS (LicenseNotes): The licenses of the base and of the adapter that training
        started from.
    """
    return LicenseNotes.collect([state.base], [config["model"].get("adapter") or ""])
