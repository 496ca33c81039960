"""Compare ways to annotate many texts on one machine: the batch size, threads and
processes of `nlp.pipe`.

Each way runs in a new process, which loads the pipeline, annotates a few texts, and
then measures the others. Prints one line of JSON for each way: texts a second, the
speed relative to the first way, and the peak memory of all its processes together.

    python benchmarks/processes.py training/demo/model-best corpus/test.spacy
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

WARM_UP = 4


class Usage:
    """Measures memory and CPU time of this process and its children while a block runs.

    Memory that processes share is counted once if the platform tells (Linux).

    peak (int): The most bytes at any time so far.
    """

    def __init__(self, seconds: float = 0.2):
        self.peak = 0
        self._cpu: dict[int, float] = {}
        self._cpu_before = 0.0
        self._overhead = 0.0
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def cpu_seconds(self) -> float:
        """The CPU seconds since the block began, without those of the measurement.
        Children start in the block."""
        return sum(self._cpu.values()) - self._cpu_before - self._overhead

    def __enter__(self) -> "Usage":
        self._sample()
        self._cpu_before = sum(self._cpu.values())
        self._overhead = 0.0
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds):
            self._sample()

    def _sample(self) -> None:
        import psutil

        started = time.thread_time()
        own = psutil.Process()
        total = 0
        for process in (own, *own.children(recursive=True)):
            try:
                memory = process.memory_full_info()
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += getattr(memory, "pss", memory.uss)
            self._cpu[process.pid] = times.user + times.system
        self.peak = max(self.peak, total)
        self._overhead += time.thread_time() - started


def run_way(args: argparse.Namespace) -> dict[str, Any]:
    """Measure one way in this process.

    args (Namespace): The arguments of the command line.
    RETURNS (dict[str, Any]): The row.
    """
    import spacy

    from spacy_genner.pipeline.loading import find_spans_key
    from spacy_genner.pipeline.texts import read_texts

    multiprocessing.set_start_method(args.start)
    nlp = spacy.load(args.model)
    key = find_spans_key(nlp, args.model)
    texts = [text.text for text in read_texts(Path(args.data), nlp.vocab) if text.text]
    texts = texts[: args.texts or None]
    if args.n_process == 1:
        list(nlp.pipe(texts[:WARM_UP]))
    with Usage() as usage:
        started = time.perf_counter()
        stream = nlp.pipe(texts, batch_size=args.batch_size, n_process=args.n_process)
        statuses = [doc.spans[key].attrs["status"] for doc in stream]
        seconds = time.perf_counter() - started
    return {
        "batch_size": args.batch_size,
        "n_process": args.n_process,
        "threads": int(os.environ["OMP_NUM_THREADS"]),
        "documents": len(statuses),
        "failed": statuses.count("failed"),
        "seconds": round(seconds, 2),
        "texts_a_second": round(len(texts) / seconds, 2),
        "cpu_seconds": round(usage.cpu_seconds, 2),
        "peak_gb": round(usage.peak / 1e9, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", help="trained pipeline")
    add("data", help="texts: .txt, .jsonl or .spacy")
    add("--texts", type=int, default=0, help="number of texts; 0 for all")
    add("--cores", type=int, default=os.cpu_count(), help="number of cores")
    add("--batch-sizes", type=int, nargs="+", default=[32, 1, 8, 128])
    add("--start", default="fork", choices=multiprocessing.get_all_start_methods())
    add("--batch-size", type=int, help=argparse.SUPPRESS)
    add("--n-process", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.n_process:
        print(json.dumps(run_way(args)))
        return
    # One process with a thread for each core, one with a single thread, and a process
    # with one thread for each core.
    ways = [(size, 1, args.cores) for size in args.batch_sizes]
    ways += [(args.batch_sizes[0], 1, 1), (args.batch_sizes[0], args.cores, 1)]
    first = 0.0
    for batch_size, n_process, threads in ways:
        command = [sys.executable, __file__, args.model, args.data]
        command += ["--texts", str(args.texts), "--batch-size", str(batch_size)]
        command += ["--n-process", str(n_process), "--start", args.start]
        variables = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(
            command, env=variables, stdout=subprocess.PIPE, text=True, check=True
        )
        row = json.loads(done.stdout)
        first = first or row["texts_a_second"]
        row["ratio"] = round(row["texts_a_second"] / first, 2)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
