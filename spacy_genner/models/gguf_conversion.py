"""Conversion of a GGUF file to a folder that transformers loads.

transformers reads the weights, the shape of the network and the vocabulary of a GGUF
file. Three things that a file states are lost on the way, without a message: settings
of the network that transformers does not look up, tensors that it has no place for, and
the rules by which the tokenizer splits a text. They are added for the families that
`gguf_settings` and `gguf_tokenizer` know. What is not known is refused, because
a network with another scaling of positions, or a tokenizer that splits numbers
elsewhere, still gives answers, only worse ones.
"""

import json
import logging
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import Errors
from .gguf_settings import (
    FAMILIES,
    ROPE_FACTORS,
    Family,
    GGUFSettings,
    Metadata,
    check_settings,
)
from .gguf_tokenizer import read_tokenizer_of_gguf

# The variant, in transformers' terms, of the weights that are rounded to bfloat16.
ROUNDED = "bfloat16"

logger = logging.getLogger("spacy_genner")

# Longer arrays are parts of the vocabulary.
_LONGEST_ARRAY = 4096


@contextmanager
def hidden_progress_bars() -> Iterator[None]:
    """Hide the progress bars of transformers within the block if stderr is not a
    terminal. In a log they are long lines of control characters."""
    from transformers.utils import logging as transformers_logging

    hide = not sys.stderr.isatty() and transformers_logging.is_progress_bar_enabled()
    if hide:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if hide:
            transformers_logging.enable_progress_bar()


@hidden_progress_bars()
def convert_gguf(files: Sequence[Path], folder: Path) -> None:
    """Convert a GGUF file to a folder that `from_pretrained` loads.

    files (Sequence[Path]): The file, or the parts of a split file in order, each of
        which is a GGUF file of its own.
    folder (Path): An existing folder for the result. It also holds temporary files.
    RAISES (ValueError): A file can't be read, the architecture, a setting, a tensor or
        the tokenizer is not supported, or the result can't be written.
    """
    from safetensors import SafetensorError

    name = files[0].name
    logger.info("Converting %s, once: this takes a minute or more.", name)
    with _gguf_errors(name):
        readers = _open_parts(files)
        metadata = _read_metadata(readers[0])
        architecture = str(metadata.get("general.architecture", ""))
        family = FAMILIES.get(architecture)
        if family is None:
            raise ValueError(
                Errors.G354.format(
                    file=name, found=architecture, known=", ".join(sorted(FAMILIES))
                )
            )
        check_settings(name, metadata, architecture, family)
        # First, because it fails in seconds and the weights take longer.
        tokenizer = read_tokenizer_of_gguf(files[0], readers[0], metadata)
    with tempfile.TemporaryDirectory(dir=folder, prefix="weights-") as place:
        weights = Path(place) / "weights.gguf"
        try:
            shared = _write_weights(readers, metadata, architecture, weights)
        except OSError as err:
            raise ValueError(
                Errors.G222.format(folder=folder.parent, reason=err)
            ) from err
        with _gguf_errors(name):
            model = _load_weights(weights, name, metadata, readers, shared, family)
    # Unmaps the file.
    del readers
    # The path of a temporary file.
    model.config._name_or_path = ""
    try:
        model.save_pretrained(folder)
        plain = (folder / "config.json").read_bytes()
        model.bfloat16().save_pretrained(folder, variant=ROUNDED)
        # The config of the folder gives the dtype of the plain weights.
        (folder / "config.json").write_bytes(plain)
        tokenizer.save_pretrained(folder)
        _name_tokenizer_class(folder / "tokenizer_config.json")
        compact_tokenizer(folder / "tokenizer.json")
    except (OSError, SafetensorError) as err:
        raise ValueError(Errors.G222.format(folder=folder.parent, reason=err)) from err


def _name_tokenizer_class(path: Path) -> None:
    """Name the class by its older name, which all versions of transformers know."""
    settings = json.loads(path.read_text("utf8"))
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    for key in ("backend", "is_local"):
        settings.pop(key, None)
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf8")


def compact_tokenizer(path: Path) -> None:
    """Rewrite the file of a tokenizer so that reading it takes less time and memory:
    without white space, and with each merge as a string, as earlier versions of
    tokenizers wrote it, instead of a list of two. The tokenizer is the same.

    path (Path): The `tokenizer.json`.
    """
    saved = json.loads(path.read_text("utf8"))
    merges = saved["model"].get("merges")
    # The older form separates the two by a space, and begins with a comment.
    if merges and not any(
        isinstance(pair, str) or " " in "".join(pair) or pair[0].startswith("#version")
        for pair in merges
    ):
        saved["model"]["merges"] = [" ".join(pair) for pair in merges]
    text = json.dumps(saved, ensure_ascii=False, separators=(",", ":"))
    path.write_text(text, encoding="utf8")


@contextmanager
def _gguf_errors(name: str) -> Iterator[None]:
    """Turn the errors of reading a damaged or unknown file into one message. Messages
    of this project pass."""
    try:
        yield
    # gguf raises NotImplementedError for a quantization that it can't read.
    except (
        ValueError,
        LookupError,
        TypeError,
        ArithmeticError,
        NotImplementedError,
        OSError,
        ImportError,
    ) as err:
        if str(err).startswith("[G"):
            raise
        raise ValueError(Errors.G221.format(file=name, reason=err)) from err


def _open_parts(files: Sequence[Path]) -> list[Any]:
    """Open the parts of a file, and check that they belong together."""
    import gguf

    readers = [gguf.GGUFReader(file) for file in files]
    for index, (file, reader) in enumerate(zip(files, readers, strict=True)):
        count, number = (
            1 if field is None else int(field.contents())
            for field in map(reader.get_field, ("split.count", "split.no"))
        )
        if count <= 1 and len(files) == 1:
            continue
        if count != len(files) or number != index:
            found = f"{file.name} is part {number + 1} of {count}"
            raise ValueError(Errors.G352.format(found=found, expected=len(files)))
    return readers


def _read_metadata(reader: Any) -> dict[str, Any]:
    """The fields of a file, without the long arrays of its vocabulary."""
    return {
        key: field.contents()
        for key, field in reader.fields.items()
        if len(field.data) <= _LONGEST_ARRAY
    }


def _write_weights(
    readers: Sequence[Any], metadata: Metadata, architecture: str, output: Path
) -> bool:
    """Write the weights of all parts to one file, without the vocabulary, which
    transformers would read several times, in a minute.

    RETURNS (bool): Whether the output layer is a copy of the embedding. It is left out.
    """
    import gguf

    tensors = {tensor.name: tensor for reader in readers for tensor in reader.tensors}
    head, embedding = tensors.get("output.weight"), tensors.get("token_embd.weight")
    shared = (
        head is not None
        and embedding is not None
        and head.tensor_type == embedding.tensor_type
        and head.data.shape == embedding.data.shape
        and bool((head.data == embedding.data).all())
    )
    if shared:
        del tensors["output.weight"]
    rows = f"{architecture}.vocab_size"
    # Some names of models make transformers choose another architecture.
    kept = (f"{architecture}.", "tokenizer.")
    writer = gguf.GGUFWriter(output, architecture)
    for key, field in readers[0].fields.items():
        if key in metadata and key.startswith(kept) and key != rows:
            _copy_field(writer, key, field)
    if embedding is not None:
        # In GGUF the last dimension is the outermost.
        writer.add_uint32(rows, int(embedding.shape[-1]))
    _write_tensors(writer, tensors.values())
    return shared


def merge_split_gguf(files: Sequence[Path], output: Path) -> None:
    """Write the parts of a split file as one file.

    files (Sequence[Path]): The parts, in order.
    output (Path): The new file.
    RAISES (ValueError): The parts can't be read, or do not belong together.
    RAISES (OSError): The output can't be written.
    """
    import gguf

    with _gguf_errors(files[0].name):
        readers = _open_parts(files)
        architecture = str(readers[0].get_field("general.architecture").contents())
    writer = gguf.GGUFWriter(output, architecture)
    # The writer sets these.
    left_out = ("GGUF.", "split.", "general.architecture", "general.alignment")
    for key, field in readers[0].fields.items():
        if not key.startswith(left_out):
            _copy_field(writer, key, field)
    _write_tensors(writer, (tensor for reader in readers for tensor in reader.tensors))


def _copy_field(writer: Any, key: str, field: Any) -> None:
    inner = field.types[-1] if len(field.types) > 1 else None
    writer.add_key_value(key, field.contents(), field.types[0], inner)


def _write_tensors(writer: Any, tensors: Iterable[Any]) -> None:
    for tensor in tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _load_weights(
    weights: Path,
    name: str,
    metadata: Metadata,
    readers: Sequence[Any],
    shared: bool,
    family: Family,
) -> Any:
    """Load the network, and check that every tensor of the file has its place."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GgufConfig

    tensors = {tensor.name: tensor for reader in readers for tensor in reader.tensors}
    if shared:
        del tensors["output.weight"]
    architecture = str(metadata["general.architecture"])
    place = str(weights.parent)
    config = AutoConfig.from_pretrained(place, gguf_file=weights.name)
    family.correct(config, GGUFSettings(metadata, architecture), tensors, name)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        place,
        config=config,
        gguf_file=weights.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
        output_loading_info=True,
    )
    model, report = loaded
    for kind in ("missing_keys", "mismatched_keys"):
        if report[kind]:
            first = sorted(map(str, report[kind]))[0]
            what = f"architecture {architecture} without a tensor for {first}"
            raise ValueError(Errors.G355.format(file=name, what=what))
    known = _tensor_names(model, architecture) | {ROPE_FACTORS}
    unknown = sorted(set(tensors) - known)
    if unknown:
        raise ValueError(Errors.G355.format(file=name, what=f"tensor {unknown[0]}"))
    return model


def _tensor_names(model: Any, architecture: str) -> set[str]:
    """The names in GGUF of the weights of a network."""
    import gguf

    ids = {name: id_ for id_, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(ids[architecture], model.config.num_hidden_layers)
    found = (
        names.get_name(name, try_suffixes=(".weight", ".bias"))
        for name in model.state_dict()
    )
    return {name for name in found if name is not None}
