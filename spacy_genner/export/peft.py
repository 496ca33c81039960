"""Write the base and the adapter of a saved component for peft and other tools."""

import os
from pathlib import Path

from ..io import check_unused, expand_home, replaced_folder
from ..models.adapter_files import (
    find_adapter_folder,
    read_adapter_and_base,
    write_adapter,
    write_base,
)
from ..models.licenses import LicenseNotes
from ..pipeline.generative_ner import ADAPTER_FOLDER
from .served import read_component_config

BASE_FOLDER = "base"


def export_base(component_folder: Path, output: Path) -> tuple[Path, Path]:
    """Write the base and the adapter of a saved component for other tools.

    The adapter of a component with the base `pip:PACKAGE` names the base so. In the
    export the base is a folder, and the adapter names that folder by its full path.

    component_folder (Path): A saved component, the folder of an adapter, or a saved
        pipeline with one such component.
    output (Path): A new or empty folder. It receives `base` (config.json, safetensors
        and tokenizer files), `adapter` and the files with licenses.
    RETURNS (tuple[Path, Path]): The folders of the base and of the adapter.
    RAISES (ValueError): No adapter or several are found, the adapter is damaged or does
        not fit its base, or the output folder is not empty.
    RAISES (OSError): The output can't be written. The error names a path in it, and no
        unfinished output is left.
    """
    # `Path.resolve` has an error of its own for links that lead in a circle.
    output = Path(os.path.realpath(expand_home(output)))
    check_unused(output)
    files, source = read_adapter_and_base(Path(component_folder))
    component = find_adapter_folder(Path(component_folder)).parent
    start = read_component_config(component)["model"].get("adapter")
    notes = LicenseNotes.collect([source.name], [start or ""])
    base, adapter = output / BASE_FOLDER, output / ADAPTER_FOLDER
    with replaced_folder(output) as fresh:
        write_base(source.folder, fresh / base.name)
        write_adapter(files.with_base(str(base)), fresh / adapter.name)
        notes.write(fresh)
    return base, adapter
