"""Write the model of a pipeline, with its adapter merged in, as a GGUF file.

This is not a general converter. The GGUF file of the base provides the settings and the
vocabulary, and the weights that the adapter changes replace its own. It needs a base of
the form `pip:PACKAGE`, and an architecture whose weights have the same row order in
GGUF and in transformers.
"""

from pathlib import Path
from typing import Any

import numpy
import torch
from base import NotAvailable

from spacy_genner.config.settings import PIP_PREFIX
from spacy_genner.models.base_model import is_pip_name
from spacy_genner.models.gguf import find_package_gguf, join_parts

# Other architectures permute the rows of queries and keys.
ARCHITECTURES = ("gemma3",)
SKIPPED_FIELDS = ("GGUF.", "general.architecture", "general.file_type")


def write_merged_gguf(lm: Any, folder: Path) -> Path:
    """Write a component's model as GGUF, matrices in float16 and the rest in float32.

    lm (LanguageModel): The component's model.
    folder (Path): The output folder.
    RETURNS (Path): The file.
    RAISES (NotAvailable): The base or its adapter is not supported.
    """
    if not is_pip_name(lm.name):
        raise NotAvailable(
            "only a base that comes as GGUF (pip:PACKAGE) can be written as GGUF; this "
            f"one is {lm.name}"
        )
    found = find_package_gguf(lm.name[len(PIP_PREFIX) :])
    source = folder / "source.gguf"
    join_parts(found.parts, source, found.checksum, found.package)
    output = folder / "merged.gguf"
    network = lm.decoding_network()
    replace_weights(source, changed_weights(network, lm.base.model), output)
    source.unlink()
    return output


def changed_weights(network: Any, base: Any) -> dict[str, torch.Tensor]:
    """Find the weights of a network that differ from its base.

    network (PreTrainedModel): A network with a merged adapter.
    base (PreTrainedModel): The base.
    RETURNS (dict[str, Tensor]): The weights, by their names in transformers.
    RAISES (NotAvailable): The adapter is not merged.
    """
    before = dict(base.named_parameters())
    after = dict(network.named_parameters())
    if set(after) - set(before):
        raise NotAvailable("the adapter is not merged (the component's model.merge)")
    return {
        name: weight.detach()
        for name, weight in after.items()
        if weight.data_ptr() != before[name].data_ptr()
    }


def replace_weights(
    source: Path, changed: dict[str, torch.Tensor], output: Path
) -> None:
    """Copy a GGUF file with some weights replaced.

    source (Path): The file to copy.
    changed (dict[str, Tensor]): The new weights, by their names in transformers.
    output (Path): The new file.
    RAISES (NotAvailable): The architecture is not supported, or the file has no such
        weight.
    """
    import gguf

    reader = gguf.GGUFReader(source)
    architecture = reader.get_field("general.architecture").contents()
    if architecture not in ARCHITECTURES:
        raise NotAvailable(
            f"the architecture {architecture} is not supported, only "
            f"{', '.join(ARCHITECTURES)}"
        )
    renamed = _gguf_names(gguf, architecture, reader, changed)
    writer = gguf.GGUFWriter(output, architecture)
    for key, field in reader.fields.items():
        if not key.startswith(SKIPPED_FIELDS):
            inner = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        new = renamed.pop(tensor.name, None)
        if new is None:
            # In GGUF the first dimension is the innermost.
            shape = [int(size) for size in tensor.shape[::-1]]
            weight = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        else:
            weight = new.float().cpu().numpy()
        dtype = numpy.float16 if weight.ndim > 1 else numpy.float32
        writer.add_tensor(tensor.name, weight.astype(dtype))
    if renamed:
        raise NotAvailable(f"{source.name} has no weight {sorted(renamed)[0]}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_names(
    gguf: Any, architecture: str, reader: Any, changed: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The weights, by their names in GGUF."""
    ids = {name: id_ for id_, name in gguf.MODEL_ARCH_NAMES.items()}
    layers = int(reader.get_field(f"{architecture}.block_count").contents())
    names = gguf.get_tensor_name_map(ids[architecture], layers)
    renamed = {}
    for name, weight in changed.items():
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise NotAvailable(f"GGUF has no name for {name}")
        renamed[found] = weight
    return renamed
