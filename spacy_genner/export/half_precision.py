"""Write the adapter of a saved component in half precision, for other pipelines."""

import os
from pathlib import Path

from ..errors import Errors
from ..io import check_unused, expand_home, replaced_folder
from ..models.adapter_files import AdapterFiles, read_adapter, write_adapter
from ..pipeline.generative_ner import ADAPTER_FOLDER
from ..pipeline.state import STATE_FILE, ComponentState
from .served import find_component, license_notes, read_component_config


def export_half_precision(model: Path, output: Path) -> Path:
    """Write an adapter and its prompt, with weights in bfloat16: half of the size.

    Training starts from float32 copies of the weights, and a base in bfloat16 rounds
    them anyway. The draft head is left out, as it belongs to fixed labels.

    model (Path): A saved component, or a saved pipeline with one such component.
    output (Path): A new or empty folder. It receives `genner.json`, `adapter` and
        the files with licenses, and can be the setting `adapter` of another model.
    RETURNS (Path): The folder.
    RAISES (ValueError): The adapter or its state is missing or damaged, or the output
        folder is not empty.
    RAISES (OSError): The output can't be written. No unfinished output is left.
    """
    output = Path(os.path.realpath(expand_home(output)))
    check_unused(output)
    place = find_component(Path(model))
    files = read_adapter(place / ADAPTER_FOLDER)
    state = (place / STATE_FILE).read_bytes()
    # A damaged state is found here, and not by the pipeline that takes the adapter.
    notes = license_notes(
        ComponentState.from_bytes(state), read_component_config(place)
    )
    narrow = _in_half_precision(files, place / ADAPTER_FOLDER)
    with replaced_folder(output) as fresh:
        write_adapter(narrow, fresh / ADAPTER_FOLDER)
        (fresh / STATE_FILE).write_bytes(state)
        notes.write(fresh)
    return output


def _in_half_precision(files: AdapterFiles, folder: Path) -> AdapterFiles:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load, save

    try:
        wide = load(files.weights)
    except SafetensorError as error:
        raise ValueError(Errors.G252.format(where=folder, reason=error)) from error
    for name, tensor in wide.items():
        if not bool(torch.isfinite(tensor).all()):
            reason = f"{name} has values that are no finite numbers"
            raise ValueError(Errors.G252.format(where=folder, reason=reason))
    tensors = {
        name: tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor
        for name, tensor in wide.items()
    }
    return AdapterFiles(files.config, save(tensors, metadata={"format": "pt"})).sealed()
