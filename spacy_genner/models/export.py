"""Make the folders that peft and vLLM need to use a saved component."""

import json
import shutil
from pathlib import Path

from ..errors import Errors
from ..storage.folders import check_unused, replaced_folder
from .adapter_files import CONFIG_FILE, AdapterFiles, read_adapter, write_adapter
from .bases import resolve_base
from .gguf import MANIFEST, ROUNDED

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
