"""Conversion of a GGUF file to a folder that transformers loads.

transformers reads the weights, the shape of the network and the vocabulary of a GGUF
file. Three things that a file states are lost on the way, without a message: settings
of the network that transformers does not look up, tensors that it has no place for, and
the rules by which the tokenizer splits a text. This module adds them for the families
that it knows. It refuses what it does not know, because a network with another scaling
of positions, or a tokenizer that splits numbers elsewhere, still gives answers, only
worse ones.
"""

import json
import logging
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import Errors

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# The variant, in transformers' terms, of the weights that are rounded to bfloat16.
ROUNDED = "bfloat16"

logger = logging.getLogger("spacy_genner")

_Metadata = Mapping[str, Any]

# Longer arrays are parts of the vocabulary.
_LONGEST_ARRAY = 4096
# The settings of a network that are read for every family.
_COMMON = frozenset(
    {
        "attention.causal",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.layer_norm_epsilon",
        "attention.layer_norm_rms_epsilon",
        "attention.value_length",
        "block_count",
        "context_length",
        "embedding_length",
        "feed_forward_length",
        "rope.dimension_count",
        "rope.freq_base",
        "vocab_size",
    }
)
# Settings that describe the training, or that have no effect with these values.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "pooling_type": (0,),
    "rope.scaling.finetuned": (True, False),
    "rope.scaling.type": ("none",),
}
_LINEAR = frozenset({"rope.scaling.type", "rope.scaling.factor"})
_YARN = _LINEAR | {"rope.scaling.original_context_length"}
# The tensor with the factors of Llama 3's rotary embedding.
_ROPE_FACTORS = "rope_freqs.weight"
# The context of the training of Llama 3, on which its rotary embedding is based.
_LLAMA3_CONTEXT = 8192
# The layers of the largest models of Gemma 2 and 3, which scale queries otherwise.
_GEMMA2_27B_LAYERS, _GEMMA3_27B_LAYERS = 46, 62
_GEMMA3_LOCAL_THETA = 10_000.0

# Token types in GGUF.
_USER_DEFINED = 4


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
        family = _FAMILIES.get(architecture)
        if family is None:
            raise ValueError(
                Errors.G354.format(
                    file=name, found=architecture, known=", ".join(sorted(_FAMILIES))
                )
            )
        _check_settings(name, metadata, architecture, family)
        # First, because it fails in seconds and the weights take longer.
        tokenizer = _read_gguf_tokenizer(files[0], readers[0], metadata)
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
    except (OSError, SafetensorError) as err:
        raise ValueError(Errors.G222.format(folder=folder.parent, reason=err)) from err


def _name_tokenizer_class(path: Path) -> None:
    """Name the class by its older name, which all versions of transformers know."""
    settings = json.loads(path.read_text("utf8"))
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    for key in ("backend", "is_local"):
        settings.pop(key, None)
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf8")


@contextmanager
def _gguf_errors(name: str) -> Iterator[None]:
    """Turn the errors of reading a damaged or unknown file into one message. Messages
    of this project pass."""
    try:
        yield
    # gguf raises NotImplementedError for a quantisation that it can't read.
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


def _check_settings(
    name: str, metadata: _Metadata, architecture: str, family: "_Family"
) -> None:
    """Refuse settings of the network that nothing here takes into account."""
    prefix = f"{architecture}."
    for key, value in metadata.items():
        if not key.startswith(prefix):
            continue
        short = key[len(prefix) :]
        if value in _NEUTRAL.get(short, ()):
            continue
        if short not in _COMMON | family.keys or short == "attention.causal":
            raise ValueError(
                Errors.G355.format(file=name, what=f"setting {key} = {value!r}")
            )
    settings = _Settings(metadata, architecture)
    width = settings.head_dim
    for short in ("attention.value_length", "rope.dimension_count"):
        found = settings.get(short, width)
        if found != width:
            what = f"setting {prefix}{short} = {found!r} with heads of {width}"
            raise ValueError(Errors.G355.format(file=name, what=what))


def _write_weights(
    readers: Sequence[Any], metadata: _Metadata, architecture: str, output: Path
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
    metadata: _Metadata,
    readers: Sequence[Any],
    shared: bool,
    family: "_Family",
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
    family.correct(config, _Settings(metadata, architecture), tensors, name)
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
    known = _tensor_names(model, architecture) | {_ROPE_FACTORS}
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


# Settings of networks


class _Settings:
    """The settings of a network in a GGUF file, by their names without the
    architecture."""

    def __init__(self, metadata: _Metadata, architecture: str) -> None:
        self.metadata = metadata
        self.architecture = architecture

    def get(self, name: str, default: Any = None) -> Any:
        return self.metadata.get(f"{self.architecture}.{name}", default)

    @property
    def hidden_per_head(self) -> int:
        size, heads = self.get("embedding_length"), self.get("attention.head_count")
        return int(size) // int(heads)

    @property
    def head_dim(self) -> int:
        width = self.get("rope.dimension_count", self.hidden_per_head)
        return int(self.get("attention.key_length", width))

    def rope(self, name: str) -> dict[str, Any]:
        """The parameters of the rotary embedding, as transformers names them."""
        parameters: dict[str, Any] = {
            "rope_theta": float(self.get("rope.freq_base", 10_000.0)),
            "rope_type": "default",
        }
        kind = self.get("rope.scaling.type", "none")
        if kind in ("linear", "yarn"):
            factor = float(self.get("rope.scaling.factor", 1.0))
            parameters.update(rope_type=kind, factor=factor)
        elif kind != "none":
            what = f"setting {self.architecture}.rope.scaling.type = {kind!r}"
            raise ValueError(Errors.G355.format(file=name, what=what))
        if kind == "yarn":
            original = self.get("rope.scaling.original_context_length")
            if original is None:
                what = "rotary scaling 'yarn' without its original context"
                raise ValueError(Errors.G355.format(file=name, what=what))
            parameters["original_max_position_embeddings"] = int(original)
        return parameters


def _correct_plain(
    config: Any, settings: _Settings, tensors: Mapping[str, Any], name: str
) -> None:
    """Settings of the families of Llama and Qwen."""
    if settings.head_dim != settings.hidden_per_head or hasattr(config, "head_dim"):
        config.head_dim = settings.head_dim
    # Without a number of its own, each head has keys and values.
    heads = settings.get("attention.head_count")
    config.num_key_value_heads = settings.get("attention.head_count_kv", heads)
    config.rope_parameters = settings.rope(name)
    _share_embedding(config, tensors)


def _correct_llama(
    config: Any, settings: _Settings, tensors: Mapping[str, Any], name: str
) -> None:
    _correct_plain(config, settings, tensors, name)
    config.attention_bias = "blk.0.attn_q.bias" in tensors
    config.mlp_bias = "blk.0.ffn_up.bias" in tensors
    if _ROPE_FACTORS in tensors:
        factors = tensors[_ROPE_FACTORS].data.astype("float64").ravel().tolist()
        config.rope_parameters = _llama3_rope(config.rope_parameters, factors, name)


def _llama3_rope(
    parameters: dict[str, Any], factors: Sequence[float], name: str
) -> dict[str, Any]:
    """Find the parameters of Llama 3's rotary embedding, of which GGUF has only the
    resulting factors."""
    if all(factor == 1 for factor in factors):
        return parameters
    found = {
        **parameters,
        "rope_type": "llama3",
        # The longest waves have the whole factor.
        "factor": float(round(max(factors), 3)),
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": _LLAMA3_CONTEXT,
    }
    expected = _llama3_factors(found, len(factors))
    if parameters["rope_type"] != "default" or any(
        not math.isclose(one, other, rel_tol=1e-4)
        for one, other in zip(factors, expected, strict=True)
    ):
        what = f"tensor {_ROPE_FACTORS} with these values"
        raise ValueError(Errors.G355.format(file=name, what=what))
    return found


def _llama3_factors(parameters: Mapping[str, Any], count: int) -> list[float]:
    """The factors of the wave lengths, as llama.cpp writes them ("The Llama 3 Herd of
    Models", 2024)."""
    low, high = parameters["low_freq_factor"], parameters["high_freq_factor"]
    context, factor = (
        parameters["original_max_position_embeddings"],
        parameters["factor"],
    )
    factors = []
    for index in range(count):
        length = 2 * math.pi * parameters["rope_theta"] ** (index / count)
        smooth = (context / length - low) / (high - low)
        smooth = min(max(smooth, 0.0), 1.0)
        factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors


def _correct_gemma2(
    config: Any, settings: _Settings, tensors: Mapping[str, Any], name: str
) -> None:
    _correct_plain(config, settings, tensors, name)
    for key in ("attn_logit_softcapping", "final_logit_softcapping"):
        value = settings.get(key)
        if value is not None:
            setattr(config, key, float(value))
    is_largest = config.num_hidden_layers == _GEMMA2_27B_LAYERS
    _scale_queries(config, settings, is_largest)


def _correct_gemma3(
    config: Any, settings: _Settings, tensors: Mapping[str, Any], name: str
) -> None:
    _correct_plain(config, settings, tensors, name)
    local = float(settings.get("rope.freq_base_swa", _GEMMA3_LOCAL_THETA))
    config.rope_parameters = {
        "full_attention": config.rope_parameters,
        "sliding_attention": {"rope_theta": local, "rope_type": "default"},
    }
    capping = settings.get("final_logit_softcapping")
    if capping is not None:
        config.final_logit_softcapping = float(capping)
    pattern = settings.get("attention.sliding_window_pattern")
    if pattern is not None:
        layers = range(config.num_hidden_layers)
        is_local = (
            [bool((layer + 1) % int(pattern)) for layer in layers]
            if isinstance(pattern, int)
            else list(map(bool, pattern))
        )
        kinds = {True: "sliding_attention", False: "full_attention"}
        config.layer_types = [kinds[local] for local in is_local]
    is_largest = config.num_hidden_layers == _GEMMA3_27B_LAYERS
    _scale_queries(config, settings, is_largest)


def _scale_queries(config: Any, settings: _Settings, is_largest: bool) -> None:
    """Gemma's largest models scale queries by the width that a head would have if the
    heads shared the hidden size."""
    config.query_pre_attn_scalar = (
        settings.hidden_per_head if is_largest else settings.head_dim
    )


def _share_embedding(config: Any, tensors: Mapping[str, Any]) -> None:
    config.tie_word_embeddings = "output.weight" not in tensors


_Correct = Callable[[Any, _Settings, Mapping[str, Any], str], None]


@dataclass(frozen=True)
class _Family:
    """An architecture of GGUF.

    keys (frozenset[str]): Its settings, beside the common ones.
    correct (Callable): Adds to a config of transformers what transformers leaves out.
    """

    keys: frozenset[str]
    correct: _Correct


_FAMILIES = {
    "llama": _Family(_YARN, _correct_llama),
    "qwen2": _Family(_YARN, _correct_plain),
    "qwen3": _Family(_YARN, _correct_plain),
    "gemma2": _Family(
        frozenset(
            {
                "attention.sliding_window",
                "attn_logit_softcapping",
                "final_logit_softcapping",
            }
        ),
        _correct_gemma2,
    ),
    "gemma3": _Family(
        _LINEAR
        | {
            "attention.sliding_window",
            "attention.sliding_window_pattern",
            "final_logit_softcapping",
            "rope.freq_base_swa",
        },
        _correct_gemma3,
    ),
}


# Tokenizers


class _Splitter(NamedTuple):
    """How a byte-level tokenizer prepares a text.

    pattern (str | None): The regular expression of the words. None is that of GPT-2.
    digits (bool): Whether each digit is a word of its own.
    whole_words (bool): Whether a word of the vocabulary needs no merges.
    nfc (bool): Whether characters are composed first.
    begins (bool): Whether a text begins with a control token if the file is silent.
    """

    pattern: str | None = None
    digits: bool = False
    whole_words: bool = False
    nfc: bool = False
    begins: bool = False


_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _Splitter(_WORDS % "{1,3}", whole_words=True, begins=True)
_GPT2_DIGITS = _Splitter(digits=True)
# By the names of pre-tokenizers in GGUF.
_SPLITTERS = {
    "gpt-2": _Splitter(),
    "smollm": _GPT2_DIGITS,
    "starcoder": _GPT2_DIGITS,
    "refact": _GPT2_DIGITS,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "llama-bpe": _LLAMA3,
    "falcon3": _LLAMA3,
    "qwen2": _Splitter(_WORDS % "", nfc=True),
    "deepseek-r1-qwen": _Splitter(_WORDS % ""),
    "tekken": _Splitter(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
        r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        whole_words=True,
        begins=True,
    ),
}
_BYTE_LEVEL, _SENTENCEPIECE = "gpt2", "llama"
_GEMMAS = ("gemma2", "gemma3")


def _read_gguf_tokenizer(file: Path, reader: Any, metadata: _Metadata) -> Any:
    """Read the tokenizer of a file, with its chat template."""
    from transformers import PreTrainedTokenizerFast

    kind = metadata.get("tokenizer.ggml.model")
    splitter = _SPLITTERS.get(str(metadata.get("tokenizer.ggml.pre")))
    if kind not in (_BYTE_LEVEL, _SENTENCEPIECE):
        found = f"kind {kind!r}"
        known = f"{_BYTE_LEVEL}, {_SENTENCEPIECE}"
        raise ValueError(Errors.G356.format(file=file.name, found=found, known=known))
    if kind == _BYTE_LEVEL and splitter is None:
        found = f"pre-tokenizer {metadata.get('tokenizer.ggml.pre')!r}"
        known = ", ".join(sorted(_SPLITTERS))
        raise ValueError(Errors.G356.format(file=file.name, found=found, known=known))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(
        str(file.parent), gguf_file=file.name, local_files_only=True
    )
    backend = tokenizer.backend_tokenizer
    begins = True
    if kind == _BYTE_LEVEL:
        assert splitter is not None
        _set_splitter(backend, splitter)
        begins = splitter.begins
    elif metadata["general.architecture"] in _GEMMAS:
        _add_runs_of_spaces(backend, reader)
    else:
        prefix = bool(metadata.get("tokenizer.ggml.add_space_prefix", True))
        _set_sentencepiece(backend, prefix)
    begins = bool(metadata.get("tokenizer.ggml.add_bos_token", begins))
    tokenizer.add_bos_token = begins and tokenizer.bos_token is not None
    tokenizer.add_eos_token = False
    # The place of the file is of no interest later.
    tokenizer.name_or_path = ""
    for key in ("name_or_path", "gguf_file", "local_files_only"):
        tokenizer.init_kwargs.pop(key, None)
    return tokenizer


def _set_splitter(backend: "Tokenizer", splitter: _Splitter) -> None:
    from tokenizers import Regex, decoders, normalizers, pre_tokenizers

    steps: list[Any] = []
    if splitter.digits:
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    if splitter.pattern is not None:
        steps.append(pre_tokenizers.Split(Regex(splitter.pattern), "isolated"))
    steps.append(
        pre_tokenizers.ByteLevel(
            add_prefix_space=False, use_regex=splitter.pattern is None
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(steps)
    backend.decoder = decoders.ByteLevel()
    backend.normalizer = normalizers.NFC() if splitter.nfc else None
    backend.model.ignore_merges = splitter.whole_words


def _set_sentencepiece(backend: "Tokenizer", prefix: bool) -> None:
    """Write spaces as SentencePiece does: a space before the text if the file wants it,
    even if the text begins with one."""
    from tokenizers import decoders, normalizers

    steps: list[Any] = [normalizers.Replace(" ", "▁")]
    parts: list[Any] = [
        decoders.Replace("▁", " "),
        decoders.ByteFallback(),
        decoders.Fuse(),
    ]
    if prefix:
        steps.insert(0, normalizers.Prepend("▁"))
        parts.append(decoders.Strip(" ", 1, 0))
    backend.normalizer = normalizers.Sequence(steps)
    backend.pre_tokenizer = None
    backend.decoder = decoders.Sequence(parts)


def _add_runs_of_spaces(backend: "Tokenizer", reader: Any) -> None:
    """Add the tokens of several spaces, which Gemma's tokenizer matches before it
    normalises a text. The file has them with other characters."""
    from tokenizers import AddedToken

    kinds, tokens = (
        reader.fields[f"tokenizer.ggml.{key}"].contents()
        for key in ("token_type", "tokens")
    )
    runs = [
        "▁" * len(token)
        for token, kind in zip(tokens, kinds, strict=True)
        if kind == _USER_DEFINED and len(token) > 1 and set(token) in ({" "}, {"▁"})
    ]
    backend.add_tokens(
        [
            AddedToken(run, normalized=False, special=False)
            for run in runs
            if backend.token_to_id(run) is not None
        ]
    )
