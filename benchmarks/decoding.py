"""Compare the speed of all ways to decode the model of a trained pipeline.

All systems run the same model, prompts and documents. Each run has its own process,
pinned to the same threads, and the systems take turns. Slow systems run on a sample.

    python benchmarks/decoding.py training/genia/model-best corpus/genia-test.spacy \\
        --output metrics/decoding.json

Prints a table and one line of JSON. docs/performance.md describes systems and columns.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from statistics import median
from typing import Any

from base import Dataset, Settings
from decoding_runs import Job, pinned, run_isolated
from decoding_table import make_rows, markdown
from registry import make_systems
from systems.decoders import FLOOR, REFERENCE
from tqdm import tqdm

from spacy_genner.io import write_json

BATCH_SIZES = (4, 8, 16, 32, 64)
# The simplest batched system determines the best batch size.
TUNED_WITH = "generate-batched"


class Benchmark:
    """Runs the systems and collects their results.

    settings (Settings): The settings that all systems share.
    names (Sequence[str]): The systems, the reference first.
    repeats (int): The number of runs of each system.
    slow_repeats (int): The number of runs of slow systems.
    output (Path | None): The file for the results. It is written after each run.
    """

    def __init__(
        self,
        settings: Settings,
        names: Sequence[str],
        repeats: int,
        slow_repeats: int,
        output: Path | None,
    ):
        self.settings = settings
        self.systems = make_systems(settings)
        self.names = list(names)
        self.repeats = repeats
        self.slow_repeats = slow_repeats
        self.output = output
        self.dataset = Dataset(settings)
        self.results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        self.skipped: dict[str, dict[str, Any]] = {}
        self.batch_sizes: dict[int, float] = {}
        self.machine: dict[str, Any] = {}

    def run(self, batch_sizes: Sequence[int]) -> dict[str, Any]:
        """Run all systems.

        batch_sizes (Sequence[int]): The batch sizes to choose from.
        RETURNS (dict[str, Any]): The report.
        """
        batch = self._best_batch(batch_sizes)
        for repeat in range(self.repeats):
            # The reference runs first, because others need its outputs. Later repeats
            # start with another system.
            shift = repeat % len(self.names)
            for name in self.names[shift:] + self.names[:shift]:
                slow = self.systems[name].slow and repeat >= self.slow_repeats
                if not slow and name not in self.skipped:
                    self._run(name, batch)
        return self.report()

    def _best_batch(self, sizes: Sequence[int]) -> int:
        if not any(self.systems[name].batched for name in self.names):
            return 1
        if len(sizes) == 1:
            return sizes[0]
        jobs = [Job(self.settings, TUNED_WITH, size) for size in sizes]
        for job, result in tqdm(run_isolated(jobs), "batch sizes", len(jobs)):
            # A batch may be too large for the memory.
            if "skipped" in result:
                print(f"batch size {job.batch}: {result['skipped']}", file=sys.stderr)
            else:
                speed = result["documents"] / result["seconds"]
                self.batch_sizes[job.batch] = speed
        if not self.batch_sizes:
            sys.exit(f"All batch sizes failed: {list(sizes)}.")
        return max(self.batch_sizes, key=lambda size: self.batch_sizes[size])

    def _run(self, name: str, batch: int) -> None:
        system = self.systems[name]
        reference = self.results[REFERENCE]
        size = batch if system.batched else 1
        targets = reference[0]["ids"] if name == FLOOR and reference else ()
        ((_, result),) = run_isolated([Job(self.settings, name, size, targets)])
        if "skipped" in result:
            failed = bool(result.get("failed"))
            why = result["skipped"]
            self.skipped[name] = {"name": name, "why": why, "failed": failed}
            print(f"{name} is left out: {why}", file=sys.stderr)
            if name == REFERENCE:
                sys.exit(f"All systems are compared with {REFERENCE}.")
        else:
            result["counted"] = system.counted
            result["annotates"] = system.annotates
            result["batch"] = size if system.batched else None
            # Systems that do not load the pipeline report no dtype and no device.
            self.machine = {**result["machine"], **self.machine}
            self.results[name].append(result)
            speeds = [r["documents"] / r["seconds"] for r in self.results[name]]
            line = f"{name}: {speeds[-1]:.2f} sentences/s, median {median(speeds):.2f}"
            print(line, file=sys.stderr)
        if self.output is not None:
            write_json(self.output, self.report())

    def report(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The results of all runs so far."""
        kept = {f.name: getattr(self.settings, f.name) for f in fields(Settings)}
        del kept["work"]
        return {
            "settings": {**kept, "also": list(self.settings.also)},
            "repeats": self.repeats,
            "slow_repeats": self.slow_repeats,
            "documents": len(self.dataset.documents),
            "sample": len(self.dataset.sample),
            "machine": self.machine,
            "batch_sizes": self.batch_sizes,
            "contestants": make_rows(self.results, self.dataset),
            "skipped": list(self.skipped.values()),
        }


def make_parser() -> argparse.ArgumentParser:
    """RETURNS (ArgumentParser): The parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", help="trained pipeline")
    add("data", help="annotated documents (.spacy)")
    add("--output", type=Path, help="also write the JSON to this file")
    add(
        "--only",
        nargs="+",
        metavar="NAME",
        help="run these systems and the reference",
    )
    add(
        "--without",
        nargs="+",
        metavar="NAME",
        default=[],
        help="leave out these systems",
    )
    add(
        "--also",
        nargs="+",
        metavar="PIPELINE",
        default=[],
        help="also run other spaCy pipelines, on their own and as drafters",
    )
    add(
        "--ideas",
        action="store_true",
        help="also run the decoder without each of its optimizations",
    )
    add(
        "--encoders",
        action="store_true",
        help="also run encoders of common shapes, and spancat, without training",
    )
    add(
        "--max-words",
        type=int,
        default=0,
        help="leave out longer documents, 0 for none",
    )
    add(
        "--join-words",
        type=int,
        default=0,
        help="join documents to texts of at least this many words, 0 for not",
    )
    add("--repeats", type=int, default=3, help="runs of each system")
    add(
        "--slow-repeats", type=int, help="runs of each slow system (default: --repeats)"
    )
    add("--docs", type=int, default=0, help="number of documents, 0 for all")
    add(
        "--slow-docs",
        type=int,
        default=150,
        help="number of documents for slow systems, 0 for all",
    )
    add("--seed", type=int, default=0, help="seed of the samples")
    add("--threads", type=int, default=0, help="0 for one a processor")
    add("--dtype", default="auto", help="dtype of the model")
    add("--device", default="auto", help="device of the model")
    add("--component", default="generative_ner", help="name of the component")
    add("--spans-key", default="sc", help="span group of the annotated documents")
    add(
        "--batch-sizes",
        type=int,
        nargs="+",
        default=BATCH_SIZES,
        help="batch sizes to try for generate",
    )
    add(
        "--batch-tokens",
        type=int,
        help="tokens in a batch of this project's decoders (default: the pipeline's)",
    )
    add(
        "--chunk",
        type=int,
        default=256,
        help="documents in one call of this project's decoders",
    )
    add(
        "--share-prefix",
        action="store_true",
        help="give generate a cache of the instruction",
    )
    add("--attention", default="sdpa", help="attention implementation of generate")
    add("--lookup-tokens", type=int, default=10, help="draft length of prompt lookup")
    add("--warm-up", type=int, default=4, help="untimed inputs before each run")
    return parser


def select_systems(args: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """Apply `--only` and `--without`.

    args (Namespace): The arguments.
    names (Sequence[str]): The names of all systems.
    RETURNS (list[str]): The selected names, the reference first.
    """
    unknown = {*(args.only or ()), *args.without} - set(names)
    if unknown:
        sys.exit(f"Unknown systems {sorted(unknown)}. Expected: {', '.join(names)}")
    if REFERENCE in args.without:
        sys.exit(f"{REFERENCE!r} can't be left out: all systems are compared with it.")
    wanted = {REFERENCE, *(args.only or names)} - set(args.without)
    return [name for name in names if name in wanted]


def main() -> dict[str, Any]:
    args = make_parser().parse_args()
    given = vars(args) | {"also": tuple(args.also)}
    given["threads"] = args.threads or _count_processors()
    known = {f.name for f in fields(Settings)}
    with tempfile.TemporaryDirectory(prefix="decoding-") as work:
        values = {key: value for key, value in given.items() if key in known}
        settings = Settings(**values, work=work)
        names = select_systems(args, list(make_systems(settings)))
        with pinned(settings.threads):
            slow = args.slow_repeats or args.repeats
            benchmark = Benchmark(settings, names, args.repeats, slow, args.output)
            report = benchmark.run(args.batch_sizes)
    print(markdown(report["contestants"], report["skipped"]))
    print(json.dumps(report))
    if any(each["failed"] for each in report["skipped"]):
        sys.exit(1)
    return report


def _count_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    main()
