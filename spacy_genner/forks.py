"""Computing in forked processes, as `n_process` makes them."""

import os
import sys
from functools import cache


@cache
def survive_forks() -> None:
    """Let the children of this process compute, as `n_process` forks them.

    Once OpenMP has run in a process, its threads are missing in a forked child, which
    then waits for them for ever. With one thread it needs none of them.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_one_thread)


def _one_thread() -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
