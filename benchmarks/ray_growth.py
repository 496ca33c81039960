"""Measure the time and the memory of `annotate --ray` as the corpus grows.

Corpora of short synthetic texts are annotated by two workers. One row of JSON a size
holds the seconds from the start of the command to its end, the milliseconds per
document between the first and the last part, the CPU time in the same interval, and the
peak memory of the driver and of the largest worker. Other work on the machine disturbs
the CPU time least. `--single` also measures one process, `annotate` without --ray. The
pipeline has a tiny base model. `--rules` takes one without a model, which leaves the
cost of Ray, of reading and of writing; `--base` takes a real base model, and `--model`
a saved pipeline.

    python benchmarks/ray_growth.py --sizes 2000 20000 100000
    python benchmarks/ray_growth.py --sizes 2000 20000 100000 --rules
    python benchmarks/ray_growth.py --sizes 2000 --part-size 100 --single \\
        --model training/demo/model-best
"""

import argparse
import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from ray_cases import (
    command,
    parts_of,
    save_pipeline,
    save_rules_pipeline,
    save_tiny_pipeline,
    workers_of,
    write_corpus,
)

MIB = 1024**2


def measure(arguments: list[str], output: Path, part_size: int) -> dict[str, Any]:
    """Run the command and sample the memory of its processes.

    arguments (list[str]): The command.
    output (Path): Its output.
    part_size (int): The number of documents in a part.
    RETURNS (dict[str, Any]): The figures.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    memory: dict[str, int] = {"driver": 0, "worker": 0}
    # The time at which each number of parts was first seen, with the CPU seconds.
    seen: list[tuple[float, float, int]] = []
    # The CPU seconds of each process, including those that have ended.
    used_cpu: dict[int, float] = {}
    while process.poll() is None:
        sample_cpu(process.pid, used_cpu)
        with suppress(psutil.NoSuchProcess):
            used = psutil.Process(process.pid).memory_info().rss
            memory["driver"] = max(memory["driver"], used)
        for worker in workers_of(process.pid):
            with suppress(psutil.NoSuchProcess):
                used = worker.memory_info().rss
                memory["worker"] = max(memory["worker"], used)
        if output.is_dir():
            count = len(list(output.glob("part-*")))
            if count and (not seen or count > seen[-1][2]):
                seen.append((time.perf_counter(), sum(used_cpu.values()), count))
        time.sleep(0.25)
    seconds = time.perf_counter() - started
    if process.returncode:
        sys.exit(f"The run failed:\n{process.stderr.read() if process.stderr else ''}")
    row = {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(sum(used_cpu.values()), 1),
        "driver_mib": memory["driver"] // MIB,
        "worker_mib": memory["worker"] // MIB,
    }
    if len(seen) > 1:
        (first, first_cpu, few), (last, last_cpu, many) = seen[0], seen[-1]
        each = 1000 / ((many - few) * part_size)
        row["ms_per_document"] = round((last - first) * each, 3)
        row["cpu_ms_per_document"] = round((last_cpu - first_cpu) * each, 3)
    return row


def sample_cpu(pid: int, used: dict[int, float]) -> None:
    """Update the CPU seconds of a process and all processes that it has started.

    pid (int): The process.
    used (dict[int, float]): The CPU seconds by process. The function changes it.
    """
    with suppress(psutil.NoSuchProcess):
        driver = psutil.Process(pid)
        for process in (driver, *driver.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                times = process.cpu_times()
                used[process.pid] = times.user + times.system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 20000, 100000])
    parser.add_argument("--part-size", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--base", help="a base model, instead of a tiny one")
    parser.add_argument("--model", help="a saved pipeline, instead of an untrained one")
    parser.add_argument("--rules", action="store_true", help="rules, without a model")
    parser.add_argument("--single", action="store_true", help="also one process")
    args = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        model = Path(args.model) if args.model else folder / "model"
        if args.rules:
            save_rules_pipeline(model)
        elif args.base:
            save_pipeline(model, args.base)
        elif not args.model:
            save_tiny_pipeline(model)
        for size in args.sizes:
            source = folder / f"{size}.jsonl"
            write_corpus(source, size)
            ray, single = folder / f"ray-{size}", folder / f"single-{size}.jsonl"
            key = ["--spans-key", "sc"]
            options = [*key, "--ray=local", "--workers", args.workers]
            options += ["--part-size", args.part_size]
            row: dict[str, Any] = {"documents": size, "workers": args.workers}
            row |= measure(command(model, source, ray, *options), ray, args.part_size)
            if args.single:
                alone = measure(command(model, source, single, *key), single, 1)
                row["single_seconds"] = alone["seconds"]
                row["single_cpu_seconds"] = alone["cpu_seconds"]
                row["single_mib"] = alone["driver_mib"]
                row["ratio"] = round(alone["seconds"] / row["seconds"], 2)
                row["equal"] = parts_of(ray) == single.read_bytes()
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
