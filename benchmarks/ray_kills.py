"""Kill the workers and the driver of `annotate --ray` at random times.

A corpus of short synthetic texts is annotated once without interruption. It is then
annotated again while workers are killed (SIGKILL), as often as it takes until the
number of kills is reached, and once more while the driver is killed and the run is
resumed. Each output is compared with the unbroken one, byte for byte. The result is
one JSON object; the exit status is 1 if a document was lost, doubled or changed.

    python benchmarks/ray_kills.py --kills 20 --driver-kills 5
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ray_cases import (
    command,
    parts_of,
    save_tiny_pipeline,
    workers_of,
    write_corpus,
)

PROGRESS = "_progress"


class Run:
    """The runs of the benchmark.

    folder (Path): The folder of the corpus, the pipeline and the outputs.
    arguments (list[str]): The options of the command.
    choose (random.Random): Chooses times and workers.
    """

    def __init__(self, folder: Path, arguments: list[str], choose: random.Random):
        self.folder = folder
        self.arguments = arguments
        self.choose = choose

    def start(self, output: Path, resume: bool = False) -> subprocess.Popen[bytes]:
        """Start the command. RETURNS (Popen): Its process."""
        extra = ["--resume"] if resume else []
        return subprocess.Popen(
            command(
                self.folder / "model",
                self.folder / "in.jsonl",
                output,
                "--ray=local",
                *self.arguments,
                *extra,
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of the command, which has to succeed."""
        _, errors = process.communicate()
        if process.returncode:
            sys.exit(f"The run failed:\n{errors.decode()}")

    def kill_workers(self, output: Path, kills: int, wait: float) -> tuple[int, int]:
        """Run the command and kill random workers at random times, each after at
        least one new part.

        output (Path): The output.
        kills (int): The maximum number of kills.
        wait (float): The mean time between two kills, in seconds.
        RETURNS (tuple[int, int]): The number of kills, and of those that hit a worker
            while a part was unfinished.
        """
        process = self.start(output)
        done = working = 0
        parts = 0
        while process.poll() is None and done < kills:
            # Kills that follow each other faster than a worker starts prevent progress.
            while process.poll() is None and count_parts(output) <= parts:
                time.sleep(0.05)
            time.sleep(self.choose.uniform(0, 2 * wait))
            parts = count_parts(output)
            workers = list(workers_of(process.pid))
            if process.poll() is None and workers:
                started = set(output.glob(f"{PROGRESS}/*.attempts"))
                finished = set(output.glob(f"{PROGRESS}/*.json"))
                self.choose.choice(workers).kill()
                done += 1
                # One file of the records describes the run.
                working += len(started) > len(finished) - 1
        self.finish(process)
        return done, working

    def kill_driver(self, output: Path, kills: int, wait: float) -> list[int]:
        """Run the command, kill it after its first part, and resume it.

        output (Path): The output.
        kills (int): The number of kills.
        wait (float): The mean time from a new part to the kill, in seconds.
        RETURNS (list[int]): The number of finished parts at each kill.
        """
        finished = []
        for number in range(kills):
            process = self.start(output, resume=number > 0)
            before = finished[-1] if finished else 0
            while process.poll() is None and count_parts(output) <= before:
                time.sleep(0.05)
            time.sleep(self.choose.uniform(0, 2 * wait))
            if process.poll() is not None:
                sys.exit("The run ended before the driver was killed: raise --size")
            # The driver alone: its cluster has to notice.
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            finished.append(count_parts(output))
        self.finish(self.start(output, resume=True))
        return finished


def count_parts(output: Path) -> int:
    """RETURNS (int): The number of finished parts of an unfinished run."""
    return max(0, len(list(output.glob(f"{PROGRESS}/0*.json"))))


def compare(output: Path, whole: Path, size: int) -> dict[str, Any]:
    """Compare an output with the unbroken one.

    output (Path): The output.
    whole (Path): The unbroken one.
    size (int): The number of documents.
    RETURNS (dict[str, Any]): The number of lost and doubled documents, whether the
        parts and the manifest are equal, and whether there are other files.
    """
    lines = parts_of(output).splitlines()
    ids = Counter(json.loads(line)["id"] for line in lines)
    files = {path.name for path in output.iterdir()}
    return {
        "lost": sum(f"d{number}" not in ids for number in range(size)),
        "doubled": sum(count - 1 for count in ids.values()),
        "equal_parts": parts_of(output) == parts_of(whole),
        "equal_manifest": (output / "_manifest.json").read_bytes()
        == (whole / "_manifest.json").read_bytes(),
        "other_files": sorted(files ^ {path.name for path in whole.iterdir()}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=3000, help="documents")
    parser.add_argument("--part-size", type=int, default=25)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=20, help="of workers")
    parser.add_argument("--driver-kills", type=int, default=5)
    parser.add_argument("--wait", type=float, default=1.0, help="mean seconds")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder / "in.jsonl", args.size, args.seed)
        save_tiny_pipeline(folder / "model")
        options = ["--workers", args.workers, "--part-size", args.part_size]
        run = Run(folder, list(map(str, options)), random.Random(args.seed))
        whole = folder / "whole"
        started = time.perf_counter()
        run.finish(run.start(whole))
        result: dict[str, Any] = {
            "documents": args.size,
            "part_size": args.part_size,
            "seconds_unbroken": round(time.perf_counter() - started, 1),
            "worker_kills": 0,
            "worker_kills_at_work": 0,
            "runs_with_worker_kills": 0,
        }
        worst: list[dict[str, Any]] = []
        while result["worker_kills"] < args.kills:
            output = folder / f"workers-{result['runs_with_worker_kills']}"
            left = args.kills - result["worker_kills"]
            done, working = run.kill_workers(output, left, args.wait)
            result["worker_kills"] += done
            result["worker_kills_at_work"] += working
            result["runs_with_worker_kills"] += 1
            worst.append(compare(output, whole, args.size))
            print(json.dumps(result | worst[-1]), file=sys.stderr, flush=True)
        if args.driver_kills:
            output = folder / "driver"
            result["driver_kills"] = args.driver_kills
            result["finished_parts_at_driver_kills"] = run.kill_driver(
                output, args.driver_kills, args.wait
            )
            worst.append(compare(output, whole, args.size))
    result |= {
        "lost": sum(row["lost"] for row in worst),
        "doubled": sum(row["doubled"] for row in worst),
        "outputs": len(worst),
        "outputs_equal": sum(
            row["equal_parts"] and row["equal_manifest"] and not row["other_files"]
            for row in worst
        ),
    }
    print(json.dumps(result))
    sys.exit(result["outputs_equal"] < len(worst))


if __name__ == "__main__":
    main()
