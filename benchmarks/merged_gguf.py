"""A pipeline's model, adapter merged in, as a GGUF file.

Nothing is converted anew: the file that the base was read from lends its settings and
its vocabulary, and the weights that the adapter changes are put in the place of its
own. That needs a base of the form `pip:PACKAGE`, and an architecture whose rows stand
in GGUF as they do in transformers.
"""

from pathlib import Path
from typing import Any

import numpy
import torch
from contestants import CannotRun

from spacy_genner.config.settings import PIP_PREFIX
from spacy_genner.models.base_model import is_pip_name
from spacy_genner.models.gguf import find_package_gguf, join_parts

# Others have the rows of queries and keys in another order.
ARCHITECTURES = ("gemma3",)
SKIPPED = ("GGUF.", "general.architecture", "general.file_type")


def write_merged(lm: Any, folder: Path) -> Path:
    """Write the model of a component as GGUF: matrices in float16, the rest in float32.

    lm (LanguageModel): The component's model.
    folder (Path): Where the files go.
    RETURNS (Path): The file.
    RAISES (CannotRun): The base is not one that can be written.
    """
    if not is_pip_name(lm.name):
        raise CannotRun(
            f"a base can be written as GGUF here only if it came as GGUF, as "
            f"pip:PACKAGE; this one is {lm.name}"
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
    """The weights of a network that are not its base's own.

    network (PreTrainedModel): A network with an adapter merged in.
    base (PreTrainedModel): The base.
    RETURNS (Dict[str, Tensor]): By name, as transformers has it.
    RAISES (CannotRun): The adapter is beside the weights.
    """
    own = dict(base.named_parameters())
    mine = dict(network.named_parameters())
    if set(mine) - set(own):
        raise CannotRun("the adapter is not merged (the component's model.merge)")
    return {n: t.detach() for n, t in mine.items() if t.data_ptr() != own[n].data_ptr()}


def replace_weights(
    source: Path, changed: dict[str, torch.Tensor], output: Path
) -> None:
    """Write a GGUF file anew with some weights replaced.

    source (Path): The file.
    changed (Dict[str, Tensor]): The new weights, by their names in transformers.
    output (Path): The new file.
    RAISES (CannotRun): The architecture is not known here, or a weight has no place.
    """
    import gguf

    reader = gguf.GGUFReader(source)
    name = reader.get_field("general.architecture").contents()
    if name not in ARCHITECTURES:
        raise CannotRun(f"weights of {name} can't be put into GGUF here")
    renamed = _renamed(gguf, name, reader, changed)
    writer = gguf.GGUFWriter(output, name)
    for key, field in reader.fields.items():
        if not key.startswith(SKIPPED):
            inner = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        new = renamed.pop(tensor.name, None)
        if new is None:
            # In GGUF the first dimension is the innermost.
            shape = [int(size) for size in tensor.shape[::-1]]
            plain = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        else:
            plain = new.float().cpu().numpy()
        kind = numpy.float16 if plain.ndim > 1 else numpy.float32
        writer.add_tensor(tensor.name, plain.astype(kind))
    if renamed:
        raise CannotRun(f"{source.name} has no place for {sorted(renamed)[0]}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _renamed(
    gguf: Any, architecture: str, reader: Any, changed: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The weights by their names in GGUF."""
    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    layers = int(reader.get_field(f"{architecture}.block_count").contents())
    names = gguf.get_tensor_name_map(kinds[architecture], layers)
    renamed = {}
    for name, weight in changed.items():
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise CannotRun(f"GGUF has no name for {name}")
        renamed[found] = weight
    return renamed
