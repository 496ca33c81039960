"""GGUF files for llama.cpp: the GGUF file of a base, with an adapter merged in.

This is not a general converter. The GGUF file of the base provides the settings, the
vocabulary and the weights that the adapter leaves as they are. The adapted weights are
merged in float32 and replace its own. Some architectures store the rows of queries and
keys in another order in GGUF. The order is found by comparing the weights of the base
in both forms, so that an unknown layout is refused and never written.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from ..config.settings import PIP_PREFIX
from ..errors import Errors
from ..models.base_model import is_pip_name
from ..models.gguf import find_package_gguf, join_parts
from ..models.gguf_conversion import merge_split_gguf

if TYPE_CHECKING:
    import torch

    from ..models.language_model import LanguageModel

# The dtypes of matrices. Vectors stay in float32.
F16, Q8_0 = "f16", "q8_0"
QUANTIZATIONS = (Q8_0, F16)
# Fields that the writer sets itself.
_SKIPPED_FIELDS = ("GGUF.", "general.architecture", "general.file_type")
# The relative difference of two forms of the same weights, one of which may be rounded
# to bfloat16. Weights in another order differ by more than 1.
_TOLERANCE = 0.02

Weights = Mapping[str, "torch.Tensor"]


def write_merged_gguf(
    lm: "LanguageModel", output: Path, quantization: str = F16
) -> None:
    """Write a component's model as a GGUF file, with its adapter merged in.

    lm (LanguageModel): The component's model. Its adapter must be merged
        (`merge = true`). The merge is as precise as its dtype.
    output (Path): The new file. The caller removes it after an error.
    quantization (str): The dtype of matrices: "f16" or "q8_0".
    RAISES (ValueError): The base does not come as GGUF, the adapter is not merged, or a
        weight has no place in the file.
    """
    parts = lm.base.source.gguf
    if not is_pip_name(lm.name) and not parts:
        raise ValueError(Errors.G847.format(name=lm.name))
    network, base = lm.decoding_network(), lm.base.model
    changed = changed_weights(network, base)
    before = {name: base.get_parameter(name) for name in changed}
    if len(parts) == 1:
        replace_weights(parts[0], before, changed, output, quantization)
        return
    source = output.with_name(f"{output.name}.source")
    try:
        if parts:
            merge_split_gguf(parts, source)
        else:
            found = find_package_gguf(lm.name[len(PIP_PREFIX) :])
            join_parts(found.parts, source, found.checksum, found.package)
        replace_weights(source, before, changed, output, quantization)
    finally:
        source.unlink(missing_ok=True)


def changed_weights(network: Any, base: Any) -> dict[str, "torch.Tensor"]:
    """Find the weights of a network that differ from its base.

    network (PreTrainedModel): A network with a merged adapter.
    base (PreTrainedModel): The base.
    RETURNS (dict[str, Tensor]): The weights, by their names in transformers.
    RAISES (ValueError): The adapter is not merged.
    """
    before = dict(base.named_parameters())
    after = dict(network.named_parameters())
    if set(after) - set(before):
        raise ValueError(Errors.G848)
    return {
        name: weight.detach()
        for name, weight in after.items()
        if weight.data_ptr() != before[name].data_ptr()
    }


def replace_weights(
    source: Path,
    before: Weights,
    changed: Weights,
    output: Path,
    quantization: str = F16,
) -> None:
    """Copy a GGUF file with some weights replaced, one tensor at a time.

    source (Path): The file to copy.
    before (Mapping[str, Tensor]): The weights of the base, by their names in
        transformers.
    changed (Mapping[str, Tensor]): The new weights, by the same names.
    output (Path): The new file.
    quantization (str): The dtype of matrices: "f16" or "q8_0". Rows that Q8_0 can't
        hold, whose length is no multiple of 32, are written in F16.
    RAISES (ValueError): The file has no such weight, or stores it in an unknown order.
    """
    import gguf

    kinds = gguf.GGMLQuantizationType
    reader = gguf.GGUFReader(source)
    architecture = str(_value(reader, "general.architecture"))
    names = _gguf_names(gguf, architecture, reader, changed)
    writer = gguf.GGUFWriter(output, architecture)
    file_type = {F16: "MOSTLY_F16", Q8_0: "MOSTLY_Q8_0"}[quantization]
    writer.add_file_type(gguf.LlamaFileType[file_type])
    for key, field in reader.fields.items():
        if not key.startswith(_SKIPPED_FIELDS):
            inner = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], inner)
    # A file keeps a few matrices in float32 that no program reads otherwise.
    matrices = [t.tensor_type for t in reader.tensors if len(t.shape) > 1]
    keeps_float32 = any(kind != kinds.F32 for kind in matrices)
    dtypes = []
    for tensor in reader.tensors:
        # In GGUF the first dimension is the innermost.
        shape = [int(size) for size in tensor.shape[::-1]]
        is_float32 = keeps_float32 and tensor.tensor_type == kinds.F32
        if len(shape) == 1 or is_float32:
            dtype = kinds.F32
        elif quantization == Q8_0 and shape[-1] % 32 == 0:
            dtype = kinds.Q8_0
        else:
            dtype = kinds.F16
        dtypes.append(dtype)
        _add_info(gguf, writer, tensor.name, shape, dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, dtype in zip(reader.tensors, dtypes, strict=True):
        shape = [int(size) for size in tensor.shape[::-1]]
        weight = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        name = names.pop(tensor.name, None)
        if name is not None:
            new, old = (_to_array(each[name]) for each in (changed, before))
            weight = _in_order_of(weight, old, new, reader, architecture, name)
        writer.write_tensor_data(gguf.quantize(weight, dtype))
    writer.close()
    if names:
        missing = ", ".join(sorted(names))
        raise ValueError(Errors.G849.format(name=missing, reason="it has no such name"))


def _add_info(gguf: Any, writer: Any, name: str, shape: list[int], dtype: Any) -> None:
    kinds = gguf.GGMLQuantizationType
    if dtype == kinds.Q8_0:
        block, size = gguf.GGML_QUANT_SIZES[dtype]
        stored = [*shape[:-1], shape[-1] // block * size]
        count = int(numpy.prod(stored))
        writer.add_tensor_info(name, stored, numpy.dtype("uint8"), count, dtype)
        return
    kind = numpy.dtype("float32" if dtype == kinds.F32 else "float16")
    count = int(numpy.prod(shape)) * kind.itemsize
    writer.add_tensor_info(name, shape, kind, count)


def _in_order_of(
    stored: Any, old: Any, new: Any, reader: Any, architecture: str, name: str
) -> Any:
    """Arrange new weights as the file stores the old ones."""
    if old.shape != stored.shape:
        reason = f"its shape is {stored.shape}, and that of the base {old.shape}"
        raise ValueError(Errors.G849.format(name=name, reason=reason))
    limit = _TOLERANCE * float(numpy.linalg.norm(stored))
    for reorder in (lambda w: w, *_permutations(reader, architecture, len(old))):
        if float(numpy.linalg.norm(reorder(old) - stored)) <= limit:
            return numpy.ascontiguousarray(reorder(new))
    reason = "its values differ from those of the base in every known order"
    raise ValueError(Errors.G849.format(name=name, reason=reason))


def _permutations(reader: Any, architecture: str, rows: int) -> Iterator[Any]:
    """The orders of the rows of queries and keys in the files of some architectures,
    which rotate neighboring rows instead of the halves of a head."""
    for key in ("head_count", "head_count_kv"):
        heads = _value(reader, f"{architecture}.attention.{key}")
        if isinstance(heads, int) and heads > 0 and rows % (2 * heads) == 0:

            def reorder(weight: Any, heads: int = heads) -> Any:
                halves = weight.reshape(heads, 2, rows // heads // 2, -1)
                return halves.swapaxes(1, 2).reshape(weight.shape)

            yield reorder


def _value(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()


def _to_array(weight: "torch.Tensor") -> Any:
    return weight.detach().float().cpu().numpy()


def _gguf_names(
    gguf: Any, architecture: str, reader: Any, changed: Weights
) -> dict[str, str]:
    """The names of weights in transformers, by their names in GGUF."""
    ids = {name: id_ for id_, name in gguf.MODEL_ARCH_NAMES.items()}
    layers = _value(reader, f"{architecture}.block_count")
    if architecture not in ids or layers is None:
        reason = f"the architecture {architecture!r} is unknown to the gguf package"
        raise ValueError(Errors.G849.format(name=next(iter(changed)), reason=reason))
    names = gguf.get_tensor_name_map(ids[architecture], int(layers))
    renamed = {}
    stored = {tensor.name for tensor in reader.tensors}
    for name in changed:
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found not in stored:
            reason = "it has no such name"
            raise ValueError(Errors.G849.format(name=name, reason=reason))
        renamed[found] = name
    return renamed
