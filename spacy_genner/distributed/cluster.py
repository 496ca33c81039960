"""Connect to a Ray cluster, or start one on this machine."""

import logging
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..errors import Errors, Warnings, warn

LOCAL = "local"
# Only small records of parts pass through the object store.
_OBJECT_STORE_BYTES = 128 * 1024**2
_START_ATTEMPTS = 3


class Resources(NamedTuple):
    """The resources of the workers.

    workers (int | None): The number of workers. By default as many as the cluster has
        room for.
    cpus (float): The CPUs of a worker. A worker computes with as many threads.
    gpus (float): The GPUs of a worker. A fraction lets workers share one.
    """

    workers: int | None = None
    cpus: float = 1
    gpus: float = 0

    @property
    def threads(self) -> int:
        """RETURNS (int): The number of threads of a worker."""
        return max(1, int(self.cpus))


def import_ray() -> Any:
    """Import Ray without its usage reports, which are sent over the network.

    RETURNS (ModuleType): The module `ray`.
    RAISES (ValueError): Ray is not installed.
    """
    # Ray reads the variable when a cluster starts. A value that the user set stays.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data  # noqa: F401
    except ImportError as error:
        raise ValueError(Errors.G820.format(reason=error)) from error
    return ray


@contextmanager
def connected(address: str | None, resources: Resources) -> Iterator[Any]:
    """Connect to a cluster for the duration of the block. A connection that exists
    already is used and stays.

    address (str | None): "local" starts a cluster of this machine, which ends with the
        block. "auto" finds the cluster of this node, and HOST:PORT names one. Defaults
        to the environment variable RAY_ADDRESS, else to "local".
    resources (Resources): The resources of the workers.
    YIELDS (ModuleType): The module `ray`.
    RAISES (ValueError): Ray is not installed, or there is no such cluster.
    """
    address = address or os.environ.get("RAY_ADDRESS") or LOCAL
    if address == LOCAL:
        _prepare_local()
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    if address.startswith("ray://"):
        reason = "a Ray client can't run the driver of a dataset"
        raise ValueError(Errors.G821.format(address=address, reason=reason))
    settings: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL:
        settings["include_dashboard"] = False
        settings["object_store_memory"] = _OBJECT_STORE_BYTES
        if resources.workers is not None:
            settings["num_cpus"] = _local_cpus(resources.workers * resources.cpus)
    # On a busy machine, the processes of a cluster may miss Ray's fixed time limit.
    attempts = _START_ATTEMPTS if address == LOCAL else 1
    while True:
        attempts -= 1
        try:
            ray.init(address=address, **settings)
            break
        # Among them is the plain Exception of a cluster that does not start in time.
        except Exception as error:
            ray.shutdown()
            if not attempts:
                reason = " ".join(str(error).split())[:300]
                raise ValueError(
                    Errors.G821.format(address=address, reason=reason)
                ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _prepare_local() -> None:
    """Set the variables that a cluster of this machine reads at its start. Values that
    the user set stay."""
    # The ports of a cluster are open on all network interfaces, so the cluster has a
    # token of its own. An imported Ray has read the mode already; recent versions then
    # use the token in the user's home.
    if "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    # Ray lowers the priority of workers below that of all other processes.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # Ray logs an error for each restartable actor, although nothing is wrong.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")


def _local_cpus(needed: float) -> int:
    """The CPUs of a local cluster that has room for the workers."""
    available = _available_cpus()
    if needed > available:
        warn(Warnings.W820.format(needed=f"{needed:g}", available=available))
    return max(available, int(-(-needed // 1)))


def _available_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pool_size(ray: Any, resources: Resources, parts: int) -> int:
    """Choose the number of workers.

    ray (ModuleType): The module `ray`, connected.
    resources (Resources): The resources of the workers.
    parts (int): The number of parts to annotate.
    RETURNS (int): The number of workers, from 1 to the number of parts.
    RAISES (ValueError): No node has room for a worker.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    needed = {"CPU": resources.cpus, "GPU": resources.gpus}
    room = sum(
        min(
            int(node.get(name, 0) // count)
            for name, count in needed.items()
            if count > 0
        )
        for node in nodes
    )
    if not room:
        found = "; ".join(
            ", ".join(f"{node.get(name, 0):g} {name}" for name in needed)
            for node in nodes
        )
        raise ValueError(
            Errors.G835.format(
                cpus=f"{resources.cpus:g}", gpus=f"{resources.gpus:g}", found=found
            )
        )
    return max(1, min(resources.workers or room, parts))
