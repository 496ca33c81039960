"""The GPU that a command runs on."""

from ..errors import Errors


def choose_gpu(gpu_id: int) -> int:
    """Choose the GPU for torch, and for thinc where it can use one.

    gpu_id (int): The GPU, or -1.
    RETURNS (int): The same where thinc uses it, else -1.
    RAISES (ValueError): torch finds no such GPU.
    """
    if gpu_id < 0:
        return -1
    import torch
    from thinc.api import require_gpu
    from thinc.compat import has_cupy_gpu

    count = torch.cuda.device_count()
    if gpu_id >= count:
        raise ValueError(Errors.G317.format(found=gpu_id, count=count))
    torch.cuda.set_device(gpu_id)
    if not has_cupy_gpu:
        return -1
    require_gpu(gpu_id)
    return gpu_id
