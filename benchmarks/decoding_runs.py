"""One run of one contestant, in a process of its own.

A process of its own has its own peak of memory, and nothing that another contestant
has warmed up or left behind. All are children of one server, which has the modules
loaded and has computed nothing, and inherit its processors.
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

from contestants import CannotRun, make_contestants
from decoding_room import Room, Settings, by_document

# What nearly all contestants import.
MODULES = [
    "peft",
    "transformers.generation",
    "spacy_genner.pipeline.generative_ner",
    "spacy_genner.decoding.engine",
    "spacy_genner.evaluation.scores",
    "spacy_genner.models.lora",
]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """What one process does.

    settings (Settings): Those of the whole benchmark.
    name (str): The contestant.
    batch (int): The batch size, for one that takes it.
    targets (Tuple[Tuple[int, ...], ...]): The reference's outputs, for the floor.
    """

    settings: Settings
    name: str
    batch: int = 1
    targets: tuple[tuple[int, ...], ...] = ()


def run_job(job: Job) -> dict[str, Any]:
    """Run a contestant once.

    job (Job): What to run.
    RETURNS (Dict[str, Any]): What it took and what it found; `skipped`, the reason,
        where it can't run.
    """
    import torch

    torch.set_num_threads(job.settings.threads)
    room = Room(job.settings, job.batch, job.targets)
    contestant = make_contestants(job.settings)[job.name]
    started = time.perf_counter()
    try:
        contestant.prepare(room)
        documents = room.gold.sample if contestant.slow else room.gold.documents
        inputs = contestant.inputs(documents)
        # What is made once, such as the instruction's keys, is there afterwards.
        contestant.run(inputs[: max(job.settings.warm_up, job.batch)])
        prepared = time.perf_counter()
        answers = contestant.run(inputs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        ended = time.perf_counter()
    except CannotRun as reason:
        return {"skipped": str(reason)}
    compiling = sum(answer.compiling for answer in answers)
    judged = [a.well_formed for a in answers if a.well_formed is not None]
    found = by_document(inputs, answers)
    return {
        "documents": len(documents),
        "inputs": len(inputs),
        "words": sum(room.gold.words[index] for index in documents),
        "seconds": ended - prepared - compiling,
        "compile_seconds": compiling,
        "prepare_seconds": prepared - started,
        "passes": sum(answer.passes for answer in answers),
        "fed": sum(answer.fed for answer in answers),
        "well_formed": sum(judged) / len(judged) if judged else None,
        "peak_gb": peak_memory(),
        "device_peak_gb": device_peak(),
        "spans": {index: found.get(index, []) for index in documents},
        "ids": tuple(answer.ids for answer in answers),
        "machine": machine(room),
    }


def peak_memory() -> float:
    """RETURNS (float): The most memory that this process has had, in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def device_peak() -> float | None:
    """RETURNS (Optional[float]): The same of a CUDA device; None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    return torch.cuda.max_memory_allocated() / 1e9


def machine(room: Room) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): What a run's figures depend on."""
    import torch

    told: dict[str, Any] = {"torch": torch.__version__}
    told["threads"] = torch.get_num_threads()
    if hasattr(os, "sched_getaffinity"):
        told["processors"] = sorted(os.sched_getaffinity(0))
    if "nlp" in room.__dict__:
        lm = room.ner.lm
        told |= {
            "dtype": str(lm.dtype).removeprefix("torch."),
            "device": str(lm.device),
        }
        if lm.device.type == "cuda":
            told["device"] = torch.cuda.get_device_name(lm.device)
    return told


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Pin what is started in the block to so many threads, each on a processor of its
    own.

    threads (int): How many.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
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


def run_apart(jobs: Sequence[Job]) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Run jobs one after the other, each in a new process.

    jobs (Sequence[Job]): The jobs.
    YIELDS (Tuple[Job, Dict[str, Any]]): Each with its result; one that breaks has
        `skipped` and `failed`.
    """
    import torch

    # Imports ask for CUDA devices, after which a forked process can't use them.
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
