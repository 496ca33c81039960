"""Run each system in its own process.

A separate process has its own peak of memory, and nothing in it was warmed up by
another system. All processes are children of one fork server, which has imported the
modules and computed nothing. They inherit its CPU affinity.
"""

import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from base import Context, NotAvailable, Settings, spans_by_document
from registry import make_systems

# The fork server imports these modules, which nearly all systems need.
MODULES = [
    "peft",
    "transformers.generation",
    "spacy_genner.pipeline.generative_ner",
    "spacy_genner.decoding.engine",
    "spacy_genner.evaluation.scores",
    "spacy_genner.models.lora",
]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """One run of one system.

    settings (Settings): The settings of the benchmark.
    name (str): The system.
    batch (int): The batch size, for systems that use one.
    targets (tuple[tuple[int, ...], ...]): The outputs of the reference, for the floor.
    """

    settings: Settings
    name: str
    batch: int = 1
    targets: tuple[tuple[int, ...], ...] = ()


def run_job(job: Job) -> dict[str, Any]:
    """Run a system once.

    job (Job): The run.
    RETURNS (dict[str, Any]): The measurements and the spans; only `skipped`, the
        reason, if the system cannot run here.
    """
    import torch

    torch.set_num_threads(job.settings.threads)
    context = Context(job.settings, job.batch, job.targets)
    system = make_systems(job.settings)[job.name]
    started = time.perf_counter()
    try:
        system.prepare(context)
        dataset = context.dataset
        documents = dataset.sample if system.slow else dataset.documents
        inputs = system.inputs(documents)
        # Warming up also makes what is made once, such as the cache of the prefix.
        system.run(inputs[: max(job.settings.warm_up, job.batch)])
        prepared = time.perf_counter()
        outputs = system.run(inputs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        ended = time.perf_counter()
    except NotAvailable as reason:
        return {"skipped": str(reason)}
    compiling = sum(output.compiling for output in outputs)
    judged = [o.well_formed for o in outputs if o.well_formed is not None]
    found = spans_by_document(inputs, outputs)
    return {
        "documents": len(documents),
        "inputs": len(inputs),
        "words": sum(dataset.words[index] for index in documents),
        "seconds": ended - prepared - compiling,
        "compile_seconds": compiling,
        "prepare_seconds": prepared - started,
        "passes": sum(output.passes for output in outputs),
        "fed": sum(output.fed for output in outputs),
        "well_formed": sum(judged) / len(judged) if judged else None,
        "peak_gb": peak_memory(),
        "device_peak_gb": device_peak(),
        "spans": {index: found.get(index, []) for index in documents},
        "ids": tuple(output.ids for output in outputs),
        "machine": machine(context),
    }


def peak_memory() -> float:
    """RETURNS (float): The peak resident memory of this process in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def device_peak() -> float | None:
    """RETURNS (float | None): The peak memory of tensors on the CUDA device in GB; None
    without CUDA."""
    import torch

    if not torch.cuda.is_available():
        return None
    return torch.cuda.max_memory_allocated() / 1e9


def machine(context: Context) -> dict[str, Any]:
    """Describe the conditions of a run.

    context (Context): The pipeline, which may not be loaded.
    RETURNS (dict[str, Any]): The version of torch, threads and processors; dtype and
        device if the pipeline is loaded.
    """
    import torch

    described: dict[str, Any] = {"torch": torch.__version__}
    described["threads"] = torch.get_num_threads()
    if hasattr(os, "sched_getaffinity"):
        described["processors"] = sorted(os.sched_getaffinity(0))
    if "nlp" in context.__dict__:
        lm = context.ner.lm
        described["dtype"] = str(lm.dtype).removeprefix("torch.")
        described["device"] = str(lm.device)
        if lm.device.type == "cuda":
            described["device"] = torch.cuda.get_device_name(lm.device)
    return described


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Pin the processes that start in the block to as many processors as threads.

    threads (int): The number of threads.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    allowed = None
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(allowed)[:threads])
    try:
        yield
    finally:
        if allowed is not None:
            os.sched_setaffinity(0, allowed)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def run_isolated(jobs: Sequence[Job]) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Run jobs one after the other, each in a new process.

    jobs (Sequence[Job]): The jobs.
    YIELDS (tuple[Job, dict[str, Any]]): Each job with its result. The result of a job
        that raised an error has `skipped` and `failed`.
    """
    import torch

    # Importing the modules initializes CUDA, which a forked process cannot use.
    if torch.cuda.is_available():
        context: Any = get_context("spawn")
    else:
        context = get_context("forkserver")
        context.set_forkserver_preload(MODULES)
    for job in jobs:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            try:
                result = pool.submit(run_job, job).result()
            except Exception as error:
                reason = f"failed: {type(error).__name__}: {error}"
                result = {"skipped": reason, "failed": True}
        yield job, result
