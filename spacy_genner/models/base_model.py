"""Find, load and share base models, with their tokenizers and devices."""

import copy
import json
import os
import re
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from thinc.api import CupyOps, MPSOps, NumpyOps
from thinc.backends import context_ops
from thinc.compat import has_gpu
from torch import nn

from ..config.settings import PIP_PREFIX, check_device, check_dtype, check_name
from ..errors import Errors
from .gguf import (
    MANIFEST,
    ROUNDED,
    converted_folder,
    find_package_gguf,
    folder_checksum,
    weight_files,
)

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")
# What a base needs; other formats of the same weights stay on the hub.
_HUB_FILES = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]
_HUB_IGNORED = ["consolidated*", "original/*", "onnx/*", "metal/*", "*/*"]


@dataclass(frozen=True)
class BaseSource:
    """Where the files of a base model are.

    name (str): The name as the config gives it.
    revision (str | None): The revision as the config gives it.
    folder (Path): Folder with config.json, safetensors and tokenizer files.
    checksum (str): SHA-256 of the weights, in hexadecimal. For `pip:` names that
        of the GGUF file, for the others that of the list of the safetensors
        files and their checksums. It does not depend on the dtype they are used in.
    requirement (str | None): For `pip:` names the requirement that installs the
        weights, `package>=version`.
    """

    name: str
    revision: str | None
    folder: Path
    checksum: str
    requirement: str | None = None


def is_pip_name(name: str) -> bool:
    """Whether a base's name is of the form `pip:PACKAGE`.

    name (str): The name of a base.
    RETURNS (bool): True for a name that begins with `pip:`.
    """
    return name.startswith(PIP_PREFIX)


def base_requirement(name: str) -> str | None:
    """The requirement a pipeline with this base must list, if there is one.

    name (str): The name of a base.
    RETURNS (str | None): `package>=version` for a `pip:` name, the package alone
        where it is not installed here, None for another name.
    """
    if not is_pip_name(name):
        return None
    package = name[len(PIP_PREFIX) :]
    try:
        return find_package_gguf(package).requirement
    except ValueError:
        return package


def resolve_base(name: str, revision: str | None = None) -> BaseSource:
    """Find the folder of a base model; convert or download it where it is needed.

    name (str): `pip:PACKAGE`, a folder, or a hub id.
    revision (str | None): Branch, tag or commit of a hub id; for a `pip:` name
        the version that must be installed; not for folders.
    RETURNS (BaseSource): The folder and what identifies the weights.
    RAISES (ValueError): If there is no such base, or if it is damaged.
    """
    if is_pip_name(check_name(name)):
        return _resolve_package(name, revision)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise ValueError(Errors.G201.format(name=name, revision=revision))
        return _checked(name, None, folder.resolve())
    if not _HUB_ID.fullmatch(name):
        raise ValueError(Errors.G202.format(name=name))
    return _checked(name, revision, _resolve_hub(name, revision))


def _resolve_package(name: str, revision: str | None) -> BaseSource:
    found = find_package_gguf(name[len(PIP_PREFIX) :])
    if revision is not None and revision != found.version:
        raise ValueError(
            Errors.G203.format(
                name=name,
                package=found.package,
                version=found.version,
                revision=revision,
            )
        )
    checksum = found.checksum
    folder = converted_folder(found.parts, found.package, found.version, checksum)
    return BaseSource(name, revision, folder, checksum, found.requirement)


def _checked(name: str, revision: str | None, folder: Path) -> BaseSource:
    if not _complete(folder):
        found = sorted(os.listdir(folder))[:12]
        raise ValueError(
            Errors.G204.format(name=name, folder=folder, found=", ".join(found))
        )
    return BaseSource(name, revision, folder, folder_checksum(folder))


def _complete(folder: Path) -> bool:
    return (folder / "config.json").is_file() and bool(weight_files(folder))


def _resolve_hub(name: str, revision: str | None) -> Path:
    """The snapshot in the local cache, or a download where it has none.

    A snapshot that is there is used as it is, so that a pipeline neither needs
    the network nor changes when the hub does; `hf download` brings it up to date.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
        if _complete(folder):
            return folder
    except LocalEntryNotFoundError:
        pass
    command = f"hf download {name}"
    if revision is not None:
        command += f" --revision {revision}"
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=_HUB_FILES,
                ignore_patterns=_HUB_IGNORED,
            )
        )
    except GatedRepoError as err:
        raise ValueError(Errors.G206.format(name=name, command=command)) from err
    except (RepositoryNotFoundError, RevisionNotFoundError) as err:
        raise ValueError(
            Errors.G207.format(name=name, revision=revision or "main", command=command)
        ) from err
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as err:
        raise ValueError(
            Errors.G205.format(name=name, command=command, reason=err)
        ) from err


# trust_remote_code is false, not absent: else transformers asks at the terminal.
SAFE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
# The settings that name control tokens.
NAMED = ("_token", "_special_tokens")


def read_tokenizer(folder: Path) -> Any:
    """Read a tokenizer.

    folder (Path): Holds its files.
    RETURNS (PreTrainedTokenizerBase): The tokenizer.
    RAISES (ValueError): transformers can't read it; other errors of its own as well.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not (folder / MANIFEST).is_file():
        return AutoTokenizer.from_pretrained(str(folder), **SAFE)
    # What transformers wrote itself is whole in tokenizer.json. `from_pretrained` reads
    # that file four times over: 2 of Gemma's 3 seconds.
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf8"))
    named = {key: settings[key] for key in settings if key.endswith(NAMED)}
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), **named
    )


def resolve_device(device: str = "auto") -> torch.device:
    """The device to compute on.

    With "auto" spaCy's choice counts where it has one: the GPU after
    `spacy.prefer_gpu()` or `require_gpu()`, else the CPU. Where spaCy can't use a
    GPU (no cupy), and before it has set any, it is the first of CUDA, MPS and CPU.

    device (str): "auto", "cpu", "cuda", "cuda:N" or "mps".
    RETURNS (torch.device): The device, with its index where there are several.
    RAISES (ValueError): If there is no such device.
    """
    if check_device(device) == "auto":
        return _automatic_device()
    wanted = torch.device(device)
    if wanted.type == "cpu":
        return torch.device("cpu")
    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    if wanted.type == "cuda" and torch.cuda.is_available():
        index = torch.cuda.current_device() if wanted.index is None else wanted.index
        wanted = torch.device("cuda", index)
    name = "mps" if wanted.type == "mps" else str(wanted)
    if name not in found:
        raise ValueError(Errors.G232.format(device=device, found=", ".join(found)))
    return torch.device(name)


def _automatic_device() -> torch.device:
    ops = context_ops.get()
    if isinstance(ops, CupyOps) and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if isinstance(ops, MPSOps) and torch.backends.mps.is_available():
        return torch.device("mps")
    # spaCy sets the CPU's ops by itself as soon as anything asks for them. They are
    # a choice only where thinc could use a GPU: it can't have CUDA without cupy.
    if isinstance(ops, NumpyOps) and has_gpu:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The dtype of the base's weights and of its products.

    dtype (str): "auto", "float64", "float32", "bfloat16" or "float16". "auto" is
        bfloat16 where the device computes with it in hardware, else float32.
    device (torch.device): Where it is computed.
    RETURNS (torch.dtype): The dtype.
    RAISES (ValueError): If there is no such dtype.
    """
    if check_dtype(dtype) == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    return getattr(torch, dtype)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware.

    device (torch.device): The device.
    RETURNS (bool): For a CPU: it has AVX-512 BF16 or AMX. For CUDA: what torch
        says, without emulation. For MPS: no, float32 is as fast there.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    # Names differ between torch versions and platforms; one that is absent is a no.
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, flag, lambda: False)() for flag in flags)


# torch and oneDNN each keep the products they have prepared, by shape: 1,024, up
# to 0.6 MB each. Sentences of all lengths make new shapes at every pass, which are
# hardly met again; those of one pass fit into this many.
CAPACITY = 128
VARIABLES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")


def limit_onednn_cache() -> None:
    """Keep fewer prepared products than torch does of its own accord, unless the
    variables are set. Heard only before the first product in bfloat16 of a process."""
    for name in VARIABLES:
        os.environ.setdefault(name, str(CAPACITY))


_Key = tuple[str, str | None, str, str]


@dataclass(frozen=True, eq=False)
class LoadedBase:
    """A base model in memory. Its tensors are shared and must never be written.

    source (BaseSource): Where it comes from.
    model (PreTrainedModel): The network, in eval mode, without gradients.
    tokenizer (PreTrainedTokenizerBase): Its tokenizer.
    dtype (torch.dtype): The dtype of its weights.
    device (torch.device): Where it is.
    """

    source: BaseSource
    model: Any
    tokenizer: Any
    dtype: torch.dtype
    device: torch.device


_lock = threading.Lock()
_key_locks: dict[_Key, threading.Lock] = {}
_loaded: "weakref.WeakValueDictionary[_Key, LoadedBase]" = weakref.WeakValueDictionary()


def get_base(
    name: str, revision: str | None = None, dtype: str = "auto", device: str = "auto"
) -> LoadedBase:
    """The loaded base of this name; loads it where nobody in the process has.

    It stays loaded as long as somebody holds it. Threads that ask at once for the
    same base get the same copy.

    name (str): `pip:PACKAGE`, a folder or a hub id.
    revision (str | None): Branch, tag or commit of a hub id.
    dtype (str): "auto", "float64", "float32", "bfloat16" or "float16".
    device (str): "auto", "cpu", "cuda", "cuda:N" or "mps".
    RETURNS (LoadedBase): The shared base.
    RAISES (ValueError): If there is no such base, or if it can't be loaded.
    """
    wanted_device = resolve_device(device)
    wanted_dtype = resolve_dtype(dtype, wanted_device)
    source = resolve_base(name, revision)
    key = (str(source.folder), revision, str(wanted_dtype), str(wanted_device))
    with _lock:
        key_lock = _key_locks.setdefault(key, threading.Lock())
    with key_lock:
        base = _loaded.get(key)
        if base is None:
            base = _load(source, wanted_dtype, wanted_device)
            _loaded[key] = base
    return base


def _load(source: BaseSource, dtype: torch.dtype, device: torch.device) -> LoadedBase:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    from .attention import attention_implementation

    limit_onednn_cache()
    folder = str(source.folder)
    try:
        with ThreadPoolExecutor(1) as pool:
            # A vocabulary of 262,144 entries takes longer to read than the weights.
            reading = pool.submit(read_tokenizer, source.folder)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                variant=_variant(source.folder, dtype),
                attn_implementation=attention_implementation(device),
                use_safetensors=True,
                output_loading_info=True,
                **SAFE,
            )
            tokenizer = reading.result()
    except (
        ValueError,
        KeyError,
        OSError,
        ImportError,
        RuntimeError,
        SafetensorError,
    ) as err:
        raise ValueError(
            Errors.G233.format(name=source.name, folder=folder, reason=err)
        ) from err
    model, report = loaded
    if report["missing_keys"]:
        # transformers would go on with random weights in their place.
        missing = f"it has no weights for {sorted(report['missing_keys'])[0]}"
        raise ValueError(
            Errors.G233.format(name=source.name, folder=folder, reason=missing)
        )
    model = model.to(device).eval().requires_grad_(False)
    text_decoder(model)
    return LoadedBase(source, model, tokenizer, dtype, device)


def _variant(folder: Path, dtype: torch.dtype) -> str | None:
    """The weights that are rounded already, where the folder has them."""
    rounded = (folder / MANIFEST).is_file() and any(folder.glob(f"*.{ROUNDED}*"))
    return ROUNDED if rounded and dtype == torch.bfloat16 else None


def share_modules(model: nn.Module) -> Any:
    """A copy of a network's modules over the very same tensors.

    Modules of the copy can be replaced, and set to training, without touching the
    original. The tensors must not be written.

    model (nn.Module): The network.
    RETURNS (nn.Module): The copy, of the same class.
    """
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        memo[id(tensor)] = tensor
    return copy.deepcopy(model, memo)


def checkpoint_gradients(network: Any, name: str) -> None:
    """Let a network's layers be run once more for their gradients (Chen et al.,
    "Training Deep Nets with Sublinear Memory Cost", 2016).

    network (PreTrainedModel): The network.
    name (str): The base's name, for the message.
    RAISES (ValueError): Its class has no such thing.
    """
    if not network.supports_gradient_checkpointing:
        cls = type(network).__name__
        raise ValueError(Errors.G245.format(name=name, cls=cls))
    # transformers has renamed it.
    enable = getattr(network, "activation_checkpointing_enable", None)
    (enable or network.gradient_checkpointing_enable)({"use_reentrant": False})


def text_decoder(model: nn.Module) -> nn.Module:
    """The part of a causal language model that reads text: no head, no images.

    model (nn.Module): A network with a language-model head.
    RETURNS (nn.Module): The stack of layers with the token embedding.
    RAISES (ValueError): If none is found.
    """
    find = getattr(model, "get_decoder", None)
    decoder = model if find is None else find()
    if decoder is model or decoder is None:
        config = getattr(model, "config", None)
        name = getattr(config, "name_or_path", "")
        raise ValueError(Errors.G234.format(name=name, cls=type(model).__name__))
    return cast(nn.Module, decoder)
