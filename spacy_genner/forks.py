"""Computing in several processes, as `n_process` makes them."""

import multiprocessing
import os
import sys
from functools import cache

from .errors import Warnings, warn


@cache
def survive_forks() -> None:
    """Let the children of this process compute, as `n_process` forks them.

    Once OpenMP has run in a process, its threads are missing in a forked child, which
    then waits for them for ever. With one thread it needs none of them.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_one_thread)


def warn_of_processes(device: str) -> None:
    """Warn where a process that another one has made is to compute on a GPU; spaCy
    warns of it only where CuPy is installed.

    device (str): The type of the device, as torch names it.
    """
    if device != "cpu" and multiprocessing.parent_process() is not None:
        warn(Warnings.W405.format(device=device))


def _one_thread() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
