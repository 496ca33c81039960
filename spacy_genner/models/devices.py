"""What `device` and `dtype` of the config mean on this machine."""

import torch
from thinc.api import CupyOps, MPSOps, NumpyOps
from thinc.backends import context_ops
from thinc.compat import has_gpu

from ..errors import Errors
from .settings import check_device, check_dtype


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
