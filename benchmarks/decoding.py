"""How fast a trained pipeline's model is decoded, by every way there is to do so.

All contestants have the same model, prompts and sentences. Each runs several times, by
turns, in a process of its own, pinned to the same threads. Slow ones run on a sample.

    python benchmarks/decoding.py training/genia/model-best corpus/genia-test.spacy \
        --output metrics/decoding.json

Prints a table and one line of JSON; see docs/performance.md.
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

from contestants import make_contestants
from contestants_own import REFERENCE
from decoding_room import Gold, Settings
from decoding_runs import Job, pinned, run_apart
from decoding_table import FLOOR, make_rows, markdown
from tqdm import tqdm

from spacy_genner.io import write_json

BATCH_SIZES = (4, 8, 16, 32, 64)
# The best batch size is looked for with the plainest of those that take one.
TUNED_WITH = "generate-batched"


class Benchmark:
    """Runs contestants and keeps what comes of them.

    settings (Settings): What is the same for all.
    names (Sequence[str]): The contestants, the reference first.
    repeats (int): How often each runs.
    slow_repeats (int): How often those run that are slow.
    output (Optional[Path]): Where the results go, after each run as far as they are
        there.
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
        self.contestants = make_contestants(settings)
        self.names = list(names)
        self.repeats = repeats
        self.slow_repeats = slow_repeats
        self.output = output
        self.gold = Gold(settings)
        self.results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        self.skipped: dict[str, dict[str, Any]] = {}
        self.batch_sizes: dict[int, float] = {}
        self.machine: dict[str, Any] = {}

    def run(self, batch_sizes: Sequence[int]) -> dict[str, Any]:
        """Run all.

        batch_sizes (Sequence[int]): Those to choose from.
        RETURNS (Dict[str, Any]): The results.
        """
        batch = self._best_batch(batch_sizes)
        for repeat in range(self.repeats):
            # The reference is first at first, as others need what it wrote; after that
            # nobody has the same neighbours' place in time.
            shift = repeat % len(self.names)
            for name in self.names[shift:] + self.names[:shift]:
                slow = self.contestants[name].slow and repeat >= self.slow_repeats
                if not slow and name not in self.skipped:
                    self._run(name, batch)
        return self.report()

    def _best_batch(self, sizes: Sequence[int]) -> int:
        if not any(self.contestants[name].batched for name in self.names):
            return 1
        if len(sizes) == 1:
            return sizes[0]
        jobs = [Job(self.settings, TUNED_WITH, size) for size in sizes]
        for job, result in tqdm(run_apart(jobs), "batch sizes", len(jobs)):
            # A size that does not fit into memory is not the best.
            if "skipped" in result:
                print(f"batch size {job.batch}: {result['skipped']}", file=sys.stderr)
            else:
                speed = result["documents"] / result["seconds"]
                self.batch_sizes[job.batch] = speed
        if not self.batch_sizes:
            sys.exit(f"None of the batch sizes {list(sizes)} can be run.")
        return max(self.batch_sizes, key=lambda size: self.batch_sizes[size])

    def _run(self, name: str, batch: int) -> None:
        contestant = self.contestants[name]
        reference = self.results[REFERENCE]
        size = batch if contestant.batched else 1
        targets = reference[0]["ids"] if name == FLOOR and reference else ()
        ((_, result),) = run_apart([Job(self.settings, name, size, targets)])
        if "skipped" in result:
            failed = bool(result.get("failed"))
            why = result["skipped"]
            self.skipped[name] = {"name": name, "why": why, "failed": failed}
            print(f"{name} is left out: {why}", file=sys.stderr)
            if name == REFERENCE:
                sys.exit("The others are held against it.")
        else:
            result["counted"] = contestant.counted
            result["batch"] = size if contestant.batched else None
            # Those without torch's model say less.
            self.machine = {**result["machine"], **self.machine}
            self.results[name].append(result)
            speeds = [r["documents"] / r["seconds"] for r in self.results[name]]
            line = f"{name}: {speeds[-1]:.2f} sentences/s, median {median(speeds):.2f}"
            print(line, file=sys.stderr)
        if self.output is not None:
            write_json(self.output, self.report())

    def report(self) -> dict[str, Any]:
        """RETURNS (Dict[str, Any]): All that is known so far."""
        kept = {f.name: getattr(self.settings, f.name) for f in fields(Settings)}
        del kept["work"]
        return {
            "settings": {**kept, "also": list(self.settings.also)},
            "repeats": self.repeats,
            "slow_repeats": self.slow_repeats,
            "documents": len(self.gold.documents),
            "sample": len(self.gold.sample),
            "machine": self.machine,
            "batch_sizes": self.batch_sizes,
            "contestants": make_rows(self.results, self.gold),
            "skipped": list(self.skipped.values()),
        }


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", help="a trained pipeline")
    add("data", help="annotated documents (.spacy)")
    add("--output", type=Path, help="where the JSON goes, besides the output")
    add("--only", nargs="+", metavar="NAME", help="these, and the reference")
    add("--without", nargs="+", metavar="NAME", default=[])
    add("--also", nargs="+", metavar="PIPELINE", default=[], help="spaCy's, for scale")
    ideas = "also the decoder without each of the ideas that make it fast"
    add("--ideas", action="store_true", help=ideas)
    add("--repeats", type=int, default=3)
    add("--slow-repeats", type=int, help="of slow contestants; else as the others")
    add("--docs", type=int, default=0, help="0 for all")
    add("--slow-docs", type=int, default=150, help="for slow contestants; 0 for all")
    add("--seed", type=int, default=0, help="of the samples")
    add("--threads", type=int, default=0, help="0: as many as there are processors")
    add("--dtype", default="auto")
    add("--device", default="auto")
    add("--component", default="generative_ner")
    add("--spans-key", default="sc")
    add("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    add("--batch-tokens", type=int, help="of this project's; else the pipeline's own")
    add("--chunk", type=int, default=256, help="documents that it is given at once")
    add("--share-prefix", action="store_true", help="generate gets it as a cached past")
    add("--attention", default="sdpa", help="that generate runs with")
    add("--lookup-tokens", type=int, default=10, help="that prompt lookup guesses")
    add("--warm-up", type=int, default=4, help="documents before the clock starts")
    return parser


def chosen(args: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """The contestants that are wanted, the reference first.

    args (Namespace): The arguments.
    names (Sequence[str]): All there are.
    RETURNS (List[str]): Some of them.
    """
    unknown = {*(args.only or ()), *args.without} - set(names)
    if unknown:
        sys.exit(f"No contestant {sorted(unknown)}. There are: {', '.join(names)}")
    if REFERENCE in args.without:
        sys.exit(f"{REFERENCE!r} can't be left out: the others are held against it.")
    wanted = {REFERENCE, *(args.only or names)} - set(args.without)
    return [name for name in names if name in wanted]


def main() -> dict[str, Any]:
    args = make_parser().parse_args()
    given = vars(args) | {"also": tuple(args.also)}
    given["threads"] = args.threads or _processors()
    known = {f.name for f in fields(Settings)}
    with tempfile.TemporaryDirectory(prefix="decoding-") as work:
        values = {key: value for key, value in given.items() if key in known}
        settings = Settings(**values, work=work)
        names = chosen(args, list(make_contestants(settings)))
        with pinned(settings.threads):
            slow = args.slow_repeats or args.repeats
            benchmark = Benchmark(settings, names, args.repeats, slow, args.output)
            report = benchmark.run(args.batch_sizes)
    print(markdown(report["contestants"], report["skipped"]))
    print(json.dumps(report))
    if any(each["failed"] for each in report["skipped"]):
        sys.exit(1)
    return report


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    main()
