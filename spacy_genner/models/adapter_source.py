"""Where an adapter comes from: the package, a folder, or the model hub.

`find_adapter` resolves the setting `adapter` of a model. The folder of an adapter may
be a part of a saved component, whose state (labels and prompt) belongs to the adapter.
"""

import re
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from ..errors import Errors
from ..io import check_folder, parse_json
from .adapter_files import CONFIG_FILE, find_adapter_folder
from .base_model import hub_snapshot

# The adapter that the package contains.
UNIVERSAL = "universal"
STATE_FILE = "genner.json"
DRAFT_HEAD_FILE = "draft_head.safetensors"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_FILES = ["*.json", "*.safetensors", "*.cfg", "README.md", "LICENSE*"]


class AdapterSource(NamedTuple):
    """The files of an adapter.

    name (str): The name in the config.
    folder (Path): The folder of adapter_config.json.
    state_file (Path | None): The state of the component that the adapter was saved
        with. None for the adapter of another tool.
    draft_head_file (Path | None): The draft head that was trained with the adapter.
    """

    name: str
    folder: Path
    state_file: Path | None
    draft_head_file: Path | None = None

    @property
    def labels(self) -> list[str]:
        """RETURNS (list[str]): The labels that the adapter was saved with. Empty if
        they are not known."""
        if self.state_file is None:
            return []
        # Whoever reads the whole state reports a damaged one.
        with suppress(ValueError, TypeError, KeyError, OSError):
            state = parse_json(self.state_file.read_text(encoding="utf8"))
            return [str(label) for label, _ in state["labels"]]
        return []


def find_adapter(name: str) -> AdapterSource:
    """Find the files of an adapter.

    name (str): "universal" for the adapter of the package; a folder with an adapter, a
        saved component, or a saved pipeline with one such component; or a hub id.
    RETURNS (AdapterSource): The files.
    RAISES (ValueError): There is no such adapter, or the pipeline has several.
    """
    if name == UNIVERSAL:
        folder = Path(str(resources.files("spacy_genner"))) / "adapters" / UNIVERSAL
        if not folder.is_dir():
            raise ValueError(Errors.G280.format(folder=folder))
    elif Path(name).is_dir():
        folder = Path(name)
    elif _HUB_ID.fullmatch(name) and not name.startswith("."):
        folder = hub_snapshot(name, None, _HUB_FILES, [], _has_adapter)
    else:
        raise ValueError(Errors.G281.format(name=name))
    check_folder(folder)
    adapter = find_adapter_folder(folder)
    beside = adapter.parent / STATE_FILE
    inside = adapter / STATE_FILE
    state = inside if inside.is_file() else beside if beside.is_file() else None
    head = None if state is None else state.parent / DRAFT_HEAD_FILE
    if head is not None and not head.is_file():
        head = None
    return AdapterSource(name, adapter, state, head)


def _has_adapter(folder: Path) -> bool:
    return any(folder.rglob(CONFIG_FILE))
